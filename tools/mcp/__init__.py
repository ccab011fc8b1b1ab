"""MCP: any Model Context Protocol server's tools, over stdio or streamable HTTP."""

from .opening import mcp_tools
from .tool import McpTool

__all__ = ["McpTool", "mcp_tools"]
