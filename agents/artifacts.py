"""Artifacts: what is too large for a checkpoint, and what was asked and answered, in one file.

A list that only grows is kept as a chain of pieces, each of which names the one before it: writing
it again after every step costs what was added. Pieces are named by their content.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..budgets import Record
from ..budgets.sqlite import switch_to_wal

SCHEMA = """
CREATE TABLE IF NOT EXISTS pieces (
    thread TEXT, digest TEXT, previous TEXT, kind TEXT, body BLOB, PRIMARY KEY (thread, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY, thread TEXT, root TEXT, call_id TEXT, digest TEXT, body TEXT,
    UNIQUE (root, call_id, digest)
);
CREATE INDEX IF NOT EXISTS records_by_thread ON records (thread);
"""
PATIENCE = 30.0
"""Seconds to wait for another process's transaction."""

CHAINED = ("tools", "messages")
"""What of a call is kept as a chain."""

Item = tuple[str, bytes]
"""A serialised value: its kind, as the serialiser names it, and its bytes."""


class Artifacts:
    """The file. Several processes may use it at once. Raises `sqlite3.Error` where it cannot be."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        switch_to_wal(self._db)
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    def of(self, thread: str) -> ThreadArtifacts:
        """Those of one thread."""
        return ThreadArtifacts(self, thread)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement, on its own."""
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def insert(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Several rows, all or none."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise


class ThreadArtifacts:
    """One thread's pieces and records. A `Recorder`, for the thread's ledger."""

    def __init__(self, artifacts: Artifacts, thread: str) -> None:
        self._artifacts = artifacts
        self._thread = thread
        self._known: set[str] = set()

    def put(self, items: Sequence[Item]) -> str:
        """Keep items, each after the one before it; the name of the last."""
        new: list[tuple[str, str, str, str, bytes]] = []
        previous = ""
        for kind, body in items:
            digest = hashlib.blake2b(
                b"\0".join((previous.encode(), kind.encode(), body)), digest_size=16
            ).hexdigest()
            if digest not in self._known:
                new.append((self._thread, digest, previous, kind, body))
            previous = digest
        if new:
            self._artifacts.insert("INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?)", new)
            self._known.update(row[1] for row in new)
        return previous

    def get(self, digest: str) -> list[Item]:
        """The items up to and with that one, oldest first."""
        rows = self._artifacts.execute(
            "WITH RECURSIVE chain (digest, previous, kind, body, place) AS ("
            "  SELECT digest, previous, kind, body, 0 FROM pieces WHERE thread = ? AND digest = ?"
            "  UNION ALL"
            "  SELECT p.digest, p.previous, p.kind, p.body, place + 1 FROM chain"
            "  JOIN pieces p ON p.thread = ? AND p.digest = chain.previous"
            ") SELECT kind, body FROM chain ORDER BY place DESC",
            (self._thread, digest, self._thread),
        )
        return [(kind, body) for kind, body in rows]

    def keep(self, record: Record) -> None:
        """See `Recorder.keep`. What calls repeat, and what grows from call to call, is a chain."""
        asked = dict(record.asked)
        chains = {
            name: self.put([("json", json.dumps(item).encode()) for item in asked.pop(name)])
            for name in CHAINED
            if asked.get(name)
        }
        body = {
            "kind": record.kind,
            "name": record.name,
            "asked": asked,
            "chains": chains,
            "replied": record.replied,
            "started": record.started,
            "seconds": record.seconds,
        }
        self._artifacts.insert(
            "INSERT OR IGNORE INTO records (thread, root, call_id, digest, body) "
            "VALUES (?, ?, ?, ?, ?)",
            [(self._thread, record.root, record.call_id, record.digest, json.dumps(body))],
        )

    def recall(self, root: str, call_id: str, digest: str) -> Record | None:
        """See `Recorder.recall`."""
        rows = self._artifacts.execute(
            "SELECT root, call_id, digest, body FROM records "
            "WHERE root = ? AND call_id = ? AND digest = ?",
            (root, call_id, digest),
        )
        return self._record(*rows[0]) if rows else None

    def records(self) -> list[Record]:
        """Every call of the thread that was answered, in the order in which they were."""
        rows = self._artifacts.execute(
            "SELECT root, call_id, digest, body FROM records WHERE thread = ? ORDER BY number",
            (self._thread,),
        )
        return [self._record(*row) for row in rows]

    def called(self, root: str, path: str) -> list[Record]:
        """The tool calls whose ids begin with the path, in the order of their answers."""
        rows = self._artifacts.execute(
            "SELECT root, call_id, digest, body FROM records WHERE thread = ? AND root = ? "
            "AND substr(call_id, 1, ?) = ? AND json_extract(body, '$.kind') = 'tool' "
            "ORDER BY number",
            (self._thread, root, len(path), path),
        )
        return [self._record(*row) for row in rows]

    def delete(self) -> None:
        """Forget all of it."""
        for table in ("pieces", "records"):
            self._artifacts.execute(f"DELETE FROM {table} WHERE thread = ?", (self._thread,))
        self._known.clear()

    def size(self) -> int:
        """Bytes that its pieces and records hold."""
        [(pieces,)] = self._artifacts.execute(
            "SELECT coalesce(sum(length(body)), 0) FROM pieces WHERE thread = ?", (self._thread,)
        )
        [(records,)] = self._artifacts.execute(
            "SELECT coalesce(sum(length(body)), 0) FROM records WHERE thread = ?", (self._thread,)
        )
        return int(pieces) + int(records)

    def _record(self, root: str, call_id: str, digest: str, body: str) -> Record:
        fields = json.loads(body)
        for name, chain in fields.pop("chains").items():
            fields["asked"][name] = [json.loads(item) for _, item in self.get(chain)]
        return Record(root=root, call_id=call_id, digest=digest, **fields)
