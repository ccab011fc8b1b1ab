"""Index: passages in one SQLite file, found by their words (FTS5) or by their vectors."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ...errors import MullError
from .folders import File, Skipped
from .passages import Passage
from .ranking import indexed

OURS = 0x6D756C6C
"""SQLite's `application_id` of an index: no other file is ever written to."""
VERSION = 1
"""Of the tables and of how text is read and cut; an index of another version is built anew."""
PATIENCE = 30.0
"""Seconds to wait for another process's transaction."""
TABLES = ("about", "files", "passages", "words", "vectors")
SCHEMA = """
CREATE TABLE about (roots TEXT NOT NULL, changes INTEGER NOT NULL);
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    digest BLOB NOT NULL,
    problem TEXT NOT NULL
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file INTEGER NOT NULL,
    page INTEGER,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX passages_of_file ON passages (file);
CREATE VIRTUAL TABLE words USING fts5(
    text, name, content='', tokenize="porter unicode61 remove_diacritics 2"
);
INSERT INTO words (words, rank) VALUES ('rank', 'bm25(1.0, 0.5)');
CREATE TABLE vectors (
    model TEXT NOT NULL,
    passage INTEGER NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (passage, model)
);
"""


class DamagedIndex(MullError):
    """The file that should hold the index cannot be used."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of one file."""

    file: File
    digest: bytes
    problem: str
    """What is wrong with it; empty: nothing."""
    passages: Sequence[tuple[int | None, Passage]] | None
    """With the page each is on. None: the content is what it was."""


class Row(NamedTuple):
    """A passage as it is stored."""

    id: int
    name: str
    page: int | None
    first: int
    last: int
    text: str


class Index:
    """An open index, for one thread; close it. Several processes may use the file at once.

    Args:
        path: The file; it is made where there is none.
        roots: Names what is indexed: an index holds the same documents all its life.

    Raises `DamagedIndex` for a file that is none, or cannot be opened.
    """

    def __init__(self, path: Path, roots: str) -> None:
        self._path, self._roots = path, roots
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._damaged(error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise self._damaged(error) from error
        except BaseException:
            self._db.close()
            raise

    def _damaged(self, error: object) -> DamagedIndex:
        return DamagedIndex(
            f"the index of the documents, {self._path}, cannot be used ({error}): delete it, or "
            "give another file as index"
        )

    def _prepare(self) -> None:
        if self._value("application_id") != OURS or self._value("user_version") != VERSION:
            with self._writing():
                self._make()
        self._journal()
        (roots,) = self._db.execute("SELECT roots FROM about").fetchone()
        if roots != self._roots:
            raise self._damaged(f"it is that of {roots}")

    def _make(self) -> None:
        """Make the tables, in place of those of another version; another process may have."""
        owner, version = self._value("application_id"), self._value("user_version")
        if owner not in (0, OURS) or (owner == 0 and self._value("schema_version")):
            raise self._damaged("it is another program's file")
        if (owner, version) == (OURS, VERSION):
            return
        for table in TABLES:
            self._db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in SCHEMA.split(";\n"):
            self._db.execute(statement)
        self._db.execute("INSERT INTO about VALUES (?, 0)", (self._roots,))
        self._db.execute(f"PRAGMA application_id={OURS}")
        self._db.execute(f"PRAGMA user_version={VERSION}")

    def _journal(self) -> None:
        """Unlike a transaction, the switch to WAL does not wait for another process's."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() >= give_up:
                    raise
                time.sleep(0.005)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All or nothing; one writer at a time, over all processes."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _value(self, pragma: str) -> int:
        return int(self._db.execute(f"PRAGMA {pragma}").fetchone()[0])

    def _one(self, question: str, *values: object) -> int:
        return int(self._db.execute(question, values).fetchone()[0])

    # What is there, against what is indexed

    def compare(self, files: Iterable[File]) -> int:
        """Take in which files there are, forget those that are gone; how many are gone.

        What was found is kept in a temporary table: a large tree needs no memory.
        """
        self._db.execute("PRAGMA synchronous=NORMAL")
        newest = self._one("SELECT coalesce(max(id), 0) FROM files")
        self._db.execute("DROP TABLE IF EXISTS seen")
        self._db.execute(
            "CREATE TEMP TABLE seen (path BLOB PRIMARY KEY, name TEXT, size INTEGER, "
            "changed INTEGER)"
        )
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)",
            ((os.fsencode(file.path), file.name, file.size, file.changed) for file in files),
        )
        self._db.execute("COMMIT")
        with self._writing():
            gone = self._db.execute(
                "SELECT id FROM files WHERE id <= ? AND path NOT IN (SELECT path FROM seen)",
                (newest,),
            ).fetchall()
            for (file,) in gone:
                self._forget(file)
                self._db.execute("DELETE FROM files WHERE id = ?", (file,))
        return len(gone)

    def known_problems(self, most: int) -> tuple[int, list[Skipped]]:
        """Of the files that did not change: how many have problems, and the first `most`."""
        same = "FROM files JOIN seen USING (path, size, changed) WHERE problem != ''"
        rows = self._db.execute(f"SELECT files.name, problem {same} LIMIT ?", (most,))
        return self._one(f"SELECT count(*) {same}"), [Skipped(*row) for row in rows]

    def drop_unchanged(self) -> int:
        """Look no further at files that are as they were; how many are left to read."""
        self._db.execute(
            "DELETE FROM seen WHERE EXISTS (SELECT 1 FROM files WHERE files.path = seen.path "
            "AND files.size = seen.size AND files.changed = seen.changed)"
        )
        return self._one("SELECT count(*) FROM seen")

    def to_read(self) -> Iterator[tuple[File, bytes]]:
        """The files that are left to read, and the digest of what is known of each."""
        last = 0
        while rows := self._db.execute(
            "SELECT seen.rowid, path, seen.name, seen.size, seen.changed, coalesce(digest, x'') "
            "FROM seen LEFT JOIN files USING (path) WHERE seen.rowid > ? "
            "ORDER BY seen.rowid LIMIT 256",
            (last,),
        ).fetchall():
            last = rows[-1][0]
            for _, path, name, size, changed, digest in rows:
                yield File(os.fsdecode(path), name, size, changed), digest

    def forget(self, path: str) -> None:
        """Take a file out of the index, if it is in it."""
        with self._writing():
            key = os.fsencode(path)
            for (file,) in self._db.execute("SELECT id FROM files WHERE path = ?", (key,)):
                self._forget(file)
            self._db.execute("DELETE FROM files WHERE path = ?", (key,))

    def write(self, contents: Iterable[Content]) -> None:
        """Put files in the place of what is known of them, all or none."""
        with self._writing():
            for content in contents:
                self._write(content)

    def _write(self, content: Content) -> None:
        file, path = content.file, os.fsencode(content.file.path)
        if content.passages is None:
            self._db.execute(
                "UPDATE files SET size = ?, changed = ? WHERE path = ? AND digest = ?",
                (file.size, file.changed, path, content.digest),
            )
            return
        for (number,) in self._db.execute("SELECT id FROM files WHERE path = ?", (path,)):
            self._forget(number)  # Under its old name: the words are taken out by that.
        (number,) = self._db.execute(
            "INSERT INTO files (path, name, size, changed, digest, problem) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET name = excluded.name, "
            "size = excluded.size, changed = excluded.changed, digest = excluded.digest, "
            "problem = excluded.problem RETURNING id",
            (path, file.name, file.size, file.changed, content.digest, content.problem),
        ).fetchone()
        after = 1 + self._one(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'passages'"
        )
        rows = list(enumerate(content.passages, after))
        self._db.executemany(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
            ((id, number, page, p.first, p.last, p.text) for id, (page, p) in rows),
        )
        name = indexed(file.name)
        self._db.executemany(
            "INSERT INTO words (rowid, text, name) VALUES (?, ?, ?)",
            ((id, indexed(p.text), name) for id, (_, p) in rows),
        )

    def _forget(self, file: int) -> None:
        """Take a file's passages out."""
        rows = self._db.execute(
            "SELECT passages.id, text, name FROM passages JOIN files ON files.id = file "
            "WHERE file = ?",
            (file,),
        ).fetchall()
        # The words themselves keep no text: it must be given again to be taken out.
        self._db.executemany(
            "INSERT INTO words (words, rowid, text, name) VALUES ('delete', ?, ?, ?)",
            ((id, indexed(text), indexed(name)) for id, text, name in rows),
        )
        self._db.execute(
            "DELETE FROM vectors WHERE passage IN (SELECT id FROM passages WHERE file = ?)",
            (file,),
        )
        self._db.execute("UPDATE about SET changes = changes + 1")
        self._db.execute("DELETE FROM passages WHERE file = ?", (file,))

    # What is in it

    def totals(self) -> tuple[int, int]:
        """How many files have passages, and how many passages there are."""
        return (
            self._one("SELECT count(DISTINCT file) FROM passages"),
            self._one("SELECT count(*) FROM passages"),
        )

    def by_words(self, expression: str, most: int) -> list[int]:
        """Passages by BM25, best first, for an expression in FTS5's language."""
        rows = self._db.execute(
            "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (expression, most)
        )
        return [id for (id,) in rows]

    def rows(self, ids: Iterable[int]) -> list[Row]:
        """The passages of these ids that are still there, in their order."""
        found: list[Row] = []
        for id in ids:
            found += map(
                Row._make,
                self._db.execute(
                    "SELECT passages.id, name, page, first, last, text FROM passages "
                    "JOIN files ON files.id = file WHERE passages.id = ?",
                    (id,),
                ),
            )
        return found

    # Vectors

    def without_vector(self, model: str, after: int, most: int) -> list[tuple[int, str]]:
        """Passages beyond the id `after` that have no vector of this model: ids and texts."""
        return self._db.execute(
            "SELECT id, text FROM passages WHERE id > ? AND NOT EXISTS (SELECT 1 FROM vectors "
            "WHERE passage = passages.id AND model = ?) ORDER BY id LIMIT ?",
            (after, model, most),
        ).fetchall()

    def count_without_vector(self, model: str) -> int:
        """How many passages have no vector of this model."""
        return self._one(
            "SELECT count(*) FROM passages WHERE NOT EXISTS (SELECT 1 FROM vectors "
            "WHERE passage = passages.id AND model = ?)",
            model,
        )

    def add_vectors(self, model: str, vectors: Iterable[tuple[int, bytes]]) -> None:
        """Keep vectors of passages that are still there."""
        with self._writing():
            self._db.executemany(
                "INSERT OR REPLACE INTO vectors (model, passage, vector) "
                "SELECT ?, id, ? FROM passages WHERE id = ?",
                ((model, vector, id) for id, vector in vectors),
            )
            self._db.execute("UPDATE about SET changes = changes + 1")

    def changes(self) -> int:
        """Another number after every change of vectors."""
        return self._one("SELECT changes FROM about")

    def vectors(self, model: str, most: int) -> Iterator[list[tuple[int, bytes]]]:
        """All vectors of a model, in blocks of `most` passages."""
        cursor = self._db.execute("SELECT passage, vector FROM vectors WHERE model = ?", (model,))
        while rows := cursor.fetchmany(most):
            yield rows
