"""The one directory a sandbox may write: names kept inside it, use measured, removed at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .files import FILE_BYTES, relative
from .protocol import SandboxFileError

PREFIX = "mull-sandbox-"
DISK_BYTES = 256 * 1024 * 1024
"""All files of a sandbox together."""
ENTRIES = 4096
"""Files and directories of a sandbox together."""
PICTURES = 8
"""The most pictures of one cell."""
PICTURE_BYTES = 4 * 1024 * 1024
"""The largest picture."""
_PNG = b"\x89PNG\r\n\x1a\n"


class Workdir:
    """A temporary directory: `files/` for the guest, and room for the host's own pipe.

    `aside/` is the guest's too: its worker leaves pictures there, and libraries their caches. None
    of it is among the files that people see.

    Its lock is held while this process lives; directories whose owner died without removing them
    are removed by the next one made.
    """

    def __init__(self) -> None:
        _sweep()
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.files = self.root / "files"
        self.files.mkdir()
        self.aside = self.root / "aside"
        self.aside.mkdir()
        self._seen: dict[str, tuple[int, int]] = {}
        self._lock = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Remove it with all that is in it. Safe to call twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
            shutil.rmtree(self.root, ignore_errors=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a file, making its directories. Raises `SandboxFileError`."""
        if len(data) > FILE_BYTES:
            raise SandboxFileError(f"{name!r} has {len(data)} bytes; the most is {FILE_BYTES}.")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(self._open(name, flags, make=True), "wb") as file:
            file.write(data)
            file.flush()
            self._seen[str(relative(name))] = _mark(os.fstat(file.fileno()))

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises `SandboxFileError`."""
        with os.fdopen(self._open(name, os.O_RDONLY, make=False), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > FILE_BYTES:
                raise SandboxFileError(f"{name!r} has {size} bytes; the most is {FILE_BYTES}.")
            return file.read(FILE_BYTES)

    def names(self) -> tuple[str, ...]:
        """The regular files, as relative names, sorted; at most `ENTRIES`."""
        return tuple(sorted(self._marks()))

    def changed(self) -> tuple[str, ...]:
        """The files that the guest made or wrote to since this was last asked, sorted."""
        before, self._seen = self._seen, self._marks()
        return tuple(sorted(n for n, mark in self._seen.items() if before.get(n) != mark))

    def take_pictures(self) -> tuple[bytes, ...]:
        """The PNG pictures that the worker left, in the order of their names; removes them."""
        found: list[bytes] = []
        with os.scandir(self.aside) as entries:
            names = sorted(e.name for e in entries if e.name.endswith(".png"))
        for name in names:
            with contextlib.suppress(SandboxFileError):  # no file, or a link: none of the worker's
                fd = self._open(name, os.O_RDONLY, make=False, top=self.aside)
                with os.fdopen(fd, "rb") as file:
                    data = file.read(PICTURE_BYTES + 1)
                if len(found) < PICTURES and data.startswith(_PNG) and len(data) <= PICTURE_BYTES:
                    found.append(data)
            with contextlib.suppress(OSError):
                os.unlink(self.aside / name)
        return tuple(found)

    def excess(self) -> str | None:
        """Which limit the directory is over, or None."""
        used = 0
        for number, entry in enumerate(self._walk(self.files, self.aside), start=1):
            try:
                used += entry.stat(follow_symlinks=False).st_blocks * 512
            except FileNotFoundError:
                continue
            if used > DISK_BYTES:
                return f"wrote more than {DISK_BYTES >> 20} MiB of files"
            if number > ENTRIES:
                return f"made more than {ENTRIES} files"
        return None

    def clear(self) -> None:
        """Remove every file, so that a sandbox over its limit can go on."""
        for folder in (self.files, self.aside):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)

    def _marks(self) -> dict[str, tuple[int, int]]:
        marks = {}
        for entry in self._walk(self.files):
            if entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    # Bytes that are no UTF-8 could not be told to anyone.
                    name = os.path.relpath(entry.path, self.files).encode("utf-8", "replace")
                    marks[name.decode()] = _mark(found)
        return marks

    def _walk(self, *tops: Path) -> Iterator[os.DirEntry[str]]:
        left, seen = [str(top) for top in tops], 0
        while left:
            try:
                entries = os.scandir(left.pop())
            except OSError:
                continue
            with entries:
                for entry in entries:
                    yield entry
                    seen += 1
                    if seen > ENTRIES:
                        return
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)

    def _open(self, name: str, flags: int, make: bool, top: Path | None = None) -> int:
        path = relative(name)
        # One component at a time and never through a link: what the guest makes of its directory
        # while we walk it cannot lead outside.
        inside = os.O_NOFOLLOW | os.O_CLOEXEC
        folder = os.open(top or self.files, os.O_RDONLY | os.O_DIRECTORY | inside)
        try:
            for part in path.parts[:-1]:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | inside, dir_fd=folder)
                os.close(folder)
                folder = deeper
            fd = os.open(path.name, flags | inside | os.O_NONBLOCK, 0o600, dir_fd=folder)
        except OSError as error:
            raise SandboxFileError(f"File {name!r} cannot be opened: {error.strerror}.") from error
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise SandboxFileError(f"{name!r} is not a regular file.")
        return fd


def _mark(found: os.stat_result) -> tuple[int, int]:
    """Differs when the file was written to: the guest cannot set a file's change time."""
    return found.st_ctime_ns, found.st_size


def _sweep() -> None:
    """Remove directories left by processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        try:
            found = path.lstat()
            # A directory just made may not be locked yet.
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < 60:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(lock)
