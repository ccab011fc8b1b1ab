"""Is this boundary one? Attacks tried inside it before the first cell; none may succeed."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .protocol import Sandbox

PROBE_SECONDS = 5.0


def _call(number: int, arguments: str, reached: int = 0) -> str:
    """A call by its number (from 424 on the same everywhere) that gives no error but `reached`."""
    arguments = arguments.replace("{path}", "{canary!r}.encode()")
    return (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nctypes.set_errno(0)\n"
        f"c.syscall({number}, {arguments})\nassert ctypes.get_errno() == {reached}"
    )


PROBES: Mapping[str, str] = {
    "read a file outside": "assert {secret!r} in open({canary!r}).read()",
    "read a file outside through a link": (
        "import os\nos.symlink({canary!r}, 'link')\nassert {secret!r} in open('link').read()"
    ),
    "write a file outside": "open({outside!r}, 'w').close()",
    "list the root directory": "import os\nassert os.listdir('/')",
    "read the host's environment": "assert open('/proc/{pid}/environ', 'rb').read()",
    "read the host's variables": "import os\nos.environ[{variable!r}]",
    "signal the host": "import os\nos.kill({pid}, 0)",
    "signal the host by a queue": (
        "import ctypes\nassert ctypes.CDLL(None).sigqueue({pid}, 0, None) == 0"
    ),
    "signal a thread of the host": (
        "import ctypes\nassert ctypes.CDLL(None).tgkill({pid}, {pid}, 0) == 0"
    ),
    "hold the host by a descriptor": "import os\nos.pidfd_open({pid})",
    "connect by TCP": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)",
    # Landlock's TCP rules see neither of the next two (found with sandlock 0.9.0).
    "connect by MPTCP": ("import socket\nsocket.socket(2, 1, 262).connect(('127.0.0.1', {port}))"),
    "connect by TCP Fast Open": (
        "import socket\ns = socket.socket()\ns.setblocking(False)\n"
        "try:\n    s.sendto(b'x', 0x20000000, ('127.0.0.1', {port}))\n"
        "except BlockingIOError:\n    pass"
    ),
    "send by UDP": "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))",
    "connect to a Unix socket": "import socket\nsocket.socket(1, 1).connect({unix!r})",
    "open a packet socket": "import socket\nsocket.socket(17, 3)",
    "start a process": "import os\nif os.fork() == 0:\n    os._exit(0)",
    "outlive a killed host": ("import ctypes\nassert ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0"),
    "trace a process": "import ctypes\nassert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0",
    # Each of these leaves what it reaches as it was. Landlock sees none of them.
    "change a mode outside": "import os\nos.chmod({canary!r}, 0o644)",
    "change a mode outside by a newer call": _call(452, "-100, {path}, 0o644, 0"),
    "change the mode of an open file": (
        "import os\nf = os.open(os.__file__, os.O_RDONLY)\n"
        "os.fchmod(f, os.fstat(f).st_mode & 0o7777)"
    ),
    "change an owner outside": "import os\nos.chown({canary!r}, os.getuid(), os.getgid())",
    "change times outside": "import os\nos.utime({canary!r})",
    "set an attribute outside": "import os\nos.setxattr({canary!r}, 'user.mull', b'1')",
    "remove an attribute outside": "import os\nos.removexattr({canary!r}, 'user.mull')",
    "set an attribute outside by a newer call": _call(
        463, "-100, {path}, 0, b'user.mull', (ctypes.c_ulong * 2)(), ctypes.c_ulong(16)"
    ),
    "remove an attribute outside by a newer call": _call(466, "-100, {path}, 0, b'user.mull2'", 61),
    "set a file's flags by a newer call": _call(469, "-100, {path}, bytes(24), 24, 0"),
    "watch a directory outside": (
        "import ctypes\nc = ctypes.CDLL(None)\n"
        "assert c.inotify_add_watch(c.inotify_init(), {folder!r}.encode(), 0xFFF) >= 0"
    ),
    "remove a message queue": (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nctypes.set_errno(0)\n"
        "c.mq_unlink(b'/mull-none')\nassert ctypes.get_errno() == 2"
    ),
    "set the host's limits": (
        "import resource as r\nr.prlimit({pid}, r.RLIMIT_CORE, r.prlimit({pid}, r.RLIMIT_CORE))"
    ),
    "set the host's priority": "import os\nos.setpriority(0, {pid}, os.getpriority(0, {pid}))",
    "set the host's disk priority": (
        "import ctypes, platform\nn = 251 if platform.machine() == 'x86_64' else 30\n"
        "assert ctypes.CDLL(None).syscall(n, 1, {pid}, 0) == 0"
    ),
    "set the host's processors": (
        "import os\nos.sched_setaffinity({pid}, os.sched_getaffinity({pid}))"
    ),
    "set the host's scheduling": (
        "import os\nos.sched_setparam({pid}, os.sched_getparam({pid}))\n"
    ),
    "make a device": "import os\nos.mknod('device', 0o020600, 0)",
    "change the mount table": _call(442, "-100, b'/', 0, bytes(32), 32"),
    "hold root's powers": (
        "import ctypes\nheld = (ctypes.c_uint * 6)()\n"
        "ctypes.CDLL(None).capget((ctypes.c_uint * 2)(0x20080522, 0), held)\nassert any(held[:2])"
    ),
}
"""What must fail, as the code that does it; `str.format` puts in the host's values."""

LAST_PROBE = (
    "call the kernel by its 32-bit table",
    "import ctypes, mmap\ncode = mmap.mmap(-1, 4096, prot=7)\n"
    "code.write(bytes.fromhex('b814000000cd80c3'))\n"  # getpid
    "at = ctypes.addressof(ctypes.c_char.from_buffer(code))\n"
    "assert ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0",
)
"""What must fail and may end the session in doing so."""

REMOTE_PROBES: Mapping[str, str] = {
    "read a file of this machine": PROBES["read a file outside"],
    "reach the internet": "import socket\nsocket.create_connection(('1.1.1.1', 443), 3)",
}
"""What must fail on another machine. Its files, processes and kernel are its own to lose."""


async def breaches(sandbox: Sandbox) -> list[str]:
    """What the code in `sandbox` can do and must not; empty for a boundary that holds.

    One that does not run ordinary code, or dies of a probe, is no boundary either.
    """
    found = []
    sound = await sandbox.run_code("6 * 7", PROBE_SECONDS)
    if sound.error or [result.text for result in sound.results] != ["42"]:
        return [f"it does not compute 6 * 7 ({sound.error or sound.results})"]
    remote = sandbox.capabilities.remote
    with _targets() as values:
        for name, probe in (REMOTE_PROBES if remote else PROBES).items():
            if values["variable"] is None and "{variable" in probe:
                continue
            done = await sandbox.run_code(probe.format(**values), PROBE_SECONDS)
            if done.error is None:
                found.append(name)
            elif done.session_lost:
                found.append(f"{name} ended the session: {done.error.value}")
    name, probe = LAST_PROBE
    if not remote and (await sandbox.run_code(probe, PROBE_SECONDS)).error is None:
        found.append(name)
    await sandbox.restart()
    return found


@contextmanager
def _targets() -> Iterator[dict[str, object]]:
    """Real targets on the host: an attack on nothing would fail for the wrong reason."""
    expected = {"HOME", "PATH", "TMPDIR", "LC_CTYPE", "LANG", "TERM", "USER"}
    with (
        tempfile.TemporaryDirectory(prefix="mull-selftest-") as folder,
        socket.socket() as listener,
        socket.socket(socket.AF_UNIX) if hasattr(socket, "AF_UNIX") else socket.socket() as local,
    ):
        secret, canary = secrets.token_hex(16), Path(folder) / "canary"
        canary.write_text(secret)
        canary.chmod(0o644)
        Path(folder).chmod(0o755)
        if hasattr(os, "setxattr"):
            with suppress(OSError):
                os.setxattr(canary, "user.mull", b"1")
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        unix = str(Path(folder) / "socket")
        if hasattr(socket, "AF_UNIX"):
            local.bind(unix)
            local.listen()
        yield {
            "secret": secret,
            "canary": str(canary),
            "folder": folder,
            "outside": str(Path(folder) / "written"),
            "pid": os.getpid(),
            "variable": next((name for name in os.environ if name not in expected), None),
            "port": listener.getsockname()[1],
            "unix": unix,
        }
