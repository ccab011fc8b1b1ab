"""Is this boundary one? Attacks tried inside it before the first cell; none may succeed."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .protocol import Sandbox

PROBE_SECONDS = 5.0

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
}
"""What must fail, as the code that does it; `str.format` puts in the host's values."""


async def breaches(sandbox: Sandbox) -> list[str]:
    """What the code in `sandbox` can do and must not; empty for a boundary that holds.

    One that does not run ordinary code, or dies of a probe, is no boundary either.
    """
    found = []
    sound = await sandbox.run_code("6 * 7", PROBE_SECONDS)
    if sound.error or [result.text for result in sound.results] != ["42"]:
        return [f"it does not compute 6 * 7 ({sound.error or sound.results})"]
    with _targets() as values:
        for name, probe in PROBES.items():
            if values["variable"] is None and "{variable" in probe:
                continue
            done = await sandbox.run_code(probe.format(**values), PROBE_SECONDS)
            if done.error is None:
                found.append(name)
            elif done.session_lost:
                found.append(f"{name} ended the session: {done.error.value}")
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
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        unix = str(Path(folder) / "socket")
        if hasattr(socket, "AF_UNIX"):
            local.bind(unix)
            local.listen()
        yield {
            "secret": secret,
            "canary": str(canary),
            "outside": str(Path(folder) / "written"),
            "pid": os.getpid(),
            "variable": next((name for name in os.environ if name not in expected), None),
            "port": listener.getsockname()[1],
            "unix": unix,
        }
