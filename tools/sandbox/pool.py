"""Python sessions for many branches at once: workers started ahead, and a bound on how many live.

A session belongs to one branch. It holds a place while it has a worker; there are as many places as
workers may live at once. Who finds none waits in line. What keeps that free of deadlocks, also when
a branch that holds a place waits for branches below it: a place is either in a call, which ends by
its time limit, or idle, and a session that was idle for `IDLE_SECONDS` is parked for who waits
longest. It gets a new worker with its next call, and the model is told that variables are gone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from . import choose
from .protocol import Execution, Sandbox, SandboxUnavailable

IDLE_SECONDS = 5.0
"""After this long without a call, a session is parked when somebody waits for a place."""
WAIT_SECONDS = 30.0
"""The longest a call waits for a place."""
LINGER_SECONDS = 30.0
"""How long workers that were started ahead outlive the last session."""
SPARES = 2
"""Workers started ahead, where that costs nothing but memory."""
REMOTE_PLACES = 20
"""Machines at once behind a remote boundary: what an account there has at the least."""
PLACE_BYTES = 2 * 1024**3
"""Of this machine's memory for each place: twice what a guest may hold."""


class Session:
    """One branch's Python, ended with its `async with`. Its calls run one after another."""

    def __init__(self, pool: Pool, sandbox: Sandbox, seated: bool) -> None:
        self.sandbox = sandbox
        """For its files and its capabilities; code runs by `run_code`."""
        self.lock = asyncio.Lock()
        """Held during a call, and while the session is parked."""
        self.seated = seated
        """Whether it holds a place."""
        self.ended = False
        self._pool = pool

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pool.end(self)

    async def run_code(self, code: str, timeout: float) -> Execution:
        """See `Sandbox.run_code`. The time for waiting is not the code's.

        Raises `SandboxUnavailable` when no place became free within `WAIT_SECONDS`.
        """
        async with self.lock:
            await self._pool.seat(self)
            try:
                async with self._pool.turns:
                    return await self.sandbox.run_code(code, timeout)
            finally:
                self._pool.rest(self)


class Pool:
    """The sessions of one event loop behind one boundary.

    Args:
        make: A new sandbox, not started.
        places: Workers alive at once, the spare ones included.
        turns: Cells running at once, and workers starting.
        spares: Workers started ahead while there are sessions and places.
    """

    def __init__(
        self, make: Callable[[], Sandbox], *, places: int, turns: int, spares: int = 0
    ) -> None:
        self.places = places
        self.turns = asyncio.Semaphore(turns)
        self.alive = 0
        """Places taken."""
        self._make = make
        self._wanted = spares
        self._spares: list[Sandbox] = []
        self._sessions: set[Session] = set()
        self._idle: dict[Session, float] = {}  # since when, the longest first
        self._line = asyncio.Lock()
        self._changed = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._retiring: asyncio.TimerHandle | asyncio.Task[None] | None = None

    def session(self) -> Session:
        """A session with nothing in it. It takes a place with its first call."""
        if self._retiring is not None:
            self._retiring.cancel()
            self._retiring = None
        if self._spares:
            session = Session(self, self._spares.pop(), seated=True)
            self._idle[session] = asyncio.get_running_loop().time()
        else:
            session = Session(self, self._make(), seated=False)
        self._sessions.add(session)
        return session

    async def seat(self, session: Session) -> None:
        """Give the session a place, first come first served; it is not idle from here on."""
        self._idle.pop(session, None)
        if session.seated:
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._line:
                while self.alive >= self.places:
                    await self._make_room()
                self.alive += 1
                session.seated = True
        except TimeoutError:
            raise SandboxUnavailable(
                f"All {self.places} Python sessions of this machine were busy for "
                f"{WAIT_SECONDS:g} s. Try again, or run fewer branches at once."
            ) from None

    def rest(self, session: Session) -> None:
        """A call has ended: the session is idle."""
        if session.ended:
            self._free(session)
            return
        self._idle[session] = asyncio.get_running_loop().time()
        self._changed.set()
        if self._lacks_spares() and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill())

    async def end(self, session: Session) -> None:
        """Close the session's sandbox, which stops a running call, and free its place."""
        self._sessions.discard(session)
        session.ended = True
        try:
            await session.sandbox.close()
        finally:
            self._idle.pop(session, None)
            if not session.lock.locked():
                self._free(session)  # Else the call that is ending does.
            if not self._sessions and self._retiring is None:
                loop = asyncio.get_running_loop()
                self._retiring = loop.call_later(LINGER_SECONDS, self._retire)

    async def aclose(self) -> None:
        """End every session and every spare worker."""
        if self._retiring is not None:
            self._retiring.cancel()
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        for session in list(self._sessions):
            await self.end(session)
        await self._drop_spares()

    async def _make_room(self) -> None:
        """Free a place, or wait for what may free one."""
        if self._spares:
            await self._drop_spares()
            return
        self._changed.clear()
        oldest = next(iter(self._idle), None)
        if oldest is None:
            await self._changed.wait()
            return
        wait = self._idle[oldest] + IDLE_SECONDS - asyncio.get_running_loop().time()
        if wait > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)
            return
        del self._idle[oldest]
        async with oldest.lock:
            try:
                await oldest.sandbox.park()
            finally:
                self._free(oldest)

    def _free(self, session: Session) -> None:
        if session.seated:
            session.seated = False
            self.alive -= 1
            self._changed.set()

    def _retire(self) -> None:
        self._retiring = asyncio.get_running_loop().create_task(self._drop_spares())

    async def _drop_spares(self) -> None:
        while self._spares:
            sandbox = self._spares.pop()
            try:
                await sandbox.close()
            finally:
                self.alive -= 1
                self._changed.set()

    def _lacks_spares(self) -> bool:
        # The last place is for a session, and who waits in line comes first.
        room = self.alive + 1 < self.places and not self._line.locked()
        return len(self._spares) < self._wanted and room and bool(self._sessions)

    async def _fill(self) -> None:
        while self._lacks_spares():
            self.alive += 1
            sandbox = self._make()
            try:
                async with self.turns:
                    await sandbox.start()
            except BaseException as error:
                self.alive -= 1
                self._changed.set()
                await sandbox.close()
                if isinstance(error, SandboxUnavailable):
                    return  # The next session starts a worker itself, and reports it.
                raise
            self._spares.append(sandbox)
            self._changed.set()


_Open = dict[tuple[asyncio.AbstractEventLoop, str], tuple[Pool, AsyncGenerator[Pool, None]]]
_open: _Open = {}


async def open_session(require: str | None = None) -> Session:
    """A session behind the boundary that `choose.chosen` names, for an `async with`.

    Raises as `choose.chosen` does.
    """
    pool = await pool_here(await choose.chosen(require))
    return pool.session()


async def pool_here(boundary: str) -> Pool:
    """The running event loop's pool behind that boundary. It ends when the loop does."""
    key = asyncio.get_running_loop(), boundary
    if key not in _open:
        for ended in [other for other in _open if other[0].is_closed()]:
            del _open[ended]
        keeper = _keep(boundary)
        _open[key] = (await anext(keeper), keeper)
    return _open[key][0]


async def _keep(boundary: str) -> AsyncGenerator[Pool, None]:
    """A loop that shuts down closes its open async generators: no worker outlives its loop."""
    if boundary == "e2b":
        pool = Pool(lambda: choose.make(boundary), places=REMOTE_PLACES, turns=REMOTE_PLACES)
    else:
        turns = 2 * (os.cpu_count() or 1)
        places, spares = local_places(_memory()), SPARES
        pool = Pool(lambda: choose.make(boundary), places=places, turns=turns, spares=spares)
    try:
        yield pool
    finally:
        _open.pop((asyncio.get_running_loop(), boundary), None)
        await pool.aclose()


def local_places(memory: int) -> int:
    """How many workers may live at once on a machine with that many bytes of memory."""
    return max(4, min(32, memory // PLACE_BYTES))


def _memory() -> int:
    """Bytes that this process may count on: the machine's, or its container's."""
    total = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # no such limit, or "max"
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total
