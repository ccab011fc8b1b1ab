"""Opening MCP servers for as long as their tools are used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ...errors import WrongUsage
from .connections import connection
from .server import Server
from .tool import McpTool, tools_of

TIMEOUT = 30.0
"""Seconds that one call may take."""
START_TIMEOUT = 60.0
"""Seconds in which a server must have started: `npx` and `uvx` may download it first."""


@asynccontextmanager
async def mcp_tools(
    servers: Mapping[str, Mapping[str, Any]],
    *,
    timeout: float = TIMEOUT,
    start_timeout: float = START_TIMEOUT,
) -> AsyncIterator[tuple[McpTool, ...]]:
    """The tools of MCP servers, for the length of the block: `Agent(tools=[*tools])`.

    A tool has side effects, and needs approval, unless its server says that it only reads. Two
    tools of the same name have their servers' names before theirs. A server that is lost fails the
    call, and is started again by the next.

    Args:
        servers: By name, `{"command": …, "args": […], "env": {…}, "cwd": …}` for a program that
            speaks over its standard input and output, or `{"url": …, "headers": {…}}` for one that
            speaks streamable HTTP. A program sees `PATH`, `HOME` and few other variables, and
            `env`, in which `${NAME}` stands for a variable of this process.
        timeout: Seconds that one call may take.
        start_timeout: Seconds in which each server must have started.

    Raises `ToolError` where a server does not start, `WrongUsage` for one that cannot be reached
    this way, and without the extra `mcp`.
    """
    known = {name: connection(name, given) for name, given in servers.items()}
    try:
        # Loaded here: half a second that only users of MCP should pay.
        import langchain_mcp_adapters.sessions  # noqa: F401
    except ImportError as error:
        raise WrongUsage("MCP servers need a package: pip install 'mull[mcp]'") from error
    opened = [Server(name, how, start_timeout) for name, how in known.items()]
    try:
        # All are waited for: one that fails must not leave another half started.
        lists = await asyncio.gather(*(server.tools() for server in opened), return_exceptions=True)
        listed = []
        for server, found in zip(opened, lists, strict=True):
            if isinstance(found, BaseException):
                raise found
            listed += [(server, tool) for tool in found]
        yield tools_of(listed, timeout)
    finally:
        await asyncio.gather(*(server.close() for server in opened))
