"""Documents: folders of files, indexed so that passages of them can be found and cited."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from ...budgets import Ledger
from ..functions import in_thread
from .embedding import Embeddings, embed_missing
from .folders import Folders, Skipped
from .index import Index
from .ranking import MOST_CHARACTERS, fuse, match
from .scan import Progress, Scanned, scan
from .turns import turn

if TYPE_CHECKING:
    from .vectors import Vectors

LARGEST = 32 * 2**20
"""Bytes of the largest file that is read."""
POOL = 50
"""Passages that each ranking hands to the fusion."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did, and what is in the index after it."""

    files: int
    """Files with passages in the index."""
    passages: int
    read: int
    """Files that were new or had changed."""
    removed: int
    """Files that were gone, and are no longer in the index."""
    skipped: tuple[Skipped, ...]
    """What was left out, in whole or in part, and why: the first thousand."""
    more_skipped: int
    """How many more were."""
    without_vectors: int
    """Passages that are found by their words only. 0 where no embeddings are wanted."""
    problem: str
    """Why vectors are missing, if making them failed or could not be paid."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found."""

    name: str
    """The file's path below the folder."""
    page: int | None
    """Of a PDF."""
    first: int
    """Its first line (of the page, in a PDF), from 1."""
    last: int
    text: str
    score: float
    """By reciprocal rank fusion: of use to order the hits of one query only."""

    @property
    def citation(self) -> str:
        """`guide/setup.md:12-18`, or `manual.pdf, page 4`."""
        if self.page is not None:
            return f"{self.name}, page {self.page}"
        return f"{self.name}:{self.first}-{self.last}"


class Documents:
    """Text, Markdown, HTML, PDF and source files under some folders.

    Passages are found by their words (BM25) and, with `embeddings`, by what they mean as well; the
    two rankings become one by reciprocal rank fusion (Cormack et al. 2009). Nothing is kept in
    memory between calls but vectors; any number of processes may use one index.

    Args:
        paths: Folders, or single files. `WrongUsage` where nothing is.
        embeddings: Makes the vectors. None: words only.
        index: The index's file. None: one for these paths, in the user's cache folder.
        largest: Bytes of the largest file that is read.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        embeddings: Embeddings | None = None,
        index: Path | None = None,
        *,
        largest: int = LARGEST,
    ) -> None:
        self.folders = Folders.of(paths)
        self.embeddings = embeddings
        self._roots = "\n".join(ascii(str(root)) for root in self.folders.roots)
        key = hashlib.sha256(self._roots.encode()).hexdigest()[:24]
        cached = user_cache_path("mull") / "documents" / f"{key}.sqlite"
        self.index = cached if index is None else Path(index).absolute()
        self._largest = largest
        self._ingested = False
        self._vectors: Vectors | None = None

    async def ingest(
        self, progress: Progress | None = None, *, ledger: Ledger | None = None
    ) -> Ingested:
        """Bring the index up to date: read what is new or has changed, forget what is gone.

        One process at a time; others wait for their turn. Cancelled, it keeps what it has read.

        Args:
            progress: Told how many files are done and of how many, and then the same of passages
                that get vectors. It may be called from another thread.
            ledger: Pays for vectors. None: none are made.

        Raises:
            WrongUsage: a folder is no longer there, or cannot be read.
            DamagedIndex: the index's file is not one.
        """
        async with turn(self._lock):
            done = await self._scan(progress)
            problem = ""
            if self.embeddings is not None and ledger is not None:
                problem = await embed_missing(self._open, self.embeddings, ledger, progress)
            return await in_thread(lambda: self._report(done, problem))

    async def ready(self) -> None:
        """Ingest, without vectors, unless this object has before. Raises as `ingest` does."""
        if not self._ingested:
            async with turn(self._lock):
                if not self._ingested:
                    await self._scan(None)

    async def search(
        self,
        query: str,
        count: int = 5,
        *,
        ledger: Ledger | None = None,
        call_id: str = "documents",
    ) -> list[Hit]:
        """The passages that fit the query best, best first; of a long query its beginning counts.

        Args:
            ledger: Pays for the query's vector. None: passages are found by their words only.
            call_id: Names the call in the ledger's journal.

        Raises what `embeddings` raises, and `DamagedIndex`.
        """
        vector: Sequence[float] | None = None
        if self.embeddings is not None and ledger is not None and query.strip():
            texts = [query[:MOST_CHARACTERS]]
            made = await self.embeddings.embed(texts, ledger=ledger, call_id=call_id, query=True)
            vector = made[0]
        return await in_thread(lambda: self._find(query, vector, count))

    @property
    def _lock(self) -> Path:
        return self.index.with_name(f"{self.index.name}.lock")

    def _open(self) -> Index:
        return Index(self.index, self._roots)

    async def _scan(self, progress: Progress | None) -> Scanned:
        ends = ("", "-wal", "-shm", "-journal", ".lock", ".lock-journal")
        own = frozenset(f"{self.index}{end}" for end in ends)
        stop = threading.Event()

        def work() -> Scanned:
            with self._open() as index:
                return scan(
                    index,
                    self.folders,
                    largest=self._largest,
                    without=own,
                    progress=progress,
                    stop=stop,
                )

        try:
            done = await in_thread(work)
        finally:
            stop.set()
        self._ingested = True
        return done

    def _report(self, done: Scanned, problem: str) -> Ingested:
        with self._open() as index:
            files, count = index.totals()
            lacking = 0
            if self.embeddings is not None:
                lacking = index.count_without_vector(self.embeddings.identity)
        return Ingested(
            files=files,
            passages=count,
            read=done.read,
            removed=done.removed,
            skipped=tuple(done.skipped),
            more_skipped=done.more_skipped,
            without_vectors=lacking,
            problem=problem,
        )

    def _find(self, query: str, vector: Sequence[float] | None, count: int) -> list[Hit]:
        expression = match(query)
        rankings: list[list[int]] = []
        with self._open() as index:
            if expression:
                rankings.append(index.by_words(expression, max(POOL, count)))
            if vector is not None and self.embeddings is not None:
                from .vectors import Vectors  # numpy: only where vectors are used.

                self._vectors = self._vectors or Vectors(self.embeddings.identity)
                rankings.append(self._vectors.nearest(index, vector, max(POOL, count)))
            scores = fuse(rankings)
            rows = index.rows(list(scores)[:count])
        return [
            Hit(row.name, row.page, row.first, row.last, row.text, scores[row.id]) for row in rows
        ]
