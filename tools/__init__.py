"""What a model may call: functions, sandboxed Python, the web, documents, MCP servers."""

from .documents import Documents, DocumentsTool
from .functions import as_tool
from .mcp import McpTool, mcp_tools
from .tool import Attachment, Scope, Tool, ToolError, ToolOutput

__all__ = [
    "Attachment",
    "Documents",
    "DocumentsTool",
    "McpTool",
    "Scope",
    "Tool",
    "ToolError",
    "ToolOutput",
    "as_tool",
    "mcp_tools",
]
