"""One guest process seen from the host: its pipes, its signals, what it uses, its end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import FILE_BYTES
from .protocol import Execution
from .wire import REPLY_BYTES, BadReply, Capped, parse
from .workdir import DISK_BYTES, Workdir

THREADS = 128
"""The most threads a guest may run."""
MEMORY_BYTES = 1024**3
"""The most memory a guest may map or hold."""
_KERNEL_LIMITS = {
    resource.RLIMIT_FSIZE: FILE_BYTES,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 256,
}
_CHUNK = 64 * 1024
_DRAIN = 4 * 1024 * 1024


class GuestGone(Exception):
    """The guest process has ended, or closed its reply pipe."""


class Guest:
    """A started worker. Not shared between calls: `SandlockSandbox` hands it one at a time."""

    def __init__(self, process: Any, replies: int) -> None:
        self._process = process
        self._pid: int = process.pid or 0
        self._loop = asyncio.get_running_loop()
        self._requests: int = process.stdin.fileno()
        self._replies = replies
        self._pending = bytearray()
        self._received = 0
        self._news = asyncio.Event()
        self._ended = self._ended_alone = False
        self.stdout, self.stderr = Capped(), Capped()
        self._readers: dict[int, Callable[[bytes], None]] = {
            replies: self._on_reply,
            process.stdout.fileno(): lambda data: self.stdout.add(data),
            process.stderr.fileno(): lambda data: self.stderr.add(data),
        }
        for fd in (*self._readers, self._requests):
            os.set_blocking(fd, False)
        for fd in self._readers:
            self._loop.add_reader(fd, self._read, fd)

    def limit(self) -> None:
        """Set the kernel's limits, before the first cell. From here, because the guest may not make
        the call: it reaches any process of the same user. Raises `OSError`."""
        if sys.platform == "linux":  # as everywhere here; mypy wants it said
            for kind, most in _KERNEL_LIMITS.items():
                _, hard = resource.prlimit(self._pid, kind)
                most = most if hard == resource.RLIM_INFINITY else min(most, hard)
                resource.prlimit(self._pid, kind, (most, most))

    async def send(self, line: bytes) -> None:
        """Write one request line. Raises `GuestGone`."""
        while line:
            try:
                line = line[os.write(self._requests, line) :]
            except BlockingIOError:
                writable = asyncio.Event()
                self._loop.add_writer(self._requests, writable.set)
                try:
                    await writable.wait()
                finally:
                    self._loop.remove_writer(self._requests)
            except OSError as error:
                raise GuestGone from error

    async def reply(self, call: str) -> Execution:
        """The reply to `call`; replies to anything else are dropped, as forgeries of late or early
        ones are. Safe to cancel and ask again. Raises `GuestGone`, `BadReply`."""
        while True:
            while (end := self._pending.find(b"\n")) >= 0:
                line = bytes(self._pending[:end])
                del self._pending[: end + 1]
                answered, execution = parse(line)
                if answered == call:
                    return execution
            if self._received > REPLY_BYTES:
                raise BadReply(f"the reply is longer than {REPLY_BYTES} bytes")
            if self._ended:
                raise GuestGone
            self._news.clear()
            await self._news.wait()

    def begin(self) -> None:
        """Let the guest run, with empty output."""
        self.stdout, self.stderr = Capped(), Capped()
        self._received = len(self._pending)
        self._signal(signal.SIGCONT)

    def freeze(self) -> None:
        """Stop all its threads until `begin`: nothing goes on between calls."""
        self._signal(signal.SIGSTOP)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell."""
        self._signal(signal.SIGINT)

    def drain(self) -> None:
        """Read what a frozen guest had written before it was frozen."""
        for fd in list(self._readers):
            for _ in range(_DRAIN // _CHUNK):
                if not self._read(fd):
                    break

    def kill(self) -> None:
        """SIGKILL. The process stays until `reap`."""
        self._process.kill()

    def detach(self) -> None:
        """Kill it and leave the event loop; what follows may run in a thread."""
        for fd in self._readers:
            self._loop.remove_reader(fd)
        self._ended_alone, self._ended = self._ended, True
        if not self._ended_alone:
            self._process.kill()

    def reap(self) -> str:
        """Wait for the end after `detach`, close every descriptor; how it ended, in words."""
        ended = self._process.wait(1)  # kills what does not end
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()
        os.close(self._replies)
        if not self._ended_alone:
            return "was killed"
        if ended.signal and ended.signal > 0:
            return f"ended by signal {signal.Signals(ended.signal).name}"
        if ended.reason.name == "EXITED":
            return f"exited with code {ended.exit_code}"
        return f"was killed, most likely for going over {MEMORY_BYTES >> 20} MiB of memory"

    def excess(self, workdir: Workdir) -> str | None:
        """Which limit the guest is over, or None. For a thread: it reads files."""
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if int(fields["Threads"]) > THREADS:
                return f"ran more than {THREADS} threads"
            held = sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem"))
            if held * 1024 > MEMORY_BYTES:
                return f"held more than {MEMORY_BYTES >> 20} MiB of memory"
            if _deleted_bytes(self._pid) > DISK_BYTES:
                return f"wrote more than {DISK_BYTES >> 20} MiB of deleted files"
        except (OSError, KeyError, ValueError):
            return None  # It has just ended; its pipe says so.
        return workdir.excess()

    def _signal(self, number: signal.Signals) -> None:
        if not self._ended:
            try:
                os.kill(self._pid, number)
            except ProcessLookupError:
                self._end()

    def _read(self, fd: int) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._readers[fd](data)
            return True
        self._loop.remove_reader(fd)
        if fd == self._replies:
            self._end()
        return False

    def _on_reply(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= REPLY_BYTES:
            self._pending += data
        self._news.set()

    def _end(self) -> None:
        self._ended = True
        self._news.set()


def _deleted_bytes(pid: int) -> int:
    """Disk held by files that are open and no longer in any directory."""
    held = 0
    folder = f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        try:
            found = os.stat(f"{folder}/{fd}")
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
            held += found.st_blocks * 512
    return held
