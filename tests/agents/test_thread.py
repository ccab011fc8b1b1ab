"""Threads: what was said is there again, what was spent is counted, one run at a time."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import Leftovers, check_books, until
from thread_lives import Lives, told

from mull import Agent, Answered, Budget, BudgetExhausted, Ledger, WrongUsage
from mull.agents import Thread, ThreadStore
from mull.agents.threads import account_of
from mull.budgets import SQLiteStore
from mull.graphs import DepthChosen, Text
from mull.models import KeyRefused, Message

Body = dict[str, Any]


def agent_on(server: FaultServer, folder: Path, **more: Any) -> Agent:
    return Agent("m", base_url=server.base_url, threads=folder, **{"depth": "direct", **more})


def thread_on(server: FaultServer, folder: Path, **more: Any) -> Thread:
    return agent_on(server, folder, **more).thread("x")


def echo(body: Body) -> str:
    """Says what it was asked last."""
    return f"You said: {body['messages'][-1]['content']}"


def said_to(server: FaultServer) -> list[tuple[str, str]]:
    """Role and text of what the model was told last, without the system's."""
    told: list[Message] = server.requests[-1].body["messages"]
    return [
        (message["role"], message["content"]) for message in told if message["role"] != "system"
    ]


async def asked(thread: Thread, *questions: str) -> None:
    for question in questions:
        await thread.arun(question)


async def texts(thread: Thread) -> list[str]:
    return [turn.question for turn in await thread.ahistory()]


@dataclass
class Person:
    """A typed answer."""

    name: str
    age: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def adding(body: Body) -> Reply:
    """One call of the tool, and then the answer."""
    done = body["messages"][-1]["role"] == "tool"
    return Reply("Answer: 3") if done else Reply(tool_calls=[("add", {"a": 1, "b": 2})])


@pytest.fixture
async def echoing(server: FaultServer) -> FaultServer:
    """A server that says what it is asked."""
    server.reply = echo
    return server


# --- what was said is there again


async def test_what_was_said_before_reaches_the_model(echoing: FaultServer, tmp_path: Path) -> None:
    await asked(thread_on(echoing, tmp_path), "One?", "Two?")
    assert said_to(echoing) == [
        ("user", "One?"),
        ("assistant", "You said: One?"),
        ("user", "Two?"),
    ]


@pytest.mark.parametrize("depth", ["reason", "vote", "reflect", "search", "auto"])
async def test_every_depth_knows_what_was_said_before(
    server: FaultServer, tmp_path: Path, depth: str
) -> None:
    server.reply = "Answer: 42"
    thread = thread_on(server, tmp_path, verifier=lambda candidate: True)
    await thread.arun("My lucky number is 42.")
    before = len(server.requests)
    answer = await thread.arun("What is my lucky number?", depth=depth)
    assert (answer.final, answer.thread) == ("42", "x")
    for exchange in server.requests[before:]:
        assert "My lucky number is 42." in json.dumps(exchange.body["messages"])


async def test_a_thread_goes_on_with_another_agent(echoing: FaultServer, tmp_path: Path) -> None:
    await asked(thread_on(echoing, tmp_path), "One?")
    await asked(thread_on(echoing, tmp_path), "Two?")
    assert said_to(echoing)[0] == ("user", "One?")


async def test_a_thread_goes_on_in_another_process(
    echoing: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    async with lives.living(told, echoing.base_url, str(tmp_path), "One?") as life:
        await life.result()
    thread = thread_on(echoing, tmp_path)
    await asked(thread, "Two?")
    assert said_to(echoing)[0] == ("user", "One?")
    assert await texts(thread) == ["One?", "Two?"]


async def test_two_threads_know_nothing_of_each_other(echoing: FaultServer, tmp_path: Path) -> None:
    agent = agent_on(echoing, tmp_path)
    for name in ("one", "other"):
        await agent.thread(name).arun(f"It is {name}.")
    assert said_to(echoing) == [("user", "It is other.")]


async def test_a_turn_tells_what_was_asked_said_and_spent(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    answers = [await thread.arun(question) for question in ("One?", "Two?")]
    turns = await thread.ahistory()
    assert [(turn.number, turn.question, turn.text) for turn in turns] == [
        (1, "One?", "You said: One?"),
        (2, "Two?", "You said: Two?"),
    ]
    assert [turn.usage["total_tokens"] for turn in turns] == [
        answer.usage.total_tokens for answer in answers
    ]
    assert {(turn.depth, turn.stopped) for turn in turns} == {("direct", "answered")}


# --- what was spent is counted


async def test_the_budget_of_a_thread_is_for_all_its_runs_and_lives(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = agent_on(echoing, tmp_path).thread("x", budget="calls=3")
    await asked(thread, "One?", "Two?")
    later = thread_on(echoing, tmp_path)
    assert later.left().calls == 1
    assert [(await later.arun(text)).stopped for text in ("Three?", "Four?")] == [
        "answered",
        "budget",
    ]
    assert len(echoing.requests) == later.spent().calls == 3


async def test_a_budget_that_is_given_later_holds_from_then_on(
    echoing: FaultServer, tmp_path: Path
) -> None:
    agent = agent_on(echoing, tmp_path)
    await asked(agent.thread("x", budget="calls=1"), "One?")
    agent.thread("x", budget="calls=2")
    assert agent.thread("x").left() == Budget(calls=1)


async def test_each_run_has_the_budget_of_its_own_beside_the_threads(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = adding
    agent = agent_on(server, tmp_path, depth="reason", tools=[add], budget="calls=2")
    thread = agent.thread("x", budget="calls=100")
    answers = [await thread.arun("How many?") for _ in range(3)]
    assert [(answer.stopped, answer.usage.calls) for answer in answers] == [("answered", 2)] * 3
    assert answers[0].budget == Budget(calls=2)
    assert thread.left().calls == 94


async def test_a_tenant_pays_for_its_threads(echoing: FaultServer, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "tenants.sqlite")
    tenant = Ledger(Budget(calls=3), key="tenant", store=store)
    agent = agent_on(echoing, tmp_path / "threads", ledger=tenant)
    await asked(agent.thread("one"), "One?", "Two?")
    answers = [await agent.thread("other").arun(text) for text in ("One?", "Two?")]
    assert [answer.stopped for answer in answers] == ["answered", "budget"]
    assert len(echoing.requests) == tenant.spent().calls == 3
    check_books(tenant)
    other, one = agent.threads.list()
    assert one.tokens + other.tokens == tenant.spent().total_tokens == echoing.spent_tokens
    assert (await agent.thread("one").aexport())["spent"]["calls"] == 2


async def test_a_tenant_whose_books_end_with_the_process_is_turned_down(
    server: FaultServer, tmp_path: Path
) -> None:
    with pytest.raises(WrongUsage, match="SQLiteStore"):
        thread_on(server, tmp_path, ledger=Ledger())


async def test_the_time_between_two_runs_is_not_spent(echoing: FaultServer, tmp_path: Path) -> None:
    agent = agent_on(echoing, tmp_path)
    thread = agent.thread("x", budget="seconds=100")
    await asked(thread, "One?")
    before = thread.spent().seconds
    echoing.delay = 0.5
    elsewhere = await agent.thread("y").arun("Two?")
    assert thread.spent().seconds - before < elsewhere.usage.seconds
    assert 100 - (thread.left().seconds or 0) - before < elsewhere.usage.seconds


async def test_a_thread_whose_budget_ended_may_raise_it(
    echoing: FaultServer, tmp_path: Path
) -> None:
    agent = agent_on(echoing, tmp_path, on_exhausted="raise")
    thread = agent.thread("x", budget="calls=1")
    await asked(thread, "One?")
    with pytest.raises(BudgetExhausted):
        await thread.arun("Two?")
    assert not await thread.ainterrupted()


# --- undo


async def test_undo_takes_back_the_last_turn_and_not_what_it_cost(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    await asked(thread, "One?", "Two?")
    spent = thread.spent().total_tokens
    gone = await thread.aundo()
    assert gone is not None
    assert (gone.number, gone.question) == (2, "Two?")
    assert await texts(thread) == ["One?"]
    assert thread.spent().total_tokens == spent
    await asked(thread, "Three?")
    assert [text for role, text in said_to(echoing) if role == "user"] == ["One?", "Three?"]
    assert [turn.number for turn in await thread.ahistory()] == [1, 3]


async def test_undo_goes_back_to_the_beginning_and_no_further(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    await asked(thread, "One?", "Two?")
    gone = [await thread.aundo() for _ in range(3)]
    assert [turn and turn.question for turn in gone] == ["Two?", "One?", None]
    await asked(thread, "Three?")
    assert said_to(echoing) == [("user", "Three?")]


# --- the list


async def test_the_list_has_the_thread_used_last_first(
    echoing: FaultServer, tmp_path: Path
) -> None:
    agent = agent_on(echoing, tmp_path)
    for name in ("one", "two", "one"):
        await agent.thread(name).arun(f"{name}\nof two?")
    found = await agent.threads.alist()
    assert [(line.id, line.title, line.turns, line.waiting) for line in found] == [
        ("one", "one of two?", 2, 0),
        ("two", "two of two?", 1, 0),
    ]
    assert found[0].tokens == agent.thread("one").spent().total_tokens > 0


async def test_a_store_alone_lists_shows_exports_and_deletes(
    echoing: FaultServer, tmp_path: Path
) -> None:
    await asked(thread_on(echoing, tmp_path), "One?")
    store = ThreadStore(tmp_path)
    assert [line.id for line in await store.alist()] == ["x"]
    [turn] = await store.ahistory("x")
    exported = await store.aexport("x")
    assert json.loads(json.dumps(exported))["turns"] == [turn.as_dict()]
    assert exported["thread"] == "x"
    assert exported["spent"]["calls"] == 1
    await store.adelete("x")
    assert await store.alist() == []
    for use in (store.ahistory, store.aexport, store.adelete):
        with pytest.raises(WrongUsage, match="no thread 'x'"):
            await use("x")
    store.close()


async def test_what_is_deleted_is_in_no_file(echoing: FaultServer, tmp_path: Path) -> None:
    agent = agent_on(echoing, tmp_path)
    await asked(agent.thread("x"), "The code is 271828182845.", "Which code?")
    await asked(agent.thread("y"), "Another.")
    await agent.thread("x").adelete()
    agent.threads.close()
    for table, file in (
        ("checkpoints", "checkpoints"),
        ("writes", "checkpoints"),
        ("pieces", "artifacts"),
        ("records", "artifacts"),
        ("threads", "artifacts"),
    ):
        rows = rows_of(tmp_path / f"{file}.sqlite", table)
        assert rows
        assert not [row for row in rows if b"271828182845" in row], table


def rows_of(file: Path, table: str) -> list[bytes]:
    db = sqlite3.connect(file)
    rows = db.execute(f"SELECT * FROM {table}").fetchall()
    db.close()
    return [repr(row).encode() for row in rows]


async def test_a_thread_that_was_deleted_begins_anew_and_keeps_its_account(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = agent_on(echoing, tmp_path).thread("x", budget="calls=9")
    await asked(thread, "One?")
    await thread.adelete()
    await asked(thread, "One?")
    assert said_to(echoing) == [("user", "One?")]
    assert thread.left().calls == 7
    [record] = ThreadStore(tmp_path).records("x")
    assert record.asked["messages"] == echoing.requests[-1].body["messages"]


# --- one run at a time


@asynccontextmanager
async def at_work(server: FaultServer, thread: Thread) -> AsyncIterator[None]:
    """The thread is asked something that is not answered before the block ends."""
    server.fault = "hang_before_headers"
    before = len(server.requests)
    task = asyncio.create_task(thread.arun("One?"))
    await until(lambda: len(server.requests) > before, 20)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        server.fault = "none"


async def test_a_thread_at_work_takes_no_other_question(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    other = thread_on(echoing, tmp_path)
    async with at_work(echoing, thread):
        uses: list[Callable[[], Any]] = [
            lambda: thread.arun("Two?"),
            lambda: other.arun("Two?"),
            other.aundo,
            other.adelete,
            other.aresume,
        ]
        for use in uses:
            with pytest.raises(WrongUsage, match="at work"):
                await use()
    assert len(echoing.requests) == 1
    await asked(other, "Two?")


async def test_a_thread_at_work_takes_no_question_of_another_process(
    echoing: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    async with (
        at_work(echoing, thread_on(echoing, tmp_path)),
        lives.living(told, echoing.base_url, str(tmp_path), "Two?") as life,
    ):
        with pytest.raises(AssertionError, match="at work"):
            await life.result()
    assert len(echoing.requests) == 1


async def test_other_threads_of_the_store_may_be_at_work_meanwhile(
    echoing: FaultServer, tmp_path: Path
) -> None:
    agent = agent_on(echoing, tmp_path)
    answers = await asyncio.gather(
        *(agent.thread(str(number)).arun(f"{number}?") for number in range(8))
    )
    assert [answer.text for answer in answers] == [f"You said: {n}?" for n in range(8)]


async def test_several_processes_may_begin_a_folder_at_once(
    echoing: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    url, folder, names = echoing.base_url, str(tmp_path / "new"), [str(n) for n in range(6)]
    async with AsyncExitStack() as all_of_them:
        each = [
            await all_of_them.enter_async_context(lives.living(told, url, folder, "?", name))
            for name in names
        ]
        assert [await life.result() for life in each] == ["You said: ?"] * 6
    assert sorted(line.id for line in ThreadStore(folder).list()) == names


# --- runs that did not end


async def test_a_question_takes_the_place_of_a_run_that_was_killed(
    echoing: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    echoing.fault = "hang_before_headers"
    async with lives.living(told, echoing.base_url, str(tmp_path), "One?") as life:
        await until(lambda: len(echoing.requests) == 1 or life.over, 60)
    echoing.fault = "none"
    thread = thread_on(echoing, tmp_path)
    assert await thread.ainterrupted()
    await asked(thread, "Two?")
    assert said_to(echoing) == [("user", "Two?")]
    assert await texts(thread) == ["Two?"]
    assert not await thread.ainterrupted()


async def test_a_thread_whose_first_run_was_killed_is_in_the_list_and_can_be_deleted(
    echoing: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    echoing.fault = "hang_before_headers"
    async with lives.living(told, echoing.base_url, str(tmp_path), "One?") as life:
        await until(lambda: len(echoing.requests) == 1 or life.over, 60)
    store = ThreadStore(tmp_path)
    [line] = store.list()
    assert (line.id, line.title, line.turns) == ("x", "One?", 0)
    await store.adelete("x")
    assert not await thread_on(echoing, tmp_path).ainterrupted()


async def test_undo_takes_back_a_run_that_was_cancelled(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    async with at_work(echoing, thread):
        pass
    assert await thread.ainterrupted()
    assert await thread.aundo() is None
    assert not await thread.ainterrupted()
    await asked(thread, "Two?")
    assert await texts(thread) == ["Two?"]


async def test_a_backends_error_is_raised_and_resume_pays_only_for_what_is_missing(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = adding
    server.fault = ["none", "status_401", "none"]
    thread = thread_on(server, tmp_path, depth="reason", tools=[add])
    with pytest.raises(KeyRefused):
        await thread.arun("How many?")
    assert (await thread.aresume()).final == "3"
    assert [exchange.status for exchange in server.requests] == [200, 401, 200]
    assert thread.spent().total_tokens == server.spent_tokens
    [turn] = await thread.ahistory()
    assert (turn.question, turn.stopped) == ("How many?", "answered")


async def test_there_is_nothing_to_resume_where_the_last_run_ended(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    with pytest.raises(WrongUsage, match="no run to resume"):
        await thread.aresume()
    await asked(thread, "One?")
    with pytest.raises(WrongUsage, match="no run to resume"):
        await thread.aresume()


async def test_a_run_whose_time_is_up_answers_and_the_thread_goes_on(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    echoing.fault = "hang_mid_stream"
    cut = await thread.arun("One?", budget="seconds=1.5")
    echoing.fault = "none"
    assert cut.stopped == "deadline"
    assert "You said" in cut.text
    assert (await thread.arun("Two?")).stopped == "answered"
    assert [turn.stopped for turn in await thread.ahistory()] == ["deadline", "answered"]


# --- the ways to ask


async def test_a_stream_tells_what_happens_and_ends_with_the_answer(
    echoing: FaultServer, tmp_path: Path
) -> None:
    thread = thread_on(echoing, tmp_path)
    events = [event async for event in thread.astream("One?")]
    last = events[-1]
    assert isinstance(last, Answered)
    assert (last.answer.text, last.answer.thread) == ("You said: One?", "x")
    assert isinstance(events[0], DepthChosen)
    told = "".join(event.text for event in events if isinstance(event, Text))
    assert told == "You said: One?"


async def test_leaving_a_stream_leaves_nothing_behind(
    server: FaultServer, tmp_path: Path, leftovers: Leftovers
) -> None:
    model = leftovers.model()
    agent = Agent(model, threads=tmp_path, depth="vote")
    thread = agent.thread("x")
    server.fault = "hang_mid_stream"
    async with aclosing(thread.astream("One?")) as events:
        async for event in events:
            if isinstance(event, Text):
                break
    server.fault = "none"
    server.reply = "Answer: 42"
    check_books(Ledger(key=account_of("x"), store=agent.threads.ledger_store))
    answer = await thread.aresume()
    assert answer.final == "42"


async def test_a_typed_answer_is_in_its_turn_as_plain_values(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = '{"name": "Zoë", "age": 7}'
    thread = thread_on(server, tmp_path)
    answer = await thread.arun("Who?", output_type=Person)
    [turn] = await thread.ahistory()
    assert answer.output == Person("Zoë", 7)
    assert turn.output == {"name": "Zoë", "age": 7}
    assert json.loads(json.dumps(await thread.aexport()))["turns"][0]["output"] == turn.output


async def test_a_typed_answer_may_be_a_number_of_any_size(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = str(7**40)
    thread = thread_on(server, tmp_path)
    answer = await thread.arun("How many?", output_type=int)
    [turn] = await thread.ahistory()
    assert answer.output == turn.output == 7**40


async def test_a_run_that_goes_on_gives_the_type_that_was_asked_for(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = '{"name": "Zoë", "age": 7}'
    server.fault = ["status_401", "none"]
    thread = thread_on(server, tmp_path)
    with pytest.raises(KeyRefused):
        await thread.arun("Who?", output_type=Person)
    answer = await thread_on(server, tmp_path).aresume()
    assert answer.output == {"name": "Zoë", "age": 7}


async def test_every_call_has_a_blocking_twin(echoing: FaultServer, tmp_path: Path) -> None:
    def use() -> list[Any]:
        thread = agent_on(echoing, tmp_path).thread("x")
        seen: list[Any] = [thread.run("One?").text, thread.run("Two?").text]
        seen.append(thread.pending())
        undone = thread.undo()
        seen.append(undone and undone.question)
        seen.append([turn.question for turn in thread.history()])
        seen.append(len(thread.export()["turns"]))
        with pytest.raises(WrongUsage, match="no run to resume"):
            thread.resume()
        thread.delete()
        seen.append(thread.history())
        return seen

    assert await asyncio.to_thread(use) == [
        "You said: One?",
        "You said: Two?",
        (),
        "Two?",
        ["One?"],
        1,
        (),
    ]


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "x" * 201, "\ud800", 7, None])
async def test_a_name_that_cannot_be_one_is_turned_down(
    server: FaultServer, tmp_path: Path, name: Any
) -> None:
    with pytest.raises(WrongUsage, match="give a name"):
        agent_on(server, tmp_path).thread(name)


@pytest.mark.parametrize("name", ["..", "a b", "Zoë", "%2F", "thread:x", "'; DROP TABLE threads"])
async def test_any_other_name_is_a_thread_of_its_own(
    echoing: FaultServer, tmp_path: Path, name: str
) -> None:
    agent = agent_on(echoing, tmp_path)
    await asked(agent.thread(name), "One?")
    assert [line.id for line in agent.threads.list()] == [name]
    assert await texts(agent.thread(name)) == ["One?"]


async def test_a_folder_that_cannot_be_made_is_told(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongUsage, match="file"):
        thread_on(server, tmp_path / "file" / "threads")
