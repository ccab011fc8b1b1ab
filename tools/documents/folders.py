"""Folders: which files there are to read, and which are left out and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import WrongUsage

MOST_OF_A_NAME = 300
"""Characters of a name that are shown."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that may be read."""

    path: str
    name: str
    """How it is cited: its path below the folder, on one line."""
    size: int
    """Bytes."""
    changed: int
    """When it was last written, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """What is left out, or can be read in part only."""

    name: str
    reason: str


@dataclass(frozen=True)
class Folders:
    """What to look through: folders, and single files.

    Raises `WrongUsage` for a path that is not there.
    """

    roots: tuple[Path, ...]
    base: Path
    """What names are relative to."""

    @classmethod
    def of(cls, paths: str | Path | Sequence[str | Path]) -> Folders:
        """The folders at these paths; whether they are there is checked."""
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        if not given:
            raise WrongUsage("documents need a folder or a file")
        roots = tuple(sorted({Path(path).expanduser().resolve() for path in given}))
        for root in roots:
            if not root.exists():
                raise WrongUsage(f"there are no documents at {root}: is the path right?")
        places = [root if root.is_dir() else root.parent for root in roots]
        try:
            base = Path(os.path.commonpath(places))
        except ValueError:  # On several drives.
            base = Path()
        return cls(roots, base)

    def name_of(self, path: str) -> str:
        """The path below the base as one line of printable characters."""
        below = os.path.relpath(path, self.base) if self.base.is_absolute() else path
        name = below.replace(os.sep, "/")
        if not name.isprintable():
            name = "".join(c if c.isprintable() else "\ufffd" for c in name)
        return name if len(name) <= MOST_OF_A_NAME else f"…{name[-MOST_OF_A_NAME:]}"

    def walk(self, largest: int, without: frozenset[str]) -> Iterator[File | Skipped]:
        """Every file below, in no order, and what is left out.

        Left out are hidden files and folders, links out of the folders, files of more than
        `largest` bytes, what is not a file, and the paths `without`. A link to what is found
        under its own name is passed over. Raises `WrongUsage` for a root that cannot be read.
        """
        for root in self.roots:
            try:
                if root.is_dir():
                    os.scandir(root).close()
                elif not root.exists():
                    raise FileNotFoundError(2, "it is not there", str(root))
            except OSError as error:
                raise WrongUsage(f"the documents at {root} cannot be read: {error}") from error
            if root.is_dir():
                yield from self._below(root, largest, without)
            elif str(root) not in without:
                yield self._file(str(root), largest)

    def _below(self, root: Path, largest: int, without: frozenset[str]) -> Iterator[File | Skipped]:
        pending, linked = [str(root)], set[str]()
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        try:
                            if entry.path in without:
                                continue
                            if entry.name.startswith("."):
                                yield Skipped(self.name_of(entry.path), "hidden")
                            elif entry.is_symlink():
                                yield from self._link(entry.path, root, largest, pending, linked)
                            elif entry.is_dir(follow_symlinks=False):
                                pending.append(entry.path)
                            else:
                                yield self._file(entry.path, largest)
                        except OSError as error:
                            yield Skipped(self.name_of(entry.path), _why(error))
            except OSError as error:
                yield Skipped(self.name_of(folder), _why(error))

    def _link(
        self, path: str, root: Path, largest: int, pending: list[str], linked: set[str]
    ) -> Iterator[File | Skipped]:
        """What a link leads to, if that is inside and not found anyway; each folder once."""
        real = os.path.realpath(path)
        inside = Path(real).is_relative_to(root)
        if not inside:
            yield Skipped(self.name_of(path), "a link out of the folder")
        elif any(part.startswith(".") for part in Path(real).relative_to(root).parts):
            if not os.path.isdir(real):
                yield self._file(path, largest)
            elif real not in linked:
                linked.add(real)
                pending.append(path)
        elif not os.path.exists(real):
            yield Skipped(self.name_of(path), "a link to nothing")

    def _file(self, path: str, largest: int) -> File | Skipped:
        name, status = self.name_of(path), os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return Skipped(name, "not a file")
        if status.st_size > largest:
            return Skipped(name, f"{status.st_size} bytes, more than the limit of {largest}")
        return File(path, name, status.st_size, status.st_mtime_ns)


def read_bytes(path: str, largest: int) -> tuple[bytes, os.stat_result]:
    """A file's content, up to one byte more than `largest`, and what it was when it was read.

    Raises `OSError`; never waits for a pipe that stands in the file's place.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no longer a file")
        return file.read(largest + 1), status


def _why(error: OSError) -> str:
    return f"it cannot be read: {error.strerror or error}"
