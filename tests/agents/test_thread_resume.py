"""A thread whose process is killed goes on in another, and pays for no reply twice.

A request is known by its messages, its seed and its temperature. After the first few, each request
hangs; so what was answered is known, and all of it is in the records, when the process is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import check_books, until
from thread_lives import PATIENCE, Life, Lives, to_the_end

from mull import Agent
from mull.agents import Thread, ThreadStore
from mull.budgets import Ledger
from mull.graphs import InvalidOutput
from mull.models import BackendError, MalformedReply

KILLS = 2
MOST = {"reason": 1, "auto": 1, "vote": 3, "reflect": 3, "search": 3}
"""Requests that a life may have answered, so that each is killed before its run has ended."""
BUDGET = 60_000


def calling(body: Any) -> Reply | str:
    """Two rounds of tools where there are any, and then an answer that depends on the seed."""
    rounds = sum(message["role"] == "tool" for message in body["messages"])
    if body.get("tools") and rounds < 2:
        return Reply(tool_calls=[("add", {"a": rounds, "b": rounds})])
    rng = random.Random(json.dumps([body["messages"], body.get("seed")]))
    return f"It is so.\nAnswer: {rng.randint(1, 4)}"


def answered_whole(server: FaultServer) -> Counter[str]:
    """How often each request was answered to its end."""
    return Counter(
        json.dumps([e.body["messages"], e.body.get("seed"), e.body.get("temperature")])
        for e in server.requests
        if e.finished
    )


def hanging_after(many: int, fault: str) -> Iterator[str]:
    return itertools.chain(["none"] * many, itertools.repeat(fault))


class Watched:
    """The records of the thread, as another process sees them."""

    def __init__(self, folder: Path) -> None:
        self.store = ThreadStore(folder)

    def replies(self) -> int:
        """How many replies of the model are kept."""
        [(many,)] = self.store._artifacts.execute(
            "SELECT count(*) FROM records WHERE json_extract(body, '$.kind') = 'model'"
        )
        return int(many)

    def records(self) -> int:
        """How many replies, of the model and of tools, are kept."""
        [(many,)] = self.store._artifacts.execute("SELECT count(*) FROM records")
        return int(many)

    def ledger(self) -> Ledger:
        return self.store.ledger("x")


async def hung(server: FaultServer, watched: Watched, life: Life) -> None:
    """The process has all that is answered, and waits for what is not; or it is over."""

    def waits() -> bool:
        open = [e for e in server.requests if not (e.finished or e.aborted)]
        hangs = open and all(e.fault.startswith("hang") for e in open)
        return bool(hangs) and watched.replies() == sum(e.finished for e in server.requests)

    await until(lambda: life.over or waits(), PATIENCE)


@pytest.mark.parametrize("depth", ["reason", "vote", "reflect", "search", "auto"])
async def test_no_request_that_was_answered_is_sent_again_after_a_kill(
    server: FaultServer, tmp_path: Path, depth: str, lives: Lives
) -> None:
    server.reply = calling
    rng = random.Random(depth)
    watched = Watched(tmp_path)
    for _ in range(KILLS):
        fault = rng.choice(["hang_before_headers", "hang_mid_stream"])
        server.fault = hanging_after(rng.randint(0, MOST[depth]), fault)
        async with lives.living(to_the_end, server.base_url, str(tmp_path), depth) as life:
            await hung(server, watched, life)
        await until(lambda: server.active == 0, PATIENCE)
    server.fault = "none"
    async with lives.living(to_the_end, server.base_url, str(tmp_path), depth) as life:
        turn = await life.result()
    assert turn["stopped"] == "answered"
    assert turn["text"].startswith("It is so.")
    assert max(answered_whole(server).values()) == 1
    ledger = watched.ledger()
    check_books(ledger)
    assert any(entry.state == "swept" for entry in ledger.journal())
    assert server.spent_tokens <= ledger.spent().total_tokens <= BUDGET
    assert turn["usage"]["total_tokens"] == ledger.spent().total_tokens
    watched.store.close()


async def test_a_run_that_is_killed_again_and_again_comes_to_its_end(
    server: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    """Each life is given one reply."""
    server.reply = calling
    watched = Watched(tmp_path)
    for _ in range(2):
        server.fault = hanging_after(1, "hang_before_headers")
        async with lives.living(to_the_end, server.base_url, str(tmp_path), "reason") as life:
            await hung(server, watched, life)
        await until(lambda: server.active == 0, PATIENCE)
    server.fault = hanging_after(1, "hang_before_headers")
    async with lives.living(to_the_end, server.base_url, str(tmp_path), "reason") as life:
        assert (await life.result())["stopped"] == "answered"
    assert sum(answered_whole(server).values()) == 3
    assert max(answered_whole(server).values()) == 1
    watched.store.close()


async def test_a_kill_at_any_moment_costs_at_most_what_was_in_flight(
    server: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    """Without the hangs: a reply may be on its way when the process dies."""
    server.reply = calling
    server.token_delay = 0.01
    rng, kills, at_once = random.Random(7), 3, 2
    for _ in range(kills):
        target = len(server.requests) + rng.randint(1, 4)
        async with lives.living(to_the_end, server.base_url, str(tmp_path), "vote") as life:
            await until(lambda: life.over or len(server.requests) >= target, PATIENCE)  # noqa: B023
        await until(lambda: server.active == 0, PATIENCE)
    async with lives.living(to_the_end, server.base_url, str(tmp_path), "vote") as life:
        turn = await life.result()
    assert turn["stopped"] == "answered"
    assert sum(answered_whole(server).values()) - len(answered_whole(server)) <= kills * at_once
    watched = Watched(tmp_path)
    check_books(watched.ledger())
    assert server.spent_tokens <= watched.ledger().spent().total_tokens <= BUDGET
    watched.store.close()


async def test_what_was_decided_before_the_kill_is_not_decided_again(
    server: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    """The tool ran, and the process died before the model was told: the result is still there."""
    server.reply = calling
    server.fault = hanging_after(1, "hang_before_headers")
    watched = Watched(tmp_path)
    async with lives.living(to_the_end, server.base_url, str(tmp_path), "reason") as life:
        await hung(server, watched, life)
    server.fault = "none"
    async with lives.living(to_the_end, server.base_url, str(tmp_path), "reason") as life:
        await life.result()
    tools = [entry for entry in watched.ledger().journal() if entry.bound.tool_calls]
    assert [entry.usage.tool_calls for entry in tools] == [1, 1]
    watched.store.close()


async def test_a_session_that_ended_with_its_process_is_told_of_even_where_its_last_call_is_kept(
    server: FaultServer, tmp_path: Path
) -> None:
    """The turn was cut off: one of its two calls was answered, and is not made again."""
    watched, released = Watched(tmp_path), asyncio.Event()

    async def wait() -> str:
        """Wait."""
        await released.wait()
        return "waited"

    def reply(body: Any) -> Reply:
        done = sum(message["role"] == "tool" for message in body["messages"])
        if done == 0:
            return Reply(tool_calls=[("python", {"code": "x = 41; print(x)"}), ("wait", {})])
        return Reply(tool_calls=[("python", {"code": "print(x)"})]) if done == 2 else Reply("42")

    def thread() -> Thread:
        agent = Agent(
            "m", base_url=server.base_url, threads=tmp_path, depth="reason", tools=["python", wait]
        )
        return agent.thread("x")

    server.reply = reply
    task = asyncio.create_task(thread().arun("How many?"))
    await until(lambda: task.done() or watched.records() == 2, PATIENCE)
    task.cancel()
    await asyncio.wait([task])
    released.set()
    await thread().aresume()
    told = [m["content"] for m in server.requests[-1].body["messages"] if m["role"] == "tool"]
    assert told[:2] == ["41", "waited"]
    assert told[2].startswith("[The session was restarted")
    watched.store.close()


async def test_a_call_beside_one_that_is_kept_is_told_that_its_session_is_new(
    server: FaultServer, tmp_path: Path
) -> None:
    """The turn was cut off between two calls of one session."""
    watched = Watched(tmp_path)
    builds_on = "import time\nif 'x' in globals(): time.sleep(600)\nprint(x)"

    def reply(body: Any) -> Reply:
        if any(message["role"] == "tool" for message in body["messages"]):
            return Reply("Answer: 42")
        return Reply(tool_calls=[("python", {"code": c}) for c in ("x = 41; print(x)", builds_on)])

    def thread() -> Thread:
        url = server.base_url
        agent = Agent("m", base_url=url, threads=tmp_path, depth="reason", tools=["python"])
        return agent.thread("x")

    server.reply = reply
    task = asyncio.create_task(thread().arun("How many?"))
    await until(lambda: task.done() or watched.records() == 2, PATIENCE)
    task.cancel()
    await asyncio.wait([task])
    await thread().aresume()
    told = [m["content"] for m in server.requests[-1].body["messages"] if m["role"] == "tool"]
    assert told[0].startswith("41\n[The session was restarted")
    assert told[1].startswith("[The session was restarted")
    assert "NameError" in told[1]
    watched.store.close()


# --- runs that failed


async def test_a_run_that_failed_over_an_empty_reply_asks_again_when_it_is_resumed(
    server: FaultServer, tmp_path: Path
) -> None:
    thread = Agent("m", base_url=server.base_url, threads=tmp_path, depth="direct").thread("x")
    server.reply = ""
    for _ in range(2):
        with pytest.raises(MalformedReply):
            await (thread.aresume() if await thread.ainterrupted() else thread.arun("How many?"))
    server.reply = "Answer: 42"
    assert (await thread.aresume()).final == "42"
    assert len(server.requests) == 3
    assert thread.spent().calls == 3


async def test_a_run_that_failed_over_its_output_asks_again_when_it_is_resumed(
    server: FaultServer, tmp_path: Path
) -> None:
    thread = Agent("m", base_url=server.base_url, threads=tmp_path, depth="direct").thread("x")
    server.reply = "I am sorry."
    with pytest.raises(InvalidOutput):
        await thread.arun("How many?", output_type=int)
    server.reply = "Answer: 42"
    assert (await thread.aresume(output_type=int)).output == 42


async def test_what_was_said_before_the_backend_failed_is_not_paid_again(
    server: FaultServer, tmp_path: Path
) -> None:
    """The run failed for want of a reply, between two calls of one step."""
    thread = Agent("m", base_url=server.base_url, threads=tmp_path, depth="direct").thread("x")
    server.reply, server.fault = "I am sorry.", itertools.chain(["none"], ["status_401"] * 9)
    with pytest.raises(BackendError):
        await thread.arun("How many?", output_type=int)
    server.reply, server.fault = "Answer: 42", "none"
    assert (await thread.aresume(output_type=int)).output == 42
    asked = [json.dumps(e.body["messages"]) for e in server.requests if e.fault == "none"]
    assert len(asked) == len(set(asked)) == 2
