"""Embeddings: what goes out, what comes back, what it is charged, and what it finds."""

import asyncio
import contextlib
import itertools
import math
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from leftovers import QUICK, check_books

from mull.budgets import Budget, BudgetExhausted, Ledger, Price
from mull.models import BackendError, BadRequest, EmbeddingModel, KeyRefused, MalformedReply
from mull.models.embeddings import BATCH
from mull.tools.documents import Documents

Write = Callable[[str, str | bytes], Path]
Json = dict[str, Any]

CONCEPTS = ({"car", "automobile", "vehicle"}, {"doctor", "physician"}, {"soup", "broth"})


def meaning(text: str) -> list[float]:
    """A vector that knows synonyms."""
    words = set(text.lower().replace(".", "").split())
    return [float(len(words & concept)) for concept in CONCEPTS] + [0.1]


@dataclass
class EmbeddingServer:
    """Serves on a free port of 127.0.0.1 inside ``async with``, and counts tokens itself."""

    vector: Callable[[str], Any] = meaning
    usage: Callable[[int], Json | None] = lambda tokens: {"prompt_tokens": tokens}
    bytes_per_token: int = 1
    special_tokens: int = 2
    """Each text."""
    context: int = 10**9
    """Tokens of the longest text that is taken."""
    faults: Iterator[str] = field(default_factory=lambda: iter(()))
    """One for each request; "none" when they run out."""
    shape: Callable[[Json], Any] = lambda reply: reply
    requests: list[Json] = field(default_factory=list)
    spent_tokens: int = 0
    """Really read, whatever the usage says."""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/embeddings", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        fault = next(self.faults, "none")
        if fault in ("401", "429", "503"):
            return web.json_response({"error": {"message": "not now"}}, status=int(fault))
        counts = [
            self.special_tokens + -(-len(text.encode()) // self.bytes_per_token)
            for text in body["input"]
        ]
        if max(counts) > self.context:
            error = {"message": f"inputs must have less than {self.context} tokens"}
            return web.json_response({"error": error}, status=413)
        self.spent_tokens += sum(counts)
        if fault == "500":
            return web.json_response({"error": {"message": "engine died"}}, status=500)
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
        if fault == "empty":
            return web.json_response({"data": []})
        items = [
            {"object": "embedding", "index": index, "embedding": self.vector(text)}
            for index, text in enumerate(body["input"])
        ]
        random.Random(0).shuffle(items)
        reply = {"data": items, "usage": self.usage(sum(counts))}
        return web.json_response(self.shape(reply))

    def model(self, **more: Any) -> EmbeddingModel:
        """A model there, with quick retries."""
        return EmbeddingModel("m", self.base_url, retry=QUICK, **more)


@pytest.fixture
async def embedder() -> AsyncIterator[EmbeddingServer]:
    """An embedding server on a free port."""
    async with EmbeddingServer() as running:
        yield running


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    """A ledger without limits, whose books must balance at the end."""
    kept = Ledger()
    yield kept
    check_books(kept)


# The model


async def test_vectors_come_in_the_order_of_the_texts(
    embedder: EmbeddingServer, ledger: Ledger
) -> None:
    embedder.vector = lambda text: [float(text), 1.0]
    texts = [str(number) for number in range(3 * BATCH + 1)]
    vectors = await embedder.model().embed(texts, ledger=ledger, call_id="c")
    assert vectors == [[float(text), 1.0] for text in texts]
    assert [len(body["input"]) for body in embedder.requests] == [BATCH] * 3 + [1]
    assert ledger.spent().input_tokens == embedder.spent_tokens
    assert ledger.spent().calls == 4


async def test_no_texts_are_no_call(embedder: EmbeddingServer, ledger: Ledger) -> None:
    assert await embedder.model().embed([], ledger=ledger, call_id="c") == []
    assert embedder.requests == []


async def test_questions_and_passages_get_their_prefixes(
    embedder: EmbeddingServer, ledger: Ledger
) -> None:
    model = embedder.model(query_prefix="query: ", passage_prefix="passage: ")
    await model.embed(["a"], ledger=ledger, call_id="c")
    await model.embed(["a"], ledger=ledger, call_id="d", query=True)
    assert [body["input"] for body in embedder.requests] == [["passage: a"], ["query: a"]]
    assert model.identity != embedder.model().identity


async def test_it_is_charged_at_its_price(embedder: EmbeddingServer, ledger: Ledger) -> None:
    model = embedder.model(price=Price(input=Decimal(2)))
    await model.embed(["some text"], ledger=ledger, call_id="c")
    assert ledger.spent().cost == Decimal(2) * embedder.spent_tokens / 10**6


async def test_a_text_that_is_too_long_is_embedded_by_its_beginning_and_spoils_no_other(
    embedder: EmbeddingServer, ledger: Ledger
) -> None:
    embedder.context = 400
    embedder.vector = lambda text: [float(len(text)), 1.0]
    texts = ["short", "x" * 1000, "also short", "y"]
    vectors = await embedder.model().embed(texts, ledger=ledger, call_id="c")
    assert [vector[0] for vector in vectors] == [5, 250, 10, 1]


async def test_a_server_that_takes_nothing_is_soon_left_alone(
    embedder: EmbeddingServer, ledger: Ledger
) -> None:
    embedder.context = 0
    with pytest.raises(BadRequest):
        await embedder.model().embed(["x" * 1000] * 64, ledger=ledger, call_id="c")
    assert len(embedder.requests) <= 11
    assert ledger.spent().input_tokens == 0


async def test_a_call_that_cannot_be_paid_is_not_sent(embedder: EmbeddingServer) -> None:
    ledger = Ledger(Budget(tokens=10))
    with pytest.raises(BudgetExhausted):
        await embedder.model().embed(["longer than that"], ledger=ledger, call_id="c")
    assert embedder.requests == []


async def test_a_refused_key_is_not_tried_again(embedder: EmbeddingServer, ledger: Ledger) -> None:
    embedder.faults = itertools.repeat("401")
    with pytest.raises(KeyRefused):
        await embedder.model().embed(["a"], ledger=ledger, call_id="c")
    assert len(embedder.requests) == 1


@pytest.mark.parametrize(
    "usage",
    [
        lambda tokens: None,
        lambda tokens: {"prompt_tokens": 0},
        lambda tokens: {"prompt_tokens": -9},
    ],
)
async def test_usage_that_is_missing_or_cannot_be_true_is_charged_at_the_bound(
    usage: Callable[[int], Json | None], embedder: EmbeddingServer, ledger: Ledger
) -> None:
    embedder.usage = usage
    await embedder.model().embed(["some text" * 9], ledger=ledger, call_id="c")
    assert ledger.spent().input_tokens >= embedder.spent_tokens


@given(
    tokens=st.integers(0, 6000),
    faults=st.lists(st.sampled_from(["none", "500", "reset", "empty", "429", "503"]), max_size=12),
    seed=st.integers(0, 100),
    many=st.integers(1, 100),
)
def test_the_server_never_reads_more_tokens_than_the_budget(
    tokens: int, faults: list[str], seed: int, many: int
) -> None:
    rng = random.Random(seed)
    texts = ["né漢 a"[rng.randrange(5) :] * rng.randrange(1, 30) for _ in range(many)]

    async def check() -> None:
        async with EmbeddingServer(faults=iter(faults)) as embedder:
            ledger = Ledger(Budget(tokens=tokens))
            model = embedder.model()

            async def embed(name: str) -> None:
                with contextlib.suppress(BudgetExhausted, BackendError):
                    await model.embed(texts, ledger=ledger, call_id=name)

            await asyncio.gather(*map(embed, "abc"))
            await model.aclose()
            assert embedder.spent_tokens <= ledger.spent().input_tokens <= tokens
            check_books(ledger)

    asyncio.run(check())


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [1],
        [{"embedding": None}],
        [{"embedding": []}],
        [{"embedding": ["1"]}],
        [{"embedding": [True]}],
        [{"embedding": [math.nan]}],
        [{"embedding": [10**400]}],
        [{"embedding": [1.0], "index": 1}],
        [{"embedding": [1.0]}, {"embedding": [1.0]}],
    ],
)
async def test_a_reply_that_holds_no_vectors_is_malformed(
    data: Any, embedder: EmbeddingServer, ledger: Ledger
) -> None:
    embedder.shape = lambda reply: reply | {"data": data}
    with pytest.raises(MalformedReply):
        await embedder.model().embed(["a"], ledger=ledger, call_id="c")


async def test_vectors_of_different_lengths_are_malformed(
    embedder: EmbeddingServer, ledger: Ledger
) -> None:
    embedder.vector = lambda text: [1.0] * len(text)
    with pytest.raises(MalformedReply):
        await embedder.model().embed(["a", "bb"], ledger=ledger, call_id="c")
    with pytest.raises(MalformedReply):
        await embedder.model().embed(["a"] * BATCH + ["bb"], ledger=ledger, call_id="d")


# Documents with vectors


@pytest.fixture
def semantic(folder: Path, tmp_path: Path, embedder: EmbeddingServer) -> Documents:
    """Documents with the server's embeddings."""
    return Documents(folder, embedder.model(), index=tmp_path / "index.sqlite")


async def test_rank_fusion_finds_what_words_alone_miss(
    write: Write, semantic: Documents, ledger: Ledger
) -> None:
    write("a.md", "The physician was late.")
    write("b.md", "An old automobile.")
    write("c.md", "Nothing of the kind.")
    done = await semantic.ingest(ledger=ledger)
    assert (done.without_vectors, done.problem) == (0, "")
    assert await semantic.search("car") == []
    hits = await semantic.search("car", ledger=ledger)
    assert hits[0].citation == "b.md:1-1"


async def test_what_both_rankings_have_comes_first(
    write: Write, semantic: Documents, ledger: Ledger
) -> None:
    write("a.md", "A vehicle and an automobile.")
    write("b.md", "Parking for a car.")
    write("c.md", "Parking, parking, parking.")
    await semantic.ingest(ledger=ledger)
    hits = await semantic.search("parking a car", ledger=ledger)
    assert hits[0].name == "b.md"


async def test_only_new_passages_are_embedded(
    write: Write, semantic: Documents, embedder: EmbeddingServer, ledger: Ledger
) -> None:
    write("a.md", "The physician.")
    write("b.md", "An automobile.")
    await semantic.ingest(ledger=ledger)
    write("b.md", "Some broth.")
    await semantic.ingest(ledger=ledger)
    await semantic.ingest(ledger=ledger)
    assert [sorted(body["input"]) for body in embedder.requests] == [
        ["An automobile.", "The physician."],
        ["Some broth."],
    ]
    hits = await semantic.search("soup", ledger=ledger)
    assert hits[0].name == "b.md"


async def test_a_deleted_files_vectors_are_gone(
    write: Write, semantic: Documents, ledger: Ledger
) -> None:
    path = write("a.md", "The physician.")
    write("b.md", "An automobile.")
    await semantic.ingest(ledger=ledger)
    assert (await semantic.search("doctor", ledger=ledger))[0].name == "a.md"
    path.unlink()
    await semantic.ingest(ledger=ledger)
    assert [hit.name for hit in await semantic.search("doctor", ledger=ledger)] == ["b.md"]


async def test_without_a_ledger_nothing_is_sent(
    write: Write, semantic: Documents, embedder: EmbeddingServer
) -> None:
    write("a.md", "The physician.")
    done = await semantic.ingest()
    assert done.without_vectors == 1
    assert [hit.name for hit in await semantic.search("physician")] == ["a.md"]
    assert embedder.requests == []


async def test_an_ingest_spends_no_more_than_its_budget_and_keeps_what_it_paid_for(
    write: Write, semantic: Documents, embedder: EmbeddingServer
) -> None:
    for number in range(400):
        write(f"{number}.md", f"Text number {number}. " * 10)
    ledger = Ledger(Budget(tokens=20_000))
    done = await semantic.ingest(ledger=ledger)
    assert embedder.spent_tokens <= ledger.spent().input_tokens <= 20_000
    assert (done.files, 0 < done.without_vectors < 400) == (400, True)
    assert "tokens" in done.problem
    check_books(ledger)
    more = await semantic.ingest(ledger=Ledger())
    assert more.without_vectors == 0
    assert sum(len(body["input"]) for body in embedder.requests) == 400


async def test_a_server_that_fails_leaves_the_words(
    write: Write, semantic: Documents, embedder: EmbeddingServer, ledger: Ledger
) -> None:
    write("a.md", "The physician.")
    embedder.faults = itertools.repeat("500")
    done = await semantic.ingest(ledger=ledger)
    assert done.without_vectors == 1
    assert "engine died" in done.problem
    assert [hit.name for hit in await semantic.search("physician")] == ["a.md"]


async def test_another_models_vectors_are_not_compared(
    write: Write, folder: Path, semantic: Documents, embedder: EmbeddingServer, ledger: Ledger
) -> None:
    write("a.md", "An automobile.")
    await semantic.ingest(ledger=ledger)
    other = Documents(folder, embedder.model(query_prefix="q: "), index=semantic.index)
    assert await other.search("car", ledger=ledger) == []
    assert (await other.ingest(ledger=ledger)).without_vectors == 0
    assert len(await other.search("car", ledger=ledger)) == 1


async def test_vectors_of_another_length_are_not_compared(
    write: Write, semantic: Documents, embedder: EmbeddingServer, ledger: Ledger
) -> None:
    write("a.md", "An automobile.")
    await semantic.ingest(ledger=ledger)
    embedder.vector = lambda text: [1.0, 2.0]
    assert await semantic.search("car", ledger=ledger) == []


async def test_progress_counts_the_passages_that_get_vectors(
    write: Write, semantic: Documents, ledger: Ledger
) -> None:
    for number in range(200):
        write(f"{number}.md", f"Text {number}.")
    told: list[tuple[int, int]] = []
    await semantic.ingest(lambda done, total: told.append((done, total)), ledger=ledger)
    assert told[200:] == [(128, 200), (200, 200)]
