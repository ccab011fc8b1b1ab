"""The tools that can be asked for by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import WrongUsage
from .functions import as_tool
from .python import PythonTool
from .tool import Tool
from .web import ReadTool, SearchTool

BUILT_IN: Mapping[str, Callable[[], Tool]] = {
    "python": PythonTool,
    "read": ReadTool,
    "search": SearchTool,
}


def resolve_tools(things: Iterable[Any]) -> tuple[Tool, ...]:
    """Tools from names, functions, LangChain tools or tools. Raises `WrongUsage`."""
    tools = tuple(_resolve(thing) for thing in things)
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise WrongUsage(f"two tools are called {name!r}: names must differ")
    return tools


def _resolve(thing: Any) -> Tool:
    if not isinstance(thing, str):
        return as_tool(thing)
    if thing not in BUILT_IN:
        raise WrongUsage(f"there is no tool {thing!r}: known by name are {', '.join(BUILT_IN)}")
    return BUILT_IN[thing]()
