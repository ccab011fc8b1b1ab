"""What a model may call: the Tool protocol, functions as tools, sandboxed Python."""

from .functions import as_tool
from .tool import Scope, Tool, ToolError, ToolOutput

__all__ = ["Scope", "Tool", "ToolError", "ToolOutput", "as_tool"]
