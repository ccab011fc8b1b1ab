"""A conversation far beyond its room: older turns become notes, and what they say is still known.

The model is a script. Asked to condense, it keeps every line with a fact that it is shown; asked
for a fact, it answers only from what its prompt holds.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer
from leftovers import check_books, until

from mull import Agent
from mull.agents import Thread, ThreadStore
from mull.models import Model, RetryPolicy

FACT = re.compile(r"my [a-z]+ is \w+", re.I)
CONDENSING = "Below are the notes of a conversation"
TURNS = 60
LAST_THAT_FITS = 3
"""The turn after this one is the first that condenses."""
BUDGET = "tokens=4000"
FILLER = "That is all there is to say about it for now, and it goes on like this for a while. " * 4


def scripted(body: dict[str, Any]) -> str:
    """What the model says."""
    prompt = "\n".join(message["content"] for message in body["messages"])
    facts = list(dict.fromkeys(found.lower() for found in FACT.findall(prompt)))
    if CONDENSING in prompt:
        return "\n".join(["Facts:", *facts])
    last = body["messages"][-1]["content"]
    if wanted := re.search(r"what is my (\w+)\?", last, re.I):
        known = [fact for fact in facts if fact.startswith(f"my {wanted[1]} is ")]
        return f"Answer: {known[-1].rpartition(' ')[2]}" if known else "I do not know."
    return f"Noted. {FILLER}"


def thread_on(server: FaultServer, folder: Path, **more: Any) -> Thread:
    """The thread, with objects that were all made anew."""
    model = Model("m", server.base_url, retry=RetryPolicy(attempts=1))
    agent = Agent(
        model, threads=ThreadStore(folder), **{"depth": "direct", "budget": BUDGET, **more}
    )
    return agent.thread("x")


def condensing(server: FaultServer) -> int:
    """How many requests were to condense."""
    return sum(
        CONDENSING in exchange.body["messages"][-1]["content"] for exchange in server.requests
    )


async def chat(thread: Thread, first: int, last: int) -> None:
    """Turns without facts to keep."""
    for number in range(first, last + 1):
        answer = await thread.arun(f"Turn {number}. {FILLER}")
        assert answer.stopped == "answered", answer


@pytest.mark.parametrize("tokenizer", [None, "vllm"])
async def test_a_fact_from_the_third_turn_is_known_after_sixty_and_a_restart(
    server: FaultServer, tmp_path: Path, tokenizer: str | None
) -> None:
    server.reply, server.tokenizer = scripted, tokenizer
    thread = thread_on(server, tmp_path)
    await chat(thread, 1, 2)
    await thread.arun("My boat is Esmeralda.")
    await chat(thread, 4, 30)
    thread = thread_on(server, tmp_path)
    await chat(thread, 31, TURNS - 1)
    answer = await thread.arun("What is my boat?")
    assert answer.final == "esmeralda"
    turns = await thread.ahistory()
    assert len(turns) == TURNS
    said = sum(len(turn.question) + len(turn.text) for turn in turns)
    prompts = [exchange.prompt_tokens for exchange in server.requests]
    assert said / server.bytes_per_token > 4 * max(prompts)
    assert condensing(server) >= 5


async def test_what_condensing_costs_is_on_the_books_of_the_run_that_needed_it(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = scripted
    thread = thread_on(server, tmp_path)
    await chat(thread, 1, 20)
    ledger = thread._account()
    check_books(ledger)
    entries = [entry for entry in ledger.journal() if "condense" in entry.call_id]
    assert len(entries) == condensing(server) > 0
    assert ledger.spent().total_tokens == server.spent_tokens
    turns = await thread.ahistory()
    assert sum(turn.usage["total_tokens"] for turn in turns) == server.spent_tokens


async def test_where_the_budget_cannot_pay_for_notes_the_conversation_goes_on(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = scripted
    thread = thread_on(server, tmp_path, budget="calls=1")
    await chat(thread, 1, 20)
    assert condensing(server) == 0
    assert len(await thread.ahistory()) == 20
    answer = await thread.arun("My boat is Esmeralda.")
    answer = await thread.arun("What is my boat?")
    assert answer.final == "esmeralda"


async def test_where_the_backend_cannot_condense_the_conversation_goes_on_and_tries_again(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = scripted
    thread = thread_on(server, tmp_path)
    await chat(thread, 1, 3)
    failing = True

    def broken(body: dict[str, Any]) -> str:
        condenses = CONDENSING in body["messages"][-1]["content"]
        return "" if condenses and failing else scripted(body)

    server.reply = broken
    await chat(thread, 4, 12)
    tried = condensing(server)
    assert tried > 1
    failing = False
    await thread.arun("My boat is Esmeralda.")
    await chat(thread, 14, 30)
    assert condensing(server) > tried
    assert (await thread.arun("What is my boat?")).final == "esmeralda"


async def test_a_turn_that_is_longer_than_its_room_is_condensed_by_its_beginning_and_its_end(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = scripted
    thread = thread_on(server, tmp_path)
    answer = await thread.arun(f"My boat is Esmeralda. {'so ' * 1100} My cat is Tom.")
    assert answer.stopped == "answered"
    await chat(thread, 2, 8)
    assert condensing(server) > 0
    for fact, name in (("boat", "esmeralda"), ("cat", "tom")):
        assert (await thread.arun(f"What is my {fact}?")).final == name


async def test_a_run_that_was_cut_off_while_it_condensed_goes_on(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = scripted
    thread = thread_on(server, tmp_path)
    await thread.arun("My boat is Esmeralda.")
    number = 1
    while not condensing(server):
        number += 1
        server.fault = ["hang_before_headers"] if number == LAST_THAT_FITS + 1 else "none"
        task = asyncio.create_task(thread.arun(f"Turn {number}. {FILLER}"))
        await until(lambda: task.done() or condensing(server) > 0, 20)  # noqa: B023
    task.cancel()
    await asyncio.wait([task])
    server.fault = "none"
    thread = thread_on(server, tmp_path)
    assert (await thread.aresume()).stopped == "answered"
    assert condensing(server) == 2
    assert len(await thread.ahistory()) == number
    await chat(thread, number + 1, number + 6)
    assert (await thread.arun("What is my boat?")).final == "esmeralda"


async def test_undo_takes_a_turn_out_of_the_notes_as_well(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = scripted
    thread = thread_on(server, tmp_path)
    await chat(thread, 1, 2)
    await thread.arun("My boat is Esmeralda.")
    await chat(thread, 4, 12)
    assert condensing(server) > 0
    for _ in range(10):
        await thread.aundo()
    assert len(await thread.ahistory()) == 2
    assert (await thread.arun("What is my boat?")).text == "I do not know."
