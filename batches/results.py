"""The results: rows appended to a file that outlives any crash, and what a resume finds there."""

from __future__ import annotations

import fcntl
import os
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from ..errors import StorageFailed, WrongUsage
from .digests import Digests, digest
from .row import OPENING, Found, Row, read_row

GROUP_SECONDS = 1.0
"""Rows are forced to the disk together, at most this often."""
PATIENCE = 3.0
"""Seconds to wait for a killed process to let go of the file."""


class Results(Protocol):
    """Where rows are kept. One writer at a time."""

    finished: Digests
    """The ids that have a row."""
    failed: int
    """How many of those rows are errors."""

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows, whole: a process that is killed afterwards does not lose them."""

    def due(self) -> bool:
        """Whether it is time for `sync`."""

    def sync(self) -> None:
        """Force what was appended to the disk: a power cut does not lose it."""

    def close(self) -> None:
        """Sync, and let another writer in."""


class ResultsFile:
    """Rows in a file of JSON lines. Opening it cuts off what a killed process wrote in part.

    Args:
        retry_errors: Drop the rows that are errors, so that their questions count as unfinished.

    Raises `WrongUsage` when another process writes to it, or when it holds something else.
    """

    def __init__(self, path: str | Path, *, retry_errors: bool = False) -> None:
        self.path = Path(path)
        try:
            self._file = _locked(self.path)
        except OSError as error:
            raise WrongUsage(f"{self.path}: {error.strerror}") from error
        try:
            self.finished, self.failed = self._resume(retry_errors)
        except BaseException:
            self._file.close()
            raise
        self._synced = time.monotonic()
        self._unsynced = False

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows at the end. Raises `StorageFailed` when the disk does not take them."""
        left = memoryview(b"".join(row.encoded() for row in rows))
        try:
            while left:
                left = left[os.write(self._file.fileno(), left) :]
                self._unsynced = True
        except OSError as error:
            raise self._full(error) from error

    def due(self) -> bool:
        """Whether it is time for `sync`."""
        return self._unsynced and time.monotonic() - self._synced >= GROUP_SECONDS

    def sync(self) -> None:
        """Force what was appended to the disk. Raises `StorageFailed` when it does not take it."""
        self._unsynced = False
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full(error) from error
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync, and let another writer in."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def _resume(self, retry_errors: bool) -> tuple[Digests, int]:
        """The finished ids, and how many of them are errors."""
        good, bad = array("Q"), array("Q")
        torn, end = b"", 0
        self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                torn = line
                break
            row = self._row(line)
            (bad if row.failed else good).append(digest(row.id))
            end += len(line)
        if torn and (last := self._mend(torn, end)) is not None:
            (bad if last.failed else good).append(digest(last.id))
        if retry_errors and bad:
            self._drop_errors()
            bad = array("Q")
        return Digests(good + bad), len(bad)

    def _row(self, line: bytes) -> Found:
        try:
            row = read_row(line)
        except (ValueError, RecursionError):
            row = None
        if row is None:
            raise self._foreign()
        return row

    def _mend(self, torn: bytes, start: int) -> Found | None:
        """Cut off the last line, which has no end; or give it one, where only that is missing."""
        if not torn.startswith(OPENING[: len(torn)]):
            raise self._foreign()
        try:
            row = read_row(torn)
        except ValueError:
            self._file.truncate(start)
            return None
        if row is None:
            raise self._foreign()
        self._file.write(b"\n")
        self._file.flush()
        return row

    def _drop_errors(self) -> None:
        """Replace the file, at once and whole, by one without the errors."""
        other = self.path.with_name(self.path.name + ".new")
        other.unlink(missing_ok=True)
        file = _locked(other)
        try:
            self._file.seek(0)
            file.writelines(line for line in self._file if not self._row(line).failed)
            file.flush()
            os.fsync(file.fileno())
            os.replace(other, self.path)
        except BaseException:
            file.close()
            raise
        self._file.close()
        self._file = file

    def _full(self, error: OSError) -> StorageFailed:
        return StorageFailed(
            f"{self.path}: {error.strerror}. Make room, and start the batch again: it goes on "
            "where it was"
        )

    def _foreign(self) -> WrongUsage:
        return WrongUsage(
            f"{self.path} holds something else than a batch's results: name another file. Nothing "
            "in it was changed"
        )


def _locked(path: Path) -> BinaryIO:
    """The file, open at its end, for this process alone."""
    give_up = time.monotonic() + PATIENCE
    while True:
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if time.monotonic() >= give_up:
                raise WrongUsage(
                    f"{path}: another process is writing it. Wait for it, or name another file"
                ) from None
            time.sleep(0.05)
            continue
        try:
            same = os.path.samestat(os.fstat(file.fileno()), path.stat())
        except FileNotFoundError:
            same = False
        if same:
            return file
        file.close()  # It was replaced meanwhile.
