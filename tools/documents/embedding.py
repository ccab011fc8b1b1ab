"""Embedding: gives passages their vectors, paid by a ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from ...budgets import Ledger
from ...errors import MullError
from ..functions import in_thread
from .index import Index
from .scan import Progress

T = TypeVar("T")

AT_ONCE = 4
"""Requests in flight."""
TEXTS = 32
"""Passages in each of them."""


class Embeddings(Protocol):
    """What makes vectors of texts: `mull.models.EmbeddingModel` does."""

    @property
    def identity(self) -> str:
        """Vectors of equal identity can be compared."""

    async def embed(
        self, texts: Sequence[str], *, ledger: Ledger, call_id: str, query: bool = False
    ) -> list[list[float]]:
        """A vector for each text, all of one length, paid by `ledger`. Raises `MullError`."""


async def embed_missing(
    open_index: Callable[[], Index],
    embeddings: Embeddings,
    ledger: Ledger,
    progress: Progress | None,
) -> str:
    """Give each passage that has none a vector; what ended that before its end, if anything did.

    Each vector that was paid for is kept.
    """
    from .vectors import pack  # numpy: only where vectors are used.

    model = embeddings.identity

    async def with_index(work: Callable[[Index], T]) -> T:
        def run() -> T:
            with open_index() as index:
                return work(index)

        return await in_thread(run)

    async def embed(part: Sequence[tuple[int, str]]) -> list[tuple[int, bytes]]:
        (first, _), (last, _) = part[0], part[-1]
        vectors = await embeddings.embed(
            [text for _, text in part], ledger=ledger, call_id=f"ingest.{first}-{last}"
        )
        return [(id, pack(vector)) for (id, _), vector in zip(part, vectors, strict=True)]

    total = await with_index(partial(Index.count_without_vector, model=model))
    done = after = 0
    failure: MullError | None = None
    while failure is None:
        lacking = partial(Index.without_vector, model=model, after=after, most=AT_ONCE * TEXTS)
        rows = await with_index(lacking)
        if not rows:
            break
        after = rows[-1][0]
        made: list[tuple[int, bytes]] = []
        parts = (rows[at : at + TEXTS] for at in range(0, len(rows), TEXTS))
        for outcome in await asyncio.gather(*map(embed, parts), return_exceptions=True):
            if isinstance(outcome, MullError):
                failure = failure or outcome
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                made += outcome
        await with_index(partial(Index.add_vectors, model=model, vectors=made))
        done += len(made)
        if progress is not None:
            progress(done, total)
    return "" if failure is None else str(failure)
