"""Artifacts: what is too large for a checkpoint, and what was asked and answered, in one file.

A list that only grows is kept as a chain of pieces, each of which names the one before it: writing
it again after every step costs what was added. Pieces are named by their content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..budgets import Record
from ..budgets.sqlite_file import SQLiteFile
from ..errors import StorageFailed

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
PIECE = "INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?)"
RECORD = (
    "INSERT OR IGNORE INTO records (thread, root, call_id, digest, body) VALUES (?, ?, ?, ?, ?)"
)

CHAINED = ("tools", "messages")
"""What of a call is kept as a chain."""

Item = tuple[str, bytes]
"""A serialised value: its kind, as the serialiser names it, and its bytes."""


Row = Sequence[Any]
Statement = tuple[str, Iterable[Row]]
"""With the rows that it is run for."""


class Artifacts:
    """The file. Several processes may use it at once.

    What is written survives a power cut: a checkpoint that was written after it may name it.

    Raises `sqlite3.Error` where the file cannot be used, and `StorageFailed` where it no longer
    can be: the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SQLiteFile(path, SCHEMA, "FULL")

    def of(self, thread: str) -> ThreadArtifacts:
        """Those of one thread."""
        return ThreadArtifacts(self, thread)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def execute(self, statement: str, values: Row = ()) -> list[tuple[Any, ...]]:
        """One statement, on its own."""
        return self._file.execute(statement, values)

    def write(self, *statements: Statement) -> None:
        """Several statements, all or none."""
        with self._file.transaction() as db:
            for statement, rows in statements:
                db.executemany(statement, rows)


class ThreadArtifacts:
    """One thread's pieces and records. A `Recorder`, for the thread's ledger."""

    def __init__(self, artifacts: Artifacts, thread: str) -> None:
        self._artifacts = artifacts
        self._thread = thread
        self._known: set[str] = set()

    def put(self, items: Sequence[Item]) -> str:
        """Keep items, each after the one before it; the name of the last."""
        name, new = self._chain(items)
        if new:
            self._artifacts.write((PIECE, new))
            self._known.update(row[1] for row in new)
        return name

    def _chain(self, items: Sequence[Item]) -> tuple[str, list[Row]]:
        """The name of the last item, and the rows of those that are not known to be kept."""
        new: list[Row] = []
        previous = ""
        for kind, body in items:
            digest = hashlib.blake2b(
                b"\0".join((previous.encode(), kind.encode(), body)), digest_size=16
            ).hexdigest()
            if digest not in self._known:
                new.append((self._thread, digest, previous, kind, body))
            previous = digest
        return previous, new

    def get(self, digest: str) -> list[Item]:
        """The items up to and with that one, oldest first.

        Raises `StorageFailed` where one of them is gone.
        """
        rows = self._artifacts.execute(
            "WITH RECURSIVE chain (digest, previous, kind, body, place) AS ("
            "  SELECT digest, previous, kind, body, 0 FROM pieces WHERE thread = ? AND digest = ?"
            "  UNION ALL"
            "  SELECT p.digest, p.previous, p.kind, p.body, place + 1 FROM chain"
            "  JOIN pieces p ON p.thread = ? AND p.digest = chain.previous"
            ") SELECT previous, kind, body FROM chain ORDER BY place DESC",
            (self._thread, digest, self._thread),
        )
        if digest and (not rows or rows[0][0]):
            raise StorageFailed(
                f"{self._artifacts.path}: a piece of {self._thread!r} is missing: the file is not "
                "the one that was written. Put a whole copy of it back, or delete the thread (of "
                "a batch: the file)"
            )
        return [(kind, body) for _, kind, body in rows]

    def keep(self, record: Record) -> None:
        """See `Recorder.keep`. What calls repeat, and what grows from call to call, is a chain."""
        asked, chains, pieces = dict(record.asked), dict[str, str](), list[Row]()
        for name in CHAINED:
            if asked.get(name):
                items = [("json", json.dumps(item).encode()) for item in asked.pop(name)]
                chains[name], new = self._chain(items)
                pieces += new
        body = {
            "kind": record.kind,
            "name": record.name,
            "asked": asked,
            "chains": chains,
            "replied": record.replied,
            "started": record.started,
            "seconds": record.seconds,
        }
        row = (self._thread, record.root, record.call_id, record.digest, json.dumps(body))
        self._artifacts.write((PIECE, pieces), (RECORD, [row]))  # One sync of the disk.
        self._known.update(piece[1] for piece in pieces)

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

    def outdate(self, root: str, path: str, but: Collection[str]) -> None:
        """Keep the calls whose ids begin with the path, and recall none of them any more.

        `but`: tools whose calls are recalled still.
        """
        names = ", ".join("?" * len(but))
        self._artifacts.execute(
            "UPDATE records SET digest = digest || ' ' || number WHERE thread = ? AND root = ? "
            "AND substr(call_id, 1, ?) = ? AND NOT (json_extract(body, '$.kind') = 'tool' "
            f"AND json_extract(body, '$.name') IN ({names}))",
            (self._thread, root, len(path), path, *but),
        )

    def delete(self) -> None:
        """Forget all of it."""
        self._artifacts.write(
            ("DELETE FROM pieces WHERE thread = ?", [(self._thread,)]),
            ("DELETE FROM records WHERE thread = ?", [(self._thread,)]),
        )
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
