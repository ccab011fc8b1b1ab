"""The boundary for other systems: pydantic-monty, an interpreter in Rust for a subset of Python."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from ...errors import MullError
from .protocol import (
    Capabilities,
    Execution,
    ExecutionError,
    Result,
    SandboxFileError,
    SandboxUnavailable,
)
from .wire import OUTPUT_BYTES, TEXT_CHARACTERS, Capped

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty, AsyncMontySession

MEMORY_BYTES = 256 * 1024 * 1024
"""The most heap a session may hold."""
LONGEST_SECONDS = 60.0
"""The longest a call may run. The worker keeps this limit by itself, so a worker whose host was
killed in the middle of a call ends within it."""

CAPABILITIES = Capabilities(
    state=True,
    full_cpython=False,
    packages=False,
    files=False,
    keeps_state_on_timeout=False,
    lacks=(
        "This Python is a subset: no third-party packages (numpy, sympy), no files, no network, no "
        "generators, no class inheritance, and only part of the standard library."
    ),
    limits=(
        f"Heap {MEMORY_BYTES >> 20} MiB, {LONGEST_SECONDS:g} s a call, stdout and stderr "
        f"{OUTPUT_BYTES >> 10} KiB each. The code has no way to name a file, a socket, a process "
        "or the environment. Not limited: CPU within a call's time (one core). A call cut off "
        "by its time limit loses the session."
    ),
)


class MontySandbox:
    """A session of pydantic-monty in a worker process. The worker starts with the first call."""

    isolation = "monty"
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._pool: AsyncMonty | None = None
        self._stack = AsyncExitStack()
        self._session: AsyncMontySession | None = None
        self._feed: asyncio.Future[Any] | None = None
        self._interrupted = False
        self._closed = False
        self._lost = False

    async def start(self) -> None:
        """See `Sandbox.start`."""
        async with self._lock:
            if self._session is None:
                await self._start()

    async def run_code(self, code: str, timeout: float) -> Execution:
        """See `Sandbox.run_code`; `timeout` is cut to `LONGEST_SECONDS`."""
        async with self._lock:
            session = self._session or await self._start()
            output = {"stdout": Capped(), "stderr": Capped()}
            try:
                execution = await self._run(session, code, min(timeout, LONGEST_SECONDS), output)
            except BaseException:
                # A cancelled feed costs the worker: monty replaces it at the next checkout.
                self._session, self._lost = None, True
                raise
            lost, self._lost = self._lost, False
            return replace(
                execution,
                stdout=output["stdout"].text(),
                stderr=output["stderr"].text(),
                truncated=execution.truncated or any(kept.truncated for kept in output.values()),
                session_lost=lost,
            )

    async def write_file(self, name: str, data: bytes) -> None:
        """Raises `SandboxFileError`: there are no files here."""
        _no_files(name)

    async def read_file(self, name: str) -> bytes:
        """Raises `SandboxFileError`: there are no files here."""
        _no_files(name)

    async def list_files(self) -> tuple[str, ...]:
        """Empty: there are no files here."""
        return ()

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`: costs the session's variables."""
        if self._feed and not self._feed.done():
            self._interrupted = True
            self._feed.cancel()

    async def restart(self) -> None:
        """See `Sandbox.restart`."""
        await self.interrupt()
        async with self._lock:
            await self._end()
            self._lost = False

    async def park(self) -> None:
        """See `Sandbox.park`."""
        async with self._lock:
            self._lost |= self._session is not None
            await self._end()

    async def close(self) -> None:
        """See `Sandbox.close`."""
        self._closed = True
        await self.restart()

    async def _start(self) -> AsyncMontySession:
        if self._closed:
            raise MullError("The sandbox is closed: open another one.")
        try:
            from pydantic_monty import AsyncMonty
        except ImportError as error:
            raise SandboxUnavailable(f"pydantic-monty cannot be imported: {error}.") from error
        await self._end()
        try:
            # A pool for one: closing it ends the worker, whatever the worker is doing.
            pool = AsyncMonty(min_processes=1, max_processes=1)
            self._pool = await self._stack.enter_async_context(pool)
            checkout = pool.checkout(
                limits={"max_memory": MEMORY_BYTES, "max_feed_duration_secs": LONGEST_SECONDS}
            )
            self._session = await self._stack.enter_async_context(checkout)
        except Exception as error:
            await self._end()
            raise SandboxUnavailable(
                f"The monty worker did not start ({error}). Run `mull doctor`."
            ) from error
        return self._session

    async def _run(
        self,
        session: AsyncMontySession,
        code: str,
        timeout: float,
        output: dict[str, Capped],
    ) -> Execution:
        from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError

        self._interrupted = False
        self._feed = asyncio.ensure_future(
            session.feed_run(
                code, print_callback=lambda stream, text: output[stream].add(text.encode())
            )
        )
        try:
            async with asyncio.timeout(timeout):
                value = await self._feed
        except TimeoutError:
            late = f"the code ran longer than {timeout:g} s and was stopped"
            return await self._lose("TimeoutError", late)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._interrupted or (task and task.cancelling()):
                raise
            return await self._lose("KeyboardInterrupt", "the code was interrupted")
        except MontyCrashedError as error:
            return await self._lose("SandboxCrash", str(error))
        except MontyError as error:
            inner = error.exception()
            name = type(inner).__name__
            if name == "TimeoutError":
                return await self._lose(name, str(inner))
            trace = error.display() if isinstance(error, MontyRuntimeError) else str(error)
            return Execution(
                error=ExecutionError(name, str(inner)[:TEXT_CHARACTERS], trace[-TEXT_CHARACTERS:])
            )
        except RuntimeError as error:  # monty's word for a worker that broke its protocol
            return await self._lose("SandboxCrash", str(error))
        finally:
            self._feed = None
        if value is None:
            return Execution()
        text = repr(value)
        return Execution(
            results=(Result(text=text[:TEXT_CHARACTERS]),), truncated=len(text) > TEXT_CHARACTERS
        )

    async def _lose(self, name: str, why: str) -> Execution:
        self._lost = True
        await self._end()
        return Execution(error=ExecutionError(name, why, ""))

    async def _end(self) -> None:
        self._session = self._pool = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()


def _no_files(name: str) -> NoReturn:
    raise SandboxFileError(
        f"File {name!r} is not possible: the monty boundary has no files. Pass the data in the "
        "code, or use a machine where the sandlock boundary works (`mull doctor`)."
    )
