"""Reads the journal of a ledger file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ..budgets import Entry, SQLiteStore
from ..errors import WrongUsage


def read_entries(path: Path) -> list[Entry]:
    """Every call in the file, ledger by ledger, in the order they were reserved.

    The file may be in use: what is read of it is one moment.

    Raises `WrongUsage` where there is no ledger at `path`, or it cannot be opened.
    """
    try:
        roots = _roots(path)
        with closing(SQLiteStore(path)) as store, store.reading() as books:
            return [entry for root in roots for entry in books.entries(root)]
    except sqlite3.Error as error:
        raise WrongUsage(
            f"{path}: {error}: give a ledger file, as SQLiteStore(…) writes it"
        ) from error


def _roots(path: Path) -> list[str]:
    """Keys of the ledgers in the file. Opened to read only: a wrong file must not become one."""
    if not path.is_file():
        raise WrongUsage(f"{path}: there is no such file: give a ledger file")
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as db:
        rows = db.execute("SELECT root FROM calls GROUP BY root ORDER BY min(number)")
        return [root for (root,) in rows]
