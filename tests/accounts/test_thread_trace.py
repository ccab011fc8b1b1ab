"""A run of a thread as a page, from the records of its calls."""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from traces import AT, Seen, turns_of

from mull import Agent
from mull.accounts import tell, thread_trace
from mull.accounts.story import Called, Said
from mull.budgets import Ledger, Record, SQLiteStore
from mull.cli import trace
from mull.errors import WrongUsage

QUESTION, SECOND = "What is 6 times 7?", "And 6 times 8?"


def record(call_id: str, *, root: str = "thread:ann", started: float = 0.0) -> Record:
    return Record(
        root=root,
        call_id=call_id,
        digest="",
        kind="model",
        name="m",
        asked={"messages": []},
        replied={"text": call_id},
        started=AT + started,
        seconds=1.0,
    )


def told(*records: Record, run: int | None = None) -> list[tuple[str, list[str]]]:
    """What was said, by branch."""
    story = tell(thread_trace("ann", run, records, ()))
    return [
        (branch.name, [turn.text for turn in branch.turns if isinstance(turn, Said)])
        for branch in story.branches
    ]


def command(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    trace.add_parser(parser.add_subparsers())
    return parser.parse_args(["trace", *arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where threads live."""
    monkeypatch.setenv("MULL_THREADS", str(tmp_path / "threads"))
    return tmp_path


def page(folder: Path, *arguments: str) -> Seen:
    file = folder / "page.html"
    assert trace.run(command(*arguments, "--html", str(file))) == 0
    return Seen.of(file.read_text())


def reply(request: dict[str, Any]) -> Reply:
    asked = [message["content"] for message in request["messages"] if message["role"] == "user"]
    if request["messages"][-1]["role"] == "tool" or SECOND in asked[-1]:
        return Reply(f"Answer: {48 if SECOND in asked[-1] else 42}", reasoning="six sevens")
    return Reply(tool_calls=[("twice", {"number": 21})])


def twice(number: int) -> int:
    """Twice the number."""
    return 2 * number


async def asked(agent: Agent, questions: Sequence[str]) -> None:
    for question in questions:
        await agent.thread("ann").arun(question)
    await agent.aclose()


async def test_the_page_of_a_threads_run_has_its_question_prompts_replies_and_spend(
    folder: Path, server: FaultServer
) -> None:
    server.reply = reply
    agent = Agent("m", base_url=server.base_url, tools=[twice], depth="reason")
    await asked(agent, [QUESTION, SECOND])
    first = page(folder, "--thread", "ann", "--run", "1")
    for text in (QUESTION, "six sevens", "Answer: 42", "prompt: 2 messages", "tool call: twice"):
        assert text in first.text
    assert SECOND not in first.text
    last = page(folder, "--thread", "ann")
    assert "Answer: 48" in last.text
    assert SECOND in last.text


async def test_a_run_of_a_thread_below_a_tenant_is_found(folder: Path, server: FaultServer) -> None:
    server.reply = reply
    with closing(SQLiteStore(folder / "tenants.sqlite")) as store:
        tenant = Ledger(key="tenant/42", store=store)
        agent = Agent("m", base_url=server.base_url, tools=[twice], depth="reason", ledger=tenant)
        await asked(agent, [QUESTION])
        assert "Answer: 42" in page(folder, "--thread", "ann").text


def test_the_calls_of_other_threads_and_runs_are_not_told() -> None:
    records = [
        record("1-0a/think.1"),
        record("2-0b/think.1"),
        record("2-0b/think.1", root="thread:bob"),
        record("thread:ann/2-0b/think.2", root="tenant/42"),
        record("title"),
    ]
    assert told(*records, run=1) == [("main", ["1-0a/think.1"])]
    assert told(*records) == [("main", ["2-0b/think.1", "thread:ann/2-0b/think.2"])]


def test_branches_are_told_in_the_order_of_their_starts_and_judges_are_none() -> None:
    records = [
        record("1-0a/assess/estimate"),
        record("1-0a/chain.1/think.1", started=2.0),
        record("1-0a/chain.0/think.1", started=1.0),
        record("1-0a/chain.0/think.1/1", started=2.0),
        record("1-0a/chain.0/verify/judge.score", started=3.0),
        record("1-0a/search/expand.1.0/verify.2/judge.score", started=4.0),
    ]
    chain = [f"1-0a/chain.0/{end}" for end in ("think.1", "think.1/1", "verify/judge.score")]
    assert told(*records) == [
        ("main", ["1-0a/assess/estimate"]),
        ("chain.0", chain),
        ("chain.1", ["1-0a/chain.1/think.1"]),
        ("search/expand.1.0", ["1-0a/search/expand.1.0/verify.2/judge.score"]),
    ]


def test_a_tools_call_is_told_with_its_arguments_and_result() -> None:
    call = Record(
        root="thread:ann",
        call_id="1-0a/act.1.0",
        digest="",
        kind="tool",
        name="twice",
        asked={"arguments": {"number": 21}},
        replied={"text": "42", "failed": False, "seconds": 0.5, "attachments": []},
        started=AT,
        seconds=0.5,
    )
    story = tell(thread_trace("ann", None, [call], ()))
    (turn,) = turns_of(story)
    assert isinstance(turn, Called)
    assert (turn.tool, turn.arguments, turn.result) == ("twice", '{"number": 21}', "42")
    assert story.branches[0].tools == [(0.0, 0.5)]


def test_a_run_without_calls_is_refused_with_those_there_are() -> None:
    records = [record("1-0a/think.1"), record("3-0a/think.1")]
    with pytest.raises(WrongUsage, match="'ann' has no calls of a run 2: of runs there are 1, 3"):
        thread_trace("ann", 2, records, ())


def test_a_thread_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no thread 'bob'"):
        page(folder, "--thread", "bob")


def test_a_number_of_a_run_without_its_thread_is_refused(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="--run names a run of a thread"):
        page(folder, "events.jsonl", "--run", "1")
