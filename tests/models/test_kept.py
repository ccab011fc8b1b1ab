"""Kept replies: they come back as they were, and are neither sent nor paid again."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fault_server import FaultServer
from hypothesis import given
from hypothesis import strategies as st
from leftovers import QUICK, check_books
from reward_server import RewardServer

from mull.agents.artifacts import Artifacts
from mull.budgets import Ledger, SQLiteStore, Usage
from mull.models import EmbeddingModel, Model, Reply, Request, RewardModel, user
from mull.models.kept import asked_of, digest, read, written
from mull.models.reply import Delta, TokenLogprob, ToolCall

COUNTS = st.integers(0, 10**6)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
REPLIES = st.builds(
    Reply,
    text=st.text(),
    reasoning=st.text(),
    tool_calls=st.lists(st.builds(ToolCall, st.text(), st.text(), st.text())).map(tuple),
    finish_reason=st.sampled_from(["", "stop", "length"]),
    refusal=st.text(),
    logprobs=st.lists(
        st.builds(
            TokenLogprob,
            st.text(),
            FLOATS,
            st.lists(st.tuples(st.text(), FLOATS), max_size=2).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    usage=st.builds(
        Usage,
        calls=COUNTS,
        input_tokens=COUNTS,
        output_tokens=COUNTS,
        reasoning_tokens=COUNTS,
        cost=st.decimals(0, 10, places=12),
    ),
    model=st.text(),
    seconds=st.floats(0, 1e6),
    seconds_to_first=st.none() | st.floats(0, 1e6),
)
TOOLS = [{"type": "function", "function": {"name": "add"}}]
REQUEST = Request(messages=[user("How many?")], temperature=0.5, seed=3)
SAME: list[dict[str, Any]] = [
    {"max_tokens": 7},
    {"least_tokens": 9},
    {"tools": TOOLS},
    {"tool_choice": "none"},
    {"reasoning_effort": "high"},
    {"timeout": 3.0},
    {"logprobs": True},
]
OTHER: list[dict[str, Any]] = [
    {"messages": [user("How much?")]},
    {"temperature": 0.6},
    {"top_p": 0.9},
    {"seed": 4},
    {"stop": ("\n",)},
    {"response_format": {"type": "json_object"}},
    {"continues": True},
    {"identity": "asked before"},
]


@pytest.fixture
def lives(tmp_path: Path) -> Iterator["Lives"]:
    """A run's ledgers, one for each life of it."""
    made = Lives(tmp_path)
    yield made
    check_books(made.next())
    made.close()


class Lives:
    """Ledgers of one run over the same files, as its processes would open them."""

    def __init__(self, folder: Path) -> None:
        self.store = SQLiteStore(folder / "ledger.sqlite")
        self.artifacts = Artifacts(folder / "artifacts.sqlite")

    def next(self) -> Ledger:
        """The ledger of another life."""
        return Ledger(key="run", store=self.store, recorder=self.artifacts.of("x"))

    def close(self) -> None:
        self.store.close()
        self.artifacts.close()


@given(REPLIES)
def test_a_reply_comes_back_from_its_record_as_it_was(reply: Reply) -> None:
    assert read(json.loads(json.dumps(written(reply)))) == reply


@pytest.mark.parametrize("change", SAME, ids=lambda change: next(iter(change)))
def test_what_the_budget_allows_at_the_moment_makes_no_other_call(change: dict[str, Any]) -> None:
    assert digest(replace(REQUEST, **change), "m") == digest(REQUEST, "m")


@pytest.mark.parametrize("change", OTHER, ids=lambda change: next(iter(change)))
def test_what_the_model_would_answer_differently_makes_another_call(change: dict[str, Any]) -> None:
    assert digest(replace(REQUEST, **change), "m") != digest(REQUEST, "m")


def test_another_model_makes_another_call() -> None:
    assert digest(REQUEST, "m") != digest(REQUEST, "larger")


def test_the_budget_line_makes_no_other_call() -> None:
    lines = [[user("How many?"), user(f"({left} tokens remain)")] for left in (900, 400)]
    asked = [Request(messages=line, identity="How many?") for line in lines]
    assert digest(asked[0], "m") == digest(asked[1], "m")


@given(text=st.text(), limit=st.integers(1, 99), top=st.integers(0, 9))
def test_what_is_kept_of_a_request_is_all_that_was_set(text: str, limit: int, top: int) -> None:
    request = Request(messages=[user(text)], max_tokens=limit, extra_body={"top_k": top})
    assert asked_of(request, "m") == {
        "model": "m",
        "messages": [user(text)],
        "max_tokens": limit,
        "top_k": top,
    }


# --- calls that were answered in an earlier life


@pytest.mark.parametrize("name", ["m", None], ids=["named", "the only one it serves"])
async def test_a_chat_reply_that_was_kept_is_not_sent_or_charged_again(
    server: FaultServer, lives: Lives, name: str | None
) -> None:
    first = await Model(name, server.base_url).ask(REQUEST, ledger=lives.next(), call_id="think")
    spent = lives.next().spent()
    again = await Model(name, server.base_url).ask(REQUEST, ledger=lives.next(), call_id="think")
    assert replace(again, seconds=first.seconds) == first
    assert len(server.requests) == 1
    assert replace(lives.next().spent(), seconds=0) == replace(spent, seconds=0)
    assert len(lives.next().journal()) == 1


async def test_a_chat_reply_that_was_kept_is_told_again_in_one_piece(
    server: FaultServer, lives: Lives
) -> None:
    server.reply = "It is 42."
    heard: list[Delta] = []
    for _ in range(2):
        await Model("m", server.base_url).ask(
            REQUEST, ledger=lives.next(), call_id="think", on_delta=heard.append
        )
    assert heard[-1] == Delta("It is 42.")
    assert "".join(delta.text for delta in heard) == "It is 42." * 2


async def test_an_id_that_comes_to_ask_something_else_is_asked(
    server: FaultServer, lives: Lives
) -> None:
    model = Model("m", server.base_url)
    for question in ("How many?", "How much?"):
        request = Request(messages=[user(question)])
        await model.ask(request, ledger=lives.next(), call_id="think")
    assert len(server.requests) == 2
    assert [entry.call_id for entry in lives.next().journal()] == ["think#1", "think#2"]


async def test_a_reply_that_broke_off_is_not_kept(server: FaultServer, lives: Lives) -> None:
    server.fault = ["truncated_sse", "none"]
    model = Model("m", server.base_url, retry=QUICK)
    reply = await model.ask(REQUEST, ledger=lives.next(), call_id="think")
    [record] = lives.artifacts.of("x").records()
    assert record.replied["text"] == reply.text
    assert len(server.requests) == 2


async def test_a_record_has_the_prompt_and_the_tools_as_they_were_sent(
    server: FaultServer, lives: Lives
) -> None:
    request = replace(REQUEST, tools=TOOLS)
    await Model("m", server.base_url).ask(request, ledger=lives.next(), call_id="think")
    [record] = lives.artifacts.of("x").records()
    sent = server.requests[0].body
    assert {name: record.asked[name] for name in ("messages", "tools", "seed")} == {
        name: sent[name] for name in ("messages", "tools", "seed")
    }


async def test_embeddings_that_were_kept_are_not_sent_or_charged_again(lives: Lives) -> None:
    asked: list[Any] = []

    async def embeddings(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        data = [{"embedding": [float(len(text)), 1.0]} for text in body["input"]]
        return web.json_response({"data": data, "usage": {"prompt_tokens": 9}})

    app = web.Application()
    app.router.add_post("/v1/embeddings", embeddings)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    model = EmbeddingModel("e", f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    texts = ["a car", "a soup"]
    made = [await model.embed(texts, ledger=lives.next(), call_id="find") for _ in range(2)]
    await model.aclose()
    await runner.cleanup()
    assert made[0] == made[1] == [[5.0, 1.0], [6.0, 1.0]]
    assert len(asked) == len(lives.next().journal()) == 1


async def test_scores_that_were_kept_are_not_sent_or_charged_again(lives: Lives) -> None:
    async with RewardServer() as rewards:
        made = []
        for _ in range(2):
            model = RewardModel("r", rewards.base_url)
            made.append(
                await model.score("Which?", ["one", "three"], ledger=lives.next(), call_id="judge")
            )
            await model.aclose()
    assert made[0] == made[1] == [0.03, 0.05]
    assert len(rewards.requests) == len(lives.next().journal()) == 1
    assert lives.next().spent().cost == Decimal(0)
