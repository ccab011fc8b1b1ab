"""The remote boundary: a virtual machine at E2B for each session. For code of hostile strangers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import MullError
from .files import FILE_BYTES, relative
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
    from .e2b_client import Machine

HOME = "/home/user"
"""Where the code runs and its files are, in the machine."""
LIFE_SECONDS = 300
"""A machine ends by itself this long after it was last asked for more: so does that of a host that
was killed."""
LONGEST_SECONDS = 120.0
"""The longest a call may run."""
START_SECONDS = 20.0
"""The longest a machine may take to start."""
STOP_SECONDS = 3.0
"""The longest it may take to stop a cell, or itself."""
FILE_SECONDS = 30.0
"""The longest a file may take on its way."""
ENTRIES = 4096
"""Files that are looked at."""

CAPABILITIES = Capabilities(
    state=True,
    full_cpython=True,
    packages=False,
    files=True,
    keeps_state_on_timeout=False,
    remote=True,
    lacks="No network, and only the packages of the machine's template.",
    limits=(
        f"A virtual machine of its own at E2B, without internet; {LONGEST_SECONDS:g} s a call, "
        f"stdout and stderr {OUTPUT_BYTES >> 10} KiB each, files {FILE_BYTES >> 20} MiB each. A "
        "call cut off by its time limit loses the session. Not limited here: memory, processor, "
        "disk and processes of the machine, which its template sets; within it the code may do "
        "what it likes, and nothing of this computer is there. A machine that was left behind "
        f"(this program was killed, or E2B out of reach) ends after {LIFE_SECONDS} s."
    ),
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PNG = b"\x89PNG\r\n\x1a\n"


class E2bSandbox:
    """A Python session in a machine at E2B. The machine starts with the first call.

    Configured by E2B's own variables: `E2B_API_KEY`, and `E2B_DOMAIN` where it is self-hosted.
    Raises `SandboxUnavailable` without the key or the client.
    """

    isolation = "e2b"
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        if not os.environ.get("E2B_API_KEY"):
            raise SandboxUnavailable("It needs E2B_API_KEY (https://e2b.dev).")
        try:
            from .e2b_client import Machine
        except ImportError as error:
            raise SandboxUnavailable(
                f"E2B's client cannot be imported ({error}): pip install 'mull[e2b]'."
            ) from error
        self._kind = Machine
        self._lock = asyncio.Lock()
        self._machine: Machine | None = None
        self._ends = 0.0
        self._session: Any = None
        self._listing: Any = None
        self._given: dict[str, bytes] = {}
        self._seen: dict[str, list[int]] = {}
        self._count = 0
        self._running: asyncio.Future[Any] | None = None
        self._interrupted = False
        self._closed = False
        self._lost = False

    async def start(self) -> None:
        """See `Sandbox.start`."""
        async with self._lock:
            await self._ready(0)

    async def run_code(self, code: str, timeout: float) -> Execution:
        """See `Sandbox.run_code`; `timeout` is cut to `LONGEST_SECONDS`."""
        timeout = min(timeout, LONGEST_SECONDS)
        async with self._lock:
            machine = await self._ready(timeout)
            try:
                execution = await self._run(machine, code, timeout)
            except BaseException:
                self._lost = True
                await self._forget(machine)  # The cell may still be running there.
                raise
            lost, self._lost = self._lost, False
            return replace(execution, session_lost=lost)

    async def write_file(self, name: str, data: bytes) -> None:
        """See `Sandbox.write_file`. A machine that takes this one's place is given it too."""
        if len(data) > FILE_BYTES:
            raise SandboxFileError(f"{name!r} has {len(data)} bytes; the most is {FILE_BYTES}.")
        path = str(relative(name))
        async with self._lock:
            self._given[path] = data
            if self._machine is not None:
                await self._put(self._machine, path, data)
                self._seen = await self._list()

    async def read_file(self, name: str) -> bytes:
        """See `Sandbox.read_file`."""
        path = f"{HOME}/{relative(name)}"
        async with self._lock:
            machine = await self._ready(FILE_SECONDS)
            try:
                async with asyncio.timeout(FILE_SECONDS):
                    stream = await machine.files.read(
                        path, format="stream", request_timeout=FILE_SECONDS
                    )
                    kept = Capped(FILE_BYTES)
                    async with stream:
                        async for chunk in stream:
                            kept.add(chunk)
                            if kept.truncated:
                                raise SandboxFileError(
                                    f"{name!r} is too large; the most is {FILE_BYTES} bytes."
                                )
            except SandboxFileError:
                raise
            except Exception as error:
                raise SandboxFileError(f"File {name!r} cannot be read: {_said(error)}.") from error
        return kept.data()

    async def list_files(self) -> tuple[str, ...]:
        """See `Sandbox.list_files`; hidden files are left out."""
        async with self._lock:
            await self._ready(FILE_SECONDS)
            return tuple(sorted(await self._list()))

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`: costs the session's variables."""
        if self._running and not self._running.done():
            self._interrupted = True
            self._running.cancel()

    async def restart(self) -> None:
        """See `Sandbox.restart`."""
        await self.interrupt()
        async with self._lock:
            if self._machine is not None:
                await self._forget(self._machine)
            self._lost = False

    async def park(self) -> None:
        """See `Sandbox.park`."""
        async with self._lock:
            self._lost |= self._machine is not None
            await self._end()

    async def close(self) -> None:
        """See `Sandbox.close`."""
        self._closed = True
        await self.interrupt()
        async with self._lock:
            await self._end()

    async def _ready(self, timeout: float) -> Machine:
        """The machine, with time for a call of `timeout` seconds; a new one if it has gone."""
        if self._closed:
            raise MullError("The sandbox is closed: open another one.")
        now = asyncio.get_running_loop().time()
        if self._machine is not None and self._ends < now + timeout + START_SECONDS:
            try:
                await self._machine.set_timeout(LIFE_SECONDS, request_timeout=START_SECONDS)
                self._ends = now + LIFE_SECONDS
            except Exception:  # noqa: BLE001 - gone, or out of reach: the next call says so
                self._lost = True
                await self._end()
        return await self._start() if self._machine is None else self._machine

    async def _start(self) -> Machine:
        try:
            async with asyncio.timeout(START_SECONDS):
                self._machine = machine = await self._created()
                self._ends = asyncio.get_running_loop().time() + LIFE_SECONDS
                self._session = await machine.create_code_context(cwd=HOME)
                self._count = 0
                for path, data in self._given.items():
                    await self._put(machine, path, data)
                self._seen = await self._list() if self._given else {}
        except Exception as error:
            await self._end()
            raise SandboxUnavailable(
                f"No machine started at E2B ({_said(error)}). Check E2B_API_KEY and your limits "
                "there, or run `mull doctor`."
            ) from error
        except BaseException:
            await self._end()
            raise
        return machine

    async def _created(self) -> Machine:
        """A new machine. One that comes when nobody waits for it any more is ended."""
        creating: asyncio.Future[Machine] = asyncio.ensure_future(
            self._kind.create(
                timeout=LIFE_SECONDS, allow_internet_access=False, request_timeout=2 * START_SECONDS
            )
        )
        try:
            return await asyncio.shield(creating)
        except BaseException:
            ending = asyncio.ensure_future(_end_late(creating))
            _ending.add(ending)
            ending.add_done_callback(_ending.discard)
            raise

    async def _run(self, machine: Machine, code: str, timeout: float) -> Execution:
        output = {"stdout": Capped(), "stderr": Capped()}
        results: list[Result] = []
        machine.cut = self._interrupted = False
        self._running = asyncio.ensure_future(
            machine.run_code(
                code,
                context=self._session,
                on_stdout=lambda said: output["stdout"].add(_bytes(said.line)),
                on_stderr=lambda said: output["stderr"].add(_bytes(said.line)),
                on_result=lambda result: results.append(_result(result)),
                timeout=timeout + START_SECONDS,  # ours is over first
            )
        )
        error, lost = None, True
        try:
            async with asyncio.timeout(timeout):
                done = await self._running
            lost = done.execution_count is not None and done.execution_count <= self._count
            self._count = done.execution_count or self._count
            if done.error:
                parts = (done.error.name, done.error.value, done.error.traceback)
                error = ExecutionError(*(_COLOUR.sub("", _text(part)) for part in parts))
        except TimeoutError:
            late = f"the code ran longer than {timeout:g} s and was stopped"
            error = ExecutionError("TimeoutError", late, "")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._interrupted or (task and task.cancelling()):
                raise
            error = ExecutionError("KeyboardInterrupt", "the code was interrupted", "")
        except Exception as broken:  # noqa: BLE001 - the client's errors have no common base
            error = ExecutionError("SandboxCrash", _said(broken), "")
            await self._end()
        finally:
            self._running = None
        if lost:
            self._lost = True
            if self._machine is not None and error is not None:
                await self._forget(machine)
        return Execution(
            results=tuple(results),
            stdout=output["stdout"].text(),
            stderr=output["stderr"].text(),
            error=error,
            truncated=machine.cut or any(kept.truncated for kept in output.values()),
            files=await self._changed(),
        )

    async def _forget(self, machine: Machine) -> None:
        """A session without variables, in this machine or, if it does not answer, in the next."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await machine.restart_code_context(self._session)
            self._count = 0
        except Exception:  # noqa: BLE001 - whatever it was, a new machine is without it
            await self._end()

    async def _end(self) -> None:
        machine, self._machine = self._machine, None
        self._session = self._listing = None
        if machine is not None:
            await _kill(machine)

    async def _put(self, machine: Machine, path: str, data: bytes) -> None:
        try:
            await machine.files.write(f"{HOME}/{path}", data, request_timeout=FILE_SECONDS)
        except Exception as error:
            raise SandboxFileError(f"File {path!r} cannot be written: {_said(error)}.") from error

    async def _changed(self) -> tuple[str, ...]:
        if self._machine is None:
            return ()
        before, self._seen = self._seen, await self._list()
        return tuple(sorted(n for n, mark in self._seen.items() if before.get(n) != mark))

    async def _list(self) -> dict[str, list[int]]:
        """Name and mark of each file, told by a Python of our own in the machine. Untrusted."""
        machine, said = self._machine, Capped()
        assert machine is not None
        try:
            async with asyncio.timeout(FILE_SECONDS):
                self._listing = self._listing or await machine.create_code_context(cwd=HOME)
                await machine.run_code(
                    _LISTING,
                    context=self._listing,
                    on_stdout=lambda line: said.add(_bytes(line.line)),
                    timeout=FILE_SECONDS,
                )
        except Exception:  # noqa: BLE001 - it does not answer: the next call has a new machine
            self._lost = True
            await self._end()
            return {}
        try:
            found = json.loads(said.text())
        except (ValueError, RecursionError):
            return {}
        marks = found.items() if isinstance(found, dict) else ()
        return {_text(name): mark for name, mark in marks if isinstance(mark, list)}


_ending: set[asyncio.Future[None]] = set()


async def _end_late(creating: asyncio.Future[Machine]) -> None:
    try:
        machine = await creating
    except Exception:  # noqa: BLE001 - told to who waited, if anyone did
        return
    await _kill(machine)


async def _kill(machine: Machine) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await machine.kill(request_timeout=STOP_SECONDS)
    except Exception:  # noqa: BLE001 - out of reach, or gone: it ends by itself
        return


def _result(result: Any) -> Result:
    forms = ("text", "html", "latex", "svg", "markdown")
    cut = {form: _text(getattr(result, form))[:TEXT_CHARACTERS] or None for form in forms}
    return Result(png=_picture(result.png), **cut)


def _picture(encoded: str | None) -> bytes | None:
    try:
        data = base64.b64decode(encoded or "")
    except (binascii.Error, ValueError):
        return None
    return data if data.startswith(_PNG) else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _text(text: str | None) -> str:
    return (text or "").encode("utf-8", "replace").decode()  # without lone surrogates


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")


_LISTING = f"""
import json, os
def _list():
    found = {{}}
    for folder, folders, names in os.walk("."):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith(".") or os.path.islink(path) or not os.path.isfile(path):
                continue
            if len(found) >= {ENTRIES}:
                return found
            stat = os.stat(path)
            found[os.path.relpath(path)] = [stat.st_ctime_ns, stat.st_size]
    return found
print(json.dumps(_list()))
"""
