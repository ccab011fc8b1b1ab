"""Books in memory: the default store, gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .account import Account
from .books import Books, Entry, State


class MemoryStore:
    """Accounts and journal in dictionaries, behind one lock. Safe across threads."""

    shared = False

    def __init__(self) -> None:
        self._books = _MemoryBooks()
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[Books]:
        """Every change in `books.py` is computed before the first is written: no roll-back."""
        with self._lock:
            yield self._books

    reading = transaction


class _MemoryBooks:
    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._entries: dict[tuple[str, str], Entry] = {}
        self._open: dict[tuple[str, str], Entry] = {}

    def account(self, key: str) -> Account | None:
        return self._accounts.get(key)

    def put_account(self, account: Account) -> None:
        self._accounts[account.key] = account

    def entry(self, root: str, call_id: str) -> Entry | None:
        return self._entries.get((root, call_id))

    def put_entry(self, entry: Entry) -> None:
        key = entry.root, entry.call_id
        self._entries[key] = entry
        if entry.state == "open":
            self._open[key] = entry
        else:
            self._open.pop(key, None)

    def entries(self, root: str, state: State | None = None) -> Iterable[Entry]:
        table = self._open if state == "open" else self._entries
        return [
            entry for entry in table.values() if entry.root == root and state in (None, entry.state)
        ]
