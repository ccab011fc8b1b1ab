"""One MCP server: its session, kept open, and started again when it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..tool import ToolError

if TYPE_CHECKING:
    from langchain_mcp_adapters.sessions import Connection
    from mcp import ClientSession
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

T = TypeVar("T")

PAGES = 100
"""The most pages of a list of tools that are read: a server may never come to the last."""
CLOSE_SECONDS = 10.0
"""For a server to end in good order. A process is told to stop after 2 s, and killed after 4."""
LOST = frozenset({(-32000, "Connection closed"), (32600, "Session terminated")})
"""The MCP client's own errors. By the code alone, they could be a server's."""


class Server:
    """A session with a server, in a task of its own: what breaks there breaks no caller's task.

    Args:
        connection: As langchain-mcp-adapters takes it.
        start_seconds: For the server to start and to be greeted.
    """

    def __init__(self, name: str, connection: Mapping[str, Any], start_seconds: float) -> None:
        self.name = name
        self._connection = connection
        self._start_seconds = start_seconds
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._closed = False
        self._leave = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._session: ClientSession | None = None

    async def tools(self) -> list[Listed]:
        """The tools it offers. Raises `ToolError`."""
        from mcp.types import PaginatedRequestParams

        session, life = await self._opened()
        listed: list[Listed] = []
        cursor = None
        for _ in range(PAGES):
            params = PaginatedRequestParams(cursor=cursor)
            asking = session.list_tools(params=params)
            page = await self._answer(asking, life, self._start_seconds)
            listed += page.tools
            cursor = page.nextCursor
            if not cursor:
                return listed
        raise ToolError(f"the MCP server {self.name!r} lists tools without end")

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """One call of a tool. A server that was lost is started again; a call is never repeated.

        Raises `ToolError`.
        """
        if self._closed or asyncio.get_running_loop() is not self._loop:
            raise ToolError(
                f"the MCP server {self.name!r} is open only inside `async with mcp_tools(…)`, "
                "in the event loop of that block: use `await agent.arun(…)` there"
            )
        session, life = await self._opened()
        # Not by the adapter's LangChain tool: that keeps arguments named `config` and `runtime`.
        return await self._answer(session.call_tool(tool, dict(arguments)), life)

    async def close(self) -> None:
        """End the session, and the process where there is one."""
        self._closed = True
        async with self._lock:
            await self._end()

    async def _answer(
        self,
        asking: Coroutine[Any, Any, T],
        life: asyncio.Task[None],
        seconds: float | None = None,
    ) -> T:
        """What the session answers, or why it cannot: its task may end and never answer."""
        import anyio
        from mcp import McpError

        asked = asyncio.create_task(asking)
        try:
            await asyncio.wait({asked, life}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if waiting := not asked.done():
                asked.cancel()
                await asyncio.wait({asked})
        if waiting and not life.done():
            raise ToolError(f"the MCP server {self.name!r} did not answer in {seconds:.3g} s")
        if waiting or asked.cancelled():
            raise await self._lost(life, _failure(life))
        try:
            return asked.result()
        except McpError as error:
            if (error.error.code, error.error.message) in LOST:
                raise await self._lost(life, str(error)) from error
            raise ToolError(f"the MCP server {self.name!r} says: {error}") from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise await self._lost(life, "the connection is closed") from error

    async def _lost(self, life: asyncio.Task[None], why: str) -> ToolError:
        """Put the session away, so that the next call starts the server again."""
        async with self._lock:
            if self._life is life:
                await self._end()
        return ToolError(
            f"the MCP server {self.name!r} was lost ({why}). What the call did is not known; the "
            "next one starts the server again."
        )

    async def _opened(self) -> tuple[ClientSession, asyncio.Task[None]]:
        async with self._lock:
            if self._life is not None and self._session is not None and not self._life.done():
                return self._session, self._life
            await self._end()
            if self._closed:
                raise ToolError(f"the MCP server {self.name!r} is closed")
            return await self._start()

    async def _start(self) -> tuple[ClientSession, asyncio.Task[None]]:
        ready: asyncio.Future[ClientSession] = self._loop.create_future()
        self._leave = asyncio.Event()
        life = self._life = asyncio.create_task(self._live(ready, self._leave))
        either: set[asyncio.Future[Any]] = {ready, life}
        try:
            await asyncio.wait(
                either, timeout=self._start_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            late = not life.done()
            if not ready.done():
                life.cancel()
                await self._end()
        if not ready.done():
            why = f"not within {self._start_seconds:.3g} s" if late else _failure(life)
            raise ToolError(f"the MCP server {self.name!r} did not start: {why}")
        self._session = ready.result()
        return self._session, life

    async def _live(self, ready: asyncio.Future[ClientSession], leave: asyncio.Event) -> None:
        """The session's whole life: the task that opens it must be the one that closes it."""
        from langchain_mcp_adapters.sessions import create_session

        async with create_session(cast("Connection", dict(self._connection))) as session:
            await session.initialize()
            if not ready.done():
                ready.set_result(session)
            await leave.wait()

    async def _end(self) -> None:
        life, self._session = self._life, None
        if life is None:
            return
        self._leave.set()
        await asyncio.wait({life}, timeout=CLOSE_SECONDS)
        if not life.done():
            life.cancel()
            await asyncio.wait({life}, timeout=CLOSE_SECONDS)
        if life.done() and not life.cancelled():
            life.exception()  # Fetched: it has been told, or came after the session was of use.
        self._life = None


def _failure(life: asyncio.Task[None]) -> str:
    """Why a session's task ended: the first of what was raised in it."""
    error = None if life.cancelled() else life.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return "the session ended"
    return f"{type(error).__name__}: {error}"
