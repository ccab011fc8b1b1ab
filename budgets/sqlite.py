"""Books in one SQLite file: durable, and shared by the processes of one machine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from .account import Account, Amount, Bound
from .books import Books, Entry, State
from .budget import Budget
from .sqlite_file import SQLiteFile
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


class SQLiteStore:
    """A ledger file. Survives the process; several processes may spend from it at once.

    Writes survive a killed process; after a power cut the newest may be lost (WAL with
    `synchronous=NORMAL`). A file that it makes is its owner's alone. Raises `sqlite3.Error` when
    the file cannot be used, and `StorageFailed` where it no longer can be.
    """

    shared = True

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = SQLiteFile(self.path, SCHEMA, "NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[Books]:
        """One writer at a time, over all processes; rolled back on any exception."""
        with self._file.transaction() as db:
            yield _SQLiteBooks(db)

    @contextmanager
    def reading(self) -> Iterator[Books]:
        """A snapshot that waits for no writer."""
        with self._file.transaction("BEGIN") as db:
            yield _SQLiteBooks(db)

    def close(self) -> None:
        """Close the file. The store cannot be used afterwards."""
        self._file.close()


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
