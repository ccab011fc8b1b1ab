"""Vectors: which passages mean what a query means, by the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .index import Index

BLOCK = 2048
"""Vectors that are scored at once."""
KEPT = 256 * 2**20
"""Bytes of vectors that are kept in memory between queries; more are read for each query."""

Block = tuple[NDArray[np.int64], NDArray[np.float32]]


def pack(vector: Sequence[float]) -> bytes:
    """A vector of unit length as float32; one of zeros stays so."""
    values = np.asarray(vector, dtype=np.float64)
    largest = np.abs(values).max()
    if largest > 0:
        values = values / largest
        values = values / np.linalg.norm(values)
    return values.astype(np.float32).tobytes()


class Vectors:
    """The vectors of one model in an index."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._kept: tuple[int | None, list[Block]] = (None, [])

    def nearest(self, index: Index, vector: Sequence[float], most: int) -> list[int]:
        """The passages with the highest cosine, best first. Vectors of another length are not."""
        query = np.frombuffer(pack(vector), dtype=np.float32)
        ids, scores = np.empty(0, np.int64), np.empty(0, np.float32)
        for numbers, matrix in self._blocks(index):
            if matrix.shape[1] != query.size:
                continue
            ids = np.concatenate([ids, numbers])
            scores = np.concatenate([scores, matrix @ query])
            best = np.argsort(-scores, kind="stable")[:most]
            ids, scores = ids[best], scores[best]
        return [int(id) for id in ids]

    def _blocks(self, index: Index) -> Iterator[Block]:
        """All vectors, from memory if they are what they were."""
        changes = index.changes()
        known, blocks = self._kept
        if known == changes:
            yield from blocks
            return
        kept: list[Block] = []
        size = 0
        for rows in index.vectors(self._model, BLOCK):
            for block in _matrices(rows):
                size += block[1].nbytes
                if size <= KEPT:
                    kept.append(block)
                yield block
        self._kept = (changes, kept) if size <= KEPT else (None, [])


def _matrices(rows: Sequence[tuple[int, bytes]]) -> Iterator[Block]:
    """One matrix for each length of vector: a model may have been served in another size before."""
    for size in {len(blob) for _, blob in rows}:
        same = [(id, blob) for id, blob in rows if len(blob) == size]
        numbers = np.array([id for id, _ in same], np.int64)
        joined = b"".join(blob for _, blob in same)
        yield numbers, np.frombuffer(joined, np.float32).reshape(len(same), -1)
