"""EmbeddingModel: texts as vectors by a model behind `/v1/embeddings`, on a budget."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

from ..budgets import FREE, Ledger, Price
from .backend import Backend
from .errors import BadRequest, ContextOverflow, MalformedReply
from .model import LONGEST_RATE
from .posting import Payer, Poster, Query, unknown_here
from .retry import RetryPolicy
from .spans import calling

BATCH = 32
"""Texts in one request: what the strictest of the common servers (TEI) takes."""
SPECIAL_TOKENS = 16
"""Tokens a server may add to each text: its start, its end, separators."""
SHORTEST = 64
"""Characters below which a text that is refused is not cut further."""
PIECE = 256
"""Characters normalised at once: ordering a long run of combining marks takes quadratic time."""


class EmbeddingModel:
    """An embedding model behind vLLM, llama.cpp, TEI, Ollama, or a hosted API.

    Args:
        name: The model's name there.
        backend: The server, or its address (up to and with `/v1`).
        api_key: For a backend given as an address.
        price: US dollars per million input tokens (or per second); free by default.
        query_prefix: Put before a question, where the model was trained so: `"query: "` for E5,
            `"search_query: "` for Nomic.
        passage_prefix: Put before a text to be found: `"passage: "`, `"search_document: "`.
        retry: When to try again.
    """

    def __init__(
        self,
        name: str,
        backend: Backend | str,
        *,
        api_key: str = "",
        price: Price = FREE,
        query_prefix: str = "",
        passage_prefix: str = "",
        retry: RetryPolicy | None = None,
    ) -> None:
        self.name = name
        self.backend = Backend(backend, api_key) if isinstance(backend, str) else backend
        self._prefixes = {True: query_prefix, False: passage_prefix}
        self._poster = Poster(self.backend, price, retry or RetryPolicy())

    @property
    def identity(self) -> str:
        """Vectors of equal identity can be compared: the model, and what stood before the texts."""
        prefixes = self._prefixes[True], self._prefixes[False]
        return self.name if prefixes == ("", "") else f"{self.name} {prefixes!r}"

    async def embed(
        self, texts: Sequence[str], *, ledger: Ledger, call_id: str, query: bool = False
    ) -> list[list[float]]:
        """The vector of each text, in the order of `texts`; all of one length.

        Batches are sent one after the other, each reserved before it is sent. A text that is too
        long for the model is embedded by its beginning.

        Args:
            ledger: Pays for it.
            call_id: Names the call in the journal; batches and attempts get numbers after it.
            query: The texts are questions, and not what is to be found.

        Raises:
            BudgetExhausted: the ledger cannot pay the next batch; it was not sent.
            BackendError: the type says what failed.
        """
        sent = [_sendable(self._prefixes[query] + text) for text in texts]
        payer = Payer.until(ledger, call_id)
        vectors: list[list[float]] = []
        with calling("embeddings", self.backend, self.name, ledger, call_id):
            for start in range(0, len(sent), BATCH):
                vectors += await self._embed(sent[start : start + BATCH], start, payer)
        if len({len(vector) for vector in vectors}) > 1:
            raise MalformedReply(f"{self.backend.base_url} sent vectors of different lengths")
        return vectors

    async def aclose(self) -> None:
        """Close this event loop's connections to the backend."""
        await self.backend.aclose()

    async def _embed(self, texts: Sequence[str], start: int, payer: Payer) -> list[list[float]]:
        """One batch; where the server refuses it, its halves, so that one text spoils no other.

        The first text that is refused to the end ends it all: a server that takes nothing is
        asked about ten times.
        """
        size = sum(len(text) for text in texts)
        batch = Payer(payer.ledger, f"{payer.call_id}.{start}+{len(texts)}.{size}", payer.deadline)
        try:
            flat = await self._poster.ask([self._query(texts)], batch)
        except (BadRequest, ContextOverflow) as error:
            if unknown_here(error) and error.status != 422:  # TEI has 422 for too long a text.
                raise
            if len(texts) > 1:
                half = len(texts) // 2
                first = await self._embed(texts[:half], start, payer)
                return first + await self._embed(texts[half:], start + half, payer)
            if len(texts[0]) <= SHORTEST:
                raise
            return await self._embed([texts[0][: len(texts[0]) // 2]], start, payer)
        width = len(flat) // len(texts)
        return [flat[at : at + width] for at in range(0, len(flat), width)]

    def _query(self, texts: Sequence[str]) -> Query:
        path = self.backend.base_url.removeprefix(self.backend.root_url) + "/embeddings"
        body = {"model": self.name, "input": list(texts), "encoding_format": "float"}
        bound = sum(most_tokens(text) + SPECIAL_TOKENS for text in texts)
        floor = sum(len(text.encode()) for text in texts) // LONGEST_RATE
        return Query(path, body, bound, floor, lambda reply: embedded(reply, len(texts)))


def most_tokens(text: str) -> int:
    """An upper bound of the text's tokens, without what a server adds.

    Its UTF-8 bytes, which bound those of every byte-level tokenizer, or what they may become: some
    tokenizers normalise first, and one character can turn into eighteen.
    """
    if text.isascii():
        return len(text)
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    composed = sum(len(unicodedata.normalize("NFKC", piece).encode()) for piece in pieces)
    decomposed = sum(len(unicodedata.normalize("NFKD", piece)) for piece in pieces)
    return max(len(text.encode()), composed, decomposed)


def embedded(reply: Any, many: int) -> list[float]:
    """The vectors of `many` texts from `/v1/embeddings`, in their order, one after the other.

    All are of one length. Raises `ValueError`.
    """
    items = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(items, list) or len(items) != many:
        raise ValueError(f"not a list of {many} embeddings")
    vectors: dict[int, list[float]] = {}
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise ValueError("an embedding is no object")
        index = item.get("index", place)
        if type(index) is not int or not 0 <= index < many or index in vectors:
            raise ValueError(f"index {index!r:.40} of {many}")
        vectors[index] = _vector(item.get("embedding"))
    if len({len(vector) for vector in vectors.values()}) > 1:
        raise ValueError("embeddings of different lengths")
    return [value for index in range(many) for value in vectors[index]]


def _vector(values: Any) -> list[float]:
    if not isinstance(values, list) or not values:
        raise ValueError("an embedding is no list of numbers")
    if not all(type(value) in (int, float) for value in values):
        raise ValueError("an embedding holds what is no number")
    try:
        vector = [float(value) for value in values]
    except OverflowError:
        raise ValueError("an embedding is not finite") from None
    if not all(map(math.isfinite, vector)):
        raise ValueError("an embedding is not finite")
    return vector


def _sendable(text: str) -> str:
    """`text` without lone surrogates, which no request can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
