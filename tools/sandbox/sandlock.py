"""The Linux boundary: a long-lived CPython worker confined by sandlock (Landlock and seccomp)."""

from __future__ import annotations

import asyncio
import os
import secrets
import site
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import MullError
from . import wire
from .calls import denied_calls
from .files import FILE_BYTES
from .process import MEMORY_BYTES, THREADS, Guest, GuestGone
from .protocol import Capabilities, Execution, ExecutionError, Result, SandboxUnavailable
from .workdir import DISK_BYTES, ENTRIES, Workdir

START_SECONDS = 10.0
"""The longest a worker may take to say that it is ready."""
GRACE_SECONDS = 0.5
"""How long an interrupted cell may take to stop before the worker is killed."""
_TICK_SECONDS = 0.1

# With no rule sandlock leaves TCP to Landlock, which does not see MPTCP and TCP Fast Open (both
# reach a loopback listener, 0.9.0). Any rule makes it judge every connect and send itself; this one
# allows only an address that the kernel never connects to.
_NO_NETWORK = ["tcp://255.255.255.255:1"]

_NOBODY = 65534

CAPABILITIES = Capabilities(
    state=True,
    full_cpython=True,
    packages=True,
    files=True,
    keeps_state_on_timeout=True,
    lacks=(
        "No network, no child processes, no files outside the working directory; chmod, chown, "
        "utime and shutil.copy fail there too (shutil.copyfile works)."
    ),
    limits=(
        f"Memory {MEMORY_BYTES >> 20} MiB, {THREADS} threads, no child processes, files "
        f"{DISK_BYTES >> 20} MiB in all, {FILE_BYTES >> 20} MiB each, {ENTRIES} entries; stdout "
        f"and stderr {wire.OUTPUT_BYTES >> 10} KiB each; frozen between calls. Threads and disk "
        f"are checked every {_TICK_SECONDS} s and may be exceeded for that long. Not limited: CPU "
        "within a call's time (all cores), disk bandwidth, files mapped after being closed and "
        "deleted. The guest reads the interpreter, its packages and /usr; it can lock the files "
        "there and, where the host's user owns them, set their flags (chattr). It sees that files "
        "and processes outside exist: names, sizes, times, priorities. It shares the host's kernel "
        "and user: for hostile multi-tenant use take a virtual machine."
    ),
)


class SandlockSandbox:
    """A Python session confined by sandlock. The worker starts with the first call."""

    isolation = "sandlock"
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._workdir = Workdir()
        self._lock = asyncio.Lock()
        self._guest: Guest | None = None
        self._running = False
        self._closed = False
        # True when variables that a caller may count on have gone and no call has said so yet.
        self._lost = False

    async def start(self) -> None:
        """See `Sandbox.start`."""
        async with self._lock:
            if self._guest is None:
                (await self._start()).freeze()

    async def run_code(self, code: str, timeout: float) -> Execution:
        """See `Sandbox.run_code`. Time over: interrupted, then killed after `GRACE_SECONDS`."""
        async with self._lock:
            guest = self._guest or await self._start()
            call = secrets.token_hex(8)
            self._running = True
            try:
                execution = await self._run(guest, call, code, timeout)
            except BaseException:
                await self._abandon(guest, call)
                raise
            finally:
                self._running = False
            lost, self._lost = self._lost, False
            return replace(execution, session_lost=lost)

    async def write_file(self, name: str, data: bytes) -> None:
        """See `Sandbox.write_file`."""
        await asyncio.to_thread(self._workdir.write, name, data)

    async def read_file(self, name: str) -> bytes:
        """See `Sandbox.read_file`."""
        return await asyncio.to_thread(self._workdir.read, name)

    async def list_files(self) -> tuple[str, ...]:
        """See `Sandbox.list_files`."""
        return await asyncio.to_thread(self._workdir.names)

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`: the cell gets KeyboardInterrupt and keeps its variables."""
        if self._running and self._guest:
            self._guest.interrupt()

    async def restart(self) -> None:
        """See `Sandbox.restart`."""
        if self._running and self._guest:
            self._guest.kill()
        async with self._lock:
            self._drop()
            self._lost = False

    async def park(self) -> None:
        """See `Sandbox.park`."""
        async with self._lock:
            if self._guest is not None:
                self._drop()
                self._lost = True

    async def close(self) -> None:
        """See `Sandbox.close`."""
        self._closed = True
        await self.restart()
        try:
            await asyncio.to_thread(self._workdir.close)
        except RuntimeError:  # At the interpreter's exit there are no threads any more.
            self._workdir.close()

    async def _start(self) -> Guest:
        if self._closed:
            raise MullError("The sandbox is closed: open another one.")
        self._guest = guest = _spawn(self._workdir)
        try:
            guest.limit()
            async with asyncio.timeout(START_SECONDS):
                await guest.reply("ready")
        except (OSError, GuestGone, wire.BadReply) as error:
            guest.drain()
            said = guest.stderr.text().strip()[-300:] or str(error) or "no message"
            how = self._drop()
            raise SandboxUnavailable(
                f"The sandlock worker did not start: it {how} ({said}). Run `mull doctor`."
            ) from error
        except BaseException:
            self._drop()
            raise
        return guest

    async def _run(self, guest: Guest, call: str, code: str, timeout: float) -> Execution:
        guest.begin()
        try:
            execution = await self._reply(guest, call, code, timeout)
        except TimeoutError:
            stopped = await self._stop(guest, call)
            late = f"the code ran longer than {timeout:g} s and was stopped"
            if stopped is None:
                return await self._lose(guest, "TimeoutError", late)
            trace = stopped.error.traceback if stopped.error else ""
            execution = Execution(error=ExecutionError("TimeoutError", late, trace))
        except _OverLimit as error:
            return await self._lose(guest, "SandboxLimit", f"the code {error}")
        except wire.BadReply as error:
            return await self._lose(
                guest, "SandboxCrash", f"the worker broke its protocol: {error}"
            )
        except GuestGone:
            return await self._lose(guest, "SandboxCrash", "")
        guest.freeze()
        if over := guest.excess(self._workdir):
            return await self._lose(guest, "SandboxLimit", f"the code {over}")
        guest.drain()
        pictures = [Result(png=data) for data in self._workdir.take_pictures()]
        execution = replace(
            execution,
            results=(*execution.results, *pictures),
            files=self._workdir.changed(),
        )
        return _with_output(execution, guest)

    async def _reply(self, guest: Guest, call: str, code: str, timeout: float) -> Execution:
        """The reply, while the guest's use is watched. Raises `TimeoutError`, `_OverLimit`,
        `GuestGone`, `BadReply`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        async with asyncio.timeout_at(end):
            await guest.send(wire.request(call, code))
        while True:
            now = loop.time()
            try:
                async with asyncio.timeout_at(min(end, now + _TICK_SECONDS)):
                    return await guest.reply(call)
            except TimeoutError:
                if loop.time() >= end:
                    raise
            if over := await asyncio.to_thread(guest.excess, self._workdir):
                raise _OverLimit(over)

    async def _stop(self, guest: Guest, call: str) -> Execution | None:
        """Interrupt the running cell; its reply, or None when it does not stop in time."""
        for _ in range(2):
            guest.interrupt()
            try:
                async with asyncio.timeout(GRACE_SECONDS / 2):
                    return await guest.reply(call)
            except TimeoutError:
                continue
            except (GuestGone, wire.BadReply):
                return None
        return None

    async def _abandon(self, guest: Guest, call: str) -> None:
        """Leave a cancelled call behind, keeping the variables if the cell can be interrupted."""
        stopped = None
        try:
            stopped = await self._stop(guest, call)
        finally:
            # Also when cancelled again: no await stands between that and the kill.
            if stopped is None:
                self._drop()
                self._lost = True
            else:
                guest.freeze()

    async def _lose(self, guest: Guest, name: str, why: str) -> Execution:
        """The execution of a call that cost the session; without a `why`, how the guest ended."""
        guest.freeze()
        guest.drain()
        guest.detach()
        self._guest = None
        self._lost = True
        how = await asyncio.to_thread(guest.reap)
        why = why or f"the Python process {how}"
        if await asyncio.to_thread(self._workdir.excess):
            await asyncio.to_thread(self._workdir.clear)
            why += "; its files were removed"
        return _with_output(Execution(error=ExecutionError(name, why, "")), guest)

    def _drop(self) -> str:
        guest, self._guest = self._guest, None
        if guest is None:
            return ""
        guest.detach()
        return guest.reap()


class _OverLimit(Exception):
    """The guest went over a limit that the host checks."""


def _with_output(execution: Execution, guest: Guest) -> Execution:
    return replace(
        execution,
        stdout=guest.stdout.text(),
        stderr=guest.stderr.text(),
        truncated=execution.truncated or guest.stdout.truncated or guest.stderr.truncated,
    )


def _spawn(workdir: Workdir) -> Guest:
    """Start a confined worker.

    It dies with the thread that calls this (the kernel's parent-death signal is the thread's), so
    this runs in the event loop's own thread: about 10 ms.
    """
    try:
        from sandlock.sandbox import Sandbox, StdioMode
    except (ImportError, OSError) as error:
        raise SandboxUnavailable(f"sandlock cannot be imported: {error}.") from error
    if not sys.executable:
        raise SandboxUnavailable("sandlock needs a Python executable; this process names none.")
    pipe = workdir.root / "replies"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    replies = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    source = Path(__file__).with_name("guest.py").read_text()
    worker = f"exec(compile({source!r}, '<mull worker>', 'exec'))"
    home = str(workdir.files)
    try:
        sandbox = Sandbox(
            fs_readable=_readable(),
            fs_writable=[home, str(workdir.aside), str(pipe), "/dev/null"],
            cwd=home,
            clean_env=True,
            env=_environment(home, str(workdir.aside)),
            max_memory=MEMORY_BYTES,
            max_processes=1,
            net_allow=_NO_NETWORK,
            extra_deny_syscalls=denied_calls(),
            **_identity(),
        )
        arguments = [str(pipe), str(wire.TEXT_CHARACTERS), str(workdir.aside)]
        with warnings.catch_warnings():
            # sandlock 0.9.0 says that `gid` has no effect; it is set together with `uid`.
            warnings.filterwarnings("ignore", "Policy field 'gid'")
            process: Any = sandbox.popen(
                [sys.executable, "-I", "-B", "-X", "utf8", "-c", worker, *arguments],
                stdin=StdioMode.PIPED,
                stdout=StdioMode.PIPED,
                stderr=StdioMode.PIPED,
            )
    except Exception as error:
        os.close(replies)
        raise SandboxUnavailable(
            f"sandlock refused to start ({error}). It needs Linux 6.7 or later, and a container "
            "whose seccomp profile allows pidfd_getfd; run by root, user namespaces too. Run "
            "`mull doctor`."
        ) from error
    return Guest(process, replies)


def _identity() -> dict[str, int]:
    """For a host run by root: nobody in a user namespace, where root's powers end."""
    return {"uid": _NOBODY, "gid": _NOBODY} if os.geteuid() == 0 else {}


def _environment(home: str, aside: str) -> dict[str, str]:
    # One thread for each numeric library: its pools reserve memory for every core of the machine.
    pools = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")
    return {
        "HOME": home,
        "TMPDIR": home,
        "PATH": "/usr/bin:/bin",
        "MALLOC_ARENA_MAX": "2",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": aside,
        **{f"{pool}_NUM_THREADS": "1" for pool in pools},
    }


def _readable() -> list[str]:
    """The interpreter, its packages and the system's libraries, where they exist."""
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    places += site.getsitepackages()
    places += ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime"]
    places += ["/dev/urandom", "/dev/zero"]
    return sorted({place for place in places if Path(place).exists()})
