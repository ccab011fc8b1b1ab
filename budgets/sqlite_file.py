"""SQLiteFile: a connection to one SQLite file, for threads, processes, and servers that fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from ..errors import StorageFailed
from .private import private

PATIENCE = 30.0
"""Seconds to wait for another process's transaction (each takes well under a millisecond)."""

_making = threading.Lock()
"""Held while a file is made."""
_listing = threading.Lock()
"""Held while `_open` is changed, and over a fork. Taken before any file's own lock."""
_open: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
_over_fork: list[SQLiteFile] = []


class SQLiteFile:
    """One file, made where it is missing, for its owner alone. Safe across threads.

    Args:
        schema: Statements that make the tables where they are missing.
        synchronous: What a power cut may take: `NORMAL`, the newest transactions; `FULL`, none,
            for a sync of the disk in each. A killed process loses none with either.

    Raises `sqlite3.Error` where the file cannot be used.
    """

    def __init__(self, path: Path, schema: str, synchronous: Literal["NORMAL", "FULL"]) -> None:
        self.path = path
        self._schema = schema
        self._synchronous = synchronous
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        with _listing:
            _open.add(self)
        with self._lock:
            self._here()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement, on its own. Raises `StorageFailed`."""
        with self._lock:
            try:
                return self._here().execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from error

    @contextmanager
    def transaction(
        self, begin: Literal["BEGIN", "BEGIN IMMEDIATE"] = "BEGIN IMMEDIATE"
    ) -> Iterator[sqlite3.Connection]:
        """One transaction, rolled back on any exception.

        Args:
            begin: `BEGIN IMMEDIATE`: one writer at a time, over all processes. `BEGIN`: a snapshot
                that waits for no writer.

        Raises `StorageFailed` for what SQLite raises.
        """
        with self._lock:
            try:
                db = self._here()
                db.execute(begin)
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:  # A full disk has rolled it back already.
                        db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def close(self) -> None:
        """Close the file. It cannot be used afterwards."""
        with _listing:
            _open.discard(self)
        with self._lock:
            if self._db is not None:
                self._db.close()

    def _here(self) -> sqlite3.Connection:
        """The connection; it is opened anew after a fork."""
        if self._db is None:
            self._db = self._connect()
        return self._db

    def _connect(self) -> sqlite3.Connection:
        # Made here, so that SQLite gives its mode to the files beside it as well. One that is
        # there is not opened: closing it would give back the locks of this process's connections.
        with _making, suppress(OSError):  # It is there, or cannot be: then SQLite says why.
            os.close(private(str(self.path), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        db = sqlite3.connect(
            self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            switch_to_wal(db)
            db.execute(f"PRAGMA synchronous={self._synchronous}")
            db.executescript(self._schema)
        except BaseException:
            db.close()
            raise
        return db

    def _failed(self, error: sqlite3.Error) -> StorageFailed:
        return StorageFailed(
            f"{self.path}: {error}. See that there is room and that the file is whole, and start "
            "again: what is written is kept"
        )


def switch_to_wal(db: sqlite3.Connection) -> None:
    """Let readers wait for no writer. A file stays so once it has been switched.

    Unlike a transaction, the switch does not wait for another process's: it is tried again.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= give_up:
                raise
            time.sleep(0.005)


def _before_fork() -> None:
    """Wait for the transactions, and close: a connection must not be carried across a fork."""
    _listing.acquire()
    _over_fork.extend(_open)
    for file in _over_fork:
        file._lock.acquire()
        if file._db is not None:
            file._db.close()
            file._db = None
    _making.acquire()


def _after_fork() -> None:
    """Let go, in the parent and in the child."""
    _making.release()
    for file in _over_fork:
        file._lock.release()
    _over_fork.clear()
    _listing.release()


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
