"""Attacks from inside every boundary that this machine offers, on real targets outside.

Behind E2B they are that machine's business: its kernel, files and processes are all that the code
meets there. What it can send back to us is attacked in `test_sandbox_e2b.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from boundaries import HERE, boundary

from mull.portal import run_blocking
from mull.tools.sandbox import Sandbox
from mull.tools.sandbox.selftest import breaches


@pytest.fixture(params=HERE)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    async with boundary(request.param) as opened:
        yield opened


async def test_nothing_in_the_self_test_succeeds(sandbox: Sandbox) -> None:
    assert await breaches(sandbox) == []


def raw(number: int, arguments: str) -> str:
    """A call by its number on x86-64; from 424 on it is the same everywhere."""
    if number < 424 and platform.machine() != "x86_64":
        number = -1
    return f"import ctypes\nassert ctypes.CDLL(None).syscall({number}, {arguments}) >= 0"


ATTACKS = {
    "os_system": "import os\nassert os.system('true') == 0",
    "write_home": "import os\nopen(os.path.expanduser('~root') + '/x', 'w')",
    "read_passwd": "open('/etc/passwd').read()",
    "read_mull": f"open({str(Path(__file__))!r}).read()",
    "read_proc": "open('/proc/self/environ').read()",
    "ctypes_read": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.open(b'/etc/passwd', 0) >= 0"
    ),
    "ctypes_write": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.open(b'/tmp/x', 0o102, 0o600) >= 0"
    ),
    "fork_64": (
        "import os\nfor i in range(64):\n    if os.fork() == 0:\n        import time\n"
        "        time.sleep(60)\n        os._exit(0)"
    ),
    "background_process": "import subprocess\nsubprocess.Popen(['sleep', '60'])",
    "kill_init": "import os\nos.kill(1, 0)",
    "listen": "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()",
    "unshare": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "memfd": "import os\nos.memfd_create('m')",
    "new_mount": raw(430, "b'tmpfs', 0"),
    "mount_tree": raw(428, "-100, b'/', 1"),
    "mount_pick": raw(433, "-100, b'/', 0"),
    "mount_setattr": raw(442, "-100, b'/', 0, bytes(32), 32"),
    "chroot": "import os\nos.chroot('.')",
    "device": "import os\nos.mknod('device', 0o020600, os.makedev(1, 11))",
    "kernel_log": raw(103, "3, bytes(100), 100"),
    "clock": "import time\ntime.clock_settime(0, time.time())",
    "adjust_clock": raw(159, "ctypes.create_string_buffer(300)"),
    "hostname": "import socket\nsocket.sethostname('x')",
    "quota": raw(179, "0x800001 << 8, 0, 0, 0"),
    "swap": raw(167, "b'/x', 0"),
    "accounting": raw(163, "0"),
    "hang_up": raw(153, "0"),
    "personality": raw(135, "0x0040000"),
    "key": raw(248, "b'user', b'mull', b'x', 1, -4"),
    "fanotify": raw(300, "0, 0"),
    "queue": raw(240, "b'mull', 0o102, 0o600, 0"),
    "shared_memory": "import ctypes\nassert ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) >= 0",
    "raise_limit": "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "mount": "import ctypes\nassert ctypes.CDLL(None).mount(b'a', b'/tmp', b'tmpfs', 0, 0) == 0",
    "io_uring": raw(425, "4, ctypes.create_string_buffer(200)"),
    "bpf": raw(321, "0, bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1]) + bytes(107), 120"),
    "userfaultfd": raw(323, "0"),
    "ptrace": raw(101, "0, 0, 0, 0"),
}


async def denied(sandbox: Sandbox) -> None:
    """Every attack fails, and the next call works with its variables."""
    await sandbox.run_code("kept = 1", 5)
    for name, attack in ATTACKS.items():
        done = await sandbox.run_code(attack, 5)
        assert done.error is not None, name
        assert not done.session_lost, name
        assert (await sandbox.run_code("kept", 5)).results[0].text == "1", name


async def test_an_attack_is_denied_and_the_session_lives(sandbox: Sandbox) -> None:
    await denied(sandbox)


@pytest.mark.parametrize("name", HERE)
def test_an_attack_is_denied_to_synchronous_callers_too(name: str) -> None:
    async def attack() -> None:
        async with boundary(name) as opened:
            assert await breaches(opened) == []
            await denied(opened)

    run_blocking(attack)


ON_A_FILE = {
    "chmod": "import os\nos.chmod({path!r}, 0o777)",
    "fchmodat": "import os\nos.chmod({name!r}, 0o777, dir_fd=os.open('/usr', os.O_PATH))",
    "fchmodat2": raw(452, "-100, {path!r}.encode(), 0o777, 0"),
    "chown": "import os\nos.chown({path!r}, os.getuid(), os.getgid())",
    "lchown": "import os\nos.lchown({path!r}, os.getuid(), os.getgid())",
    "utime": "import os\nos.utime({path!r}, (0, 0))",
    "old_utime": raw(132, "{path!r}.encode(), 0"),
    "old_utimes": raw(235, "{path!r}.encode(), 0"),
    "old_futimesat": raw(261, "-100, {path!r}.encode(), 0"),
    "setxattr": "import os\nos.setxattr({path!r}, 'user.a', b'x')",
    "lsetxattr": "import os\nos.setxattr({path!r}, 'user.a', b'x', follow_symlinks=False)",
    "removexattr": "import os\nos.removexattr({path!r}, 'user.b')",
    "setxattrat": raw(463, "-100, {path!r}.encode(), 0, b'user.a', bytes(16), ctypes.c_ulong(16)"),
    "removexattrat": raw(466, "-100, {path!r}.encode(), 0, b'user.b'"),
    "file_setattr": raw(469, "-100, {path!r}.encode(), bytes(24), 24, 0"),
    "truncate": "import os\nos.truncate({path!r}, 0)",
    "unlink": "import os\nos.unlink({path!r})",
    "rename_out": "import os\nopen('new', 'w').close()\nos.rename('new', {path!r})",
    "rename_in": "import os\nos.rename({path!r}, 'old')",
    "link": "import os\nos.link({path!r}, 'linked')",
    "mkdir": "import os\nos.mkdir({path!r} + '.d')",
    "symlink": "import os\nos.symlink('/', {path!r} + '.l')",
    "handle": raw(303, "-100, {path!r}.encode(), b'\\x80' + bytes(199), bytes(8), 0"),
    "inotify": (
        "import ctypes\nc = ctypes.CDLL(None)\n"
        "assert c.inotify_add_watch(c.inotify_init(), {path!r}.encode(), 0xFFF) >= 0"
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="The attacks are Linux's.")
async def test_a_file_outside_stays_as_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    assert sys.platform == "linux"
    target = tmp_path / "target"
    target.write_text("kept")
    target.chmod(0o640)
    with contextlib.suppress(OSError):
        os.setxattr(target, "user.b", b"kept")

    def state() -> object:
        found = target.stat()
        kept = (found.st_mode, found.st_uid, found.st_gid, found.st_nlink, found.st_ctime_ns)
        return kept, target.read_text(), os.listxattr(target), os.listdir(tmp_path)

    before = state()
    for name, attack in ON_A_FILE.items():
        code = attack.format(path=str(target), name=f"..{target}")
        assert (await sandbox.run_code(code, 5)).error is not None, name
        assert state() == before, name


ON_A_PROCESS = {
    "kill": "import os\nos.kill({pid}, 9)",
    "killpg": "import os\nos.killpg({pid}, 9)",
    "sigqueue": "import ctypes\nassert ctypes.CDLL(None).sigqueue({pid}, 9, None) == 0",
    "tgkill": "import ctypes\nassert ctypes.CDLL(None).tgkill({pid}, {pid}, 9) == 0",
    "tkill": raw(200, "{pid}, 9"),
    "pidfd": "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({pid}), 9)",
    "pidfd_getfd": raw(438, "ctypes.CDLL(None).syscall(434, {pid}, 0), 0, 0"),
    "process_madvise": raw(440, "ctypes.CDLL(None).syscall(434, {pid}, 0), 0, 0, 20, 0"),
    "read_memory": raw(310, "{pid}, 0, 0, 0, 0, 0"),
    "write_memory": raw(311, "{pid}, 0, 0, 0, 0, 0"),
    "kcmp": raw(312, "{pid}, {pid}, 0, 0, 0"),
    "move_pages": raw(279, "{pid}, 0, 0, 0, 0, 0"),
    "prlimit": "import resource\nresource.prlimit({pid}, resource.RLIMIT_CPU, (1, 1))",
    "setpriority": "import os\nos.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "ioprio_set": raw(251, "1, {pid}, 3 << 13"),
    "sched_setaffinity": "import os\nos.sched_setaffinity({pid}, [0])",
    "sched_setscheduler": (
        "import os\nos.sched_setscheduler({pid}, os.SCHED_BATCH, os.sched_param(0))"
    ),
    "sched_setparam": "import os\nos.sched_setparam({pid}, os.sched_param(0))",
    "sched_setattr": raw(314, "{pid}, bytes([48, 0, 0, 0, 3]) + bytes(43), 0"),
    "setpgid": "import os\nos.setpgid(0, {pid})",
    "ptrace": raw(101, "16, {pid}, 0, 0"),
}
SILENT_ON_A_PROCESS = {
    "kill_all": "import os, signal\nos.kill(-1, signal.SIGURG)",
    **{
        f"{what}_{sign}": (
            f"import os, fcntl, socket\nr, w = {pair}\n"
            f"fcntl.fcntl(r, fcntl.F_SETOWN, {sign}{{pid}})\n"
            "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)\n"
            f"{write}"
        )
        for what, pair, write in (
            ("pipe", "os.pipe()", "os.write(w, b'x')"),
            ("socket", "socket.socketpair()", "w.send(b'x')"),
        )
        for sign in ("+", "-")
    },
}
"""Denied, but without an error: only the victim can tell."""


@pytest.mark.skipif(sys.platform != "linux", reason="The attacks are Linux's.")
async def test_a_process_outside_stays_as_it_is(sandbox: Sandbox) -> None:
    assert sys.platform == "linux"
    victim = _victim()
    seen = psutil.Process(victim.pid)

    def state() -> object:
        limits = resource.prlimit(victim.pid, resource.RLIMIT_CPU)
        policy = os.sched_getscheduler(victim.pid)
        return seen.nice(), seen.ionice(), seen.cpu_affinity(), limits, policy, victim.poll()

    try:
        assert victim.stdout is not None
        victim.stdout.readline()
        before = state()
        for name, attack in (ON_A_PROCESS | SILENT_ON_A_PROCESS).items():
            done = await sandbox.run_code(attack.format(pid=victim.pid), 5)
            assert name in SILENT_ON_A_PROCESS or done.error is not None, name
            assert state() == before, name
    finally:
        victim.communicate()


async def test_a_loopback_listener_is_never_reached(sandbox: Sandbox) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        port = listener.getsockname()[1]
        for protocol in (0, 6, 262):
            code = f"import socket\nsocket.socket(2, 1, {protocol}).connect(('127.0.0.1', {port}))"
            assert (await sandbox.run_code(code, 5)).error is not None
        fast_open = (
            f"import socket\nsocket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', {port}))"
        )
        assert (await sandbox.run_code(fast_open, 5)).error is not None
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            listener.accept()


def _victim() -> subprocess.Popen[bytes]:
    code = (
        "import os, signal\nos.setpgid(0, 0)\n"
        "signal.signal(signal.SIGURG, lambda *_: os._exit(3))\nprint('ready', flush=True)\ninput()"
    )
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)
