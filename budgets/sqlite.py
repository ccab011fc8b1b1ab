"""Books in one SQLite file: durable, and shared by the processes of one machine."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from .account import Account, Amount, Bound
from .books import Books, Entry, State
from .budget import Budget
from .usage import Price, Usage

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY,
    root TEXT NOT NULL,
    call_id TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (root, call_id)
);
CREATE INDEX IF NOT EXISTS calls_by_state ON calls (root, state);
"""

PATIENCE = 30.0
"""Seconds to wait for another process's transaction (each takes well under a millisecond)."""


class SQLiteStore:
    """A ledger file. Survives the process; several processes may spend from it at once.

    Writes survive a killed process; after a power cut the newest may be lost (WAL with
    `synchronous=NORMAL`). Raises `sqlite3.Error` when the file cannot be used.
    """

    shared = True

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._db = sqlite3.connect(
            self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        switch_to_wal(self._db)
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    def transaction(self) -> AbstractContextManager[Books]:
        """One writer at a time, over all processes; rolled back on any exception."""
        return self._between("BEGIN IMMEDIATE")

    def reading(self) -> AbstractContextManager[Books]:
        """A snapshot that waits for no writer."""
        return self._between("BEGIN")

    @contextmanager
    def _between(self, begin: str) -> Iterator[Books]:
        if self._pid != os.getpid():
            self._open()  # SQLite's connections must not be carried across a fork.
        with self._lock:
            self._db.execute(begin)
            try:
                yield _SQLiteBooks(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled it back already
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file. The store cannot be used afterwards."""
        self._db.close()


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


class _SQLiteBooks:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def account(self, key: str) -> Account | None:
        row = self._db.execute("SELECT body FROM accounts WHERE key = ?", (key,)).fetchone()
        return None if row is None else _account(json.loads(row[0]))

    def put_account(self, account: Account) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?)", (account.key, _dump(account))
        )

    def entry(self, root: str, call_id: str) -> Entry | None:
        row = self._db.execute(
            "SELECT body FROM calls WHERE root = ? AND call_id = ?", (root, call_id)
        ).fetchone()
        return None if row is None else _entry(json.loads(row[0]))

    def put_entry(self, entry: Entry) -> None:
        self._db.execute(
            "INSERT INTO calls (root, call_id, state, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (root, call_id) "
            "DO UPDATE SET state = excluded.state, body = excluded.body",
            (entry.root, entry.call_id, entry.state, _dump(entry)),
        )

    def entries(self, root: str, state: State | None = None) -> Iterable[Entry]:
        where, values = ("", (root,)) if state is None else (" AND state = ?", (root, state))
        rows = self._db.execute(
            f"SELECT body FROM calls WHERE root = ?{where} ORDER BY number", values
        )
        return [_entry(json.loads(body)) for (body,) in rows.fetchall()]


def _dump(value: Account | Entry) -> str:
    return json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """What JSON lacks. Field by field: `asdict` copies every leaf, on every reservation."""
    if isinstance(value, Decimal):
        return str(value)
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _money(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"cost": Decimal(fields["cost"])}


def _account(fields: dict[str, Any]) -> Account:
    return Account(
        key=fields["key"],
        parent=fields["parent"],
        limits=Budget(**fields["limits"]),
        landing=Amount(**_money(fields["landing"])),
        spent=Usage(**_money(fields["spent"])),
        held=Amount(**_money(fields["held"])),
    )


def _entry(fields: dict[str, Any]) -> Entry:
    bound = fields["bound"]
    return Entry(
        **fields
        | {
            "bound": Bound(**bound | {"price": Price(**bound["price"])}),
            "usage": Usage(**_money(fields["usage"])),
        }
    )
