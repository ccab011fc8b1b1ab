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
from pathlib import Path, PurePosixPath

from .protocol import SandboxFileError

PREFIX = "mull-sandbox-"
FILE_BYTES = 64 * 1024 * 1024
"""The largest file a sandbox may hold, write or be given."""
DISK_BYTES = 256 * 1024 * 1024
"""All files of a sandbox together."""
ENTRIES = 4096
"""Files and directories of a sandbox together."""


class Workdir:
    """A temporary directory with `files/` for the guest and room for the host's own pipe.

    Its lock is held while this process lives; directories whose owner died without removing them
    are removed by the next one made.
    """

    def __init__(self) -> None:
        _sweep()
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.files = self.root / "files"
        self.files.mkdir()
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

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises `SandboxFileError`."""
        with os.fdopen(self._open(name, os.O_RDONLY, make=False), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > FILE_BYTES:
                raise SandboxFileError(f"{name!r} has {size} bytes; the most is {FILE_BYTES}.")
            return file.read(FILE_BYTES)

    def names(self) -> tuple[str, ...]:
        """The regular files, as relative names, sorted; at most `ENTRIES`."""
        found = (e for e in self._walk() if e.is_file(follow_symlinks=False))
        return tuple(sorted(os.path.relpath(e.path, self.files) for e in found))

    def excess(self) -> str | None:
        """Which limit the directory is over, or None."""
        used = 0
        for number, entry in enumerate(self._walk(), start=1):
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
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir(exist_ok=True)

    def _walk(self) -> Iterator[os.DirEntry[str]]:
        left, seen = [str(self.files)], 0
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

    def _open(self, name: str, flags: int, make: bool) -> int:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise SandboxFileError(
                f"File name {name!r} is refused: use a relative name without '..'."
            )
        # One component at a time and never through a link: what the guest makes of its directory
        # while we walk it cannot lead outside.
        inside = os.O_NOFOLLOW | os.O_CLOEXEC
        folder = os.open(self.files, os.O_RDONLY | os.O_DIRECTORY | inside)
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
