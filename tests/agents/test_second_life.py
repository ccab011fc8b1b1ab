"""A run that goes on finds what it had, and takes nothing for more than it was."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import Leftovers, until

from mull import Agent, Budget, Ledger, SQLiteStore, Thread, WrongUsage
from mull.budgets import Record
from mull.graphs import DEPTHS, Context, open_run
from mull.graphs.approvals import grant
from mull.graphs.output import resolve_output
from mull.tools import as_tool
from mull.tools.toolbox import Toolbox

Json = dict[str, Any]


class Kept:
    """A recorder that remembers."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str, str], Record] = {}

    def keep(self, record: Record) -> None:
        """See `Recorder.keep`."""
        self.records[record.root, record.call_id, record.digest] = record

    def recall(self, root: str, call_id: str, digest: str) -> Record | None:
        """See `Recorder.recall`."""
        return self.records.get((root, call_id, digest))


def sender(sent: list[str]) -> Callable[..., Any]:
    """A tool's function, which has side effects."""

    async def send_money(to: str) -> str:
        """Send money to somebody."""
        sent.append(to)
        return f"sent to {to}"

    return send_money


def sends(body: Json) -> Reply:
    """A model that sends money to whom the question names first."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return Reply("It is done.\nAnswer: ok")
    return Reply(tool_calls=[("send_money", {"to": last["content"].split()[0]})])


async def test_reasoning_that_was_cut_off_is_no_candidate(server: FaultServer) -> None:
    replies: list[Reply | str] = [
        Reply(reasoning="Guess:\nAnswer: 12\nNo, that", finish_reason="length"),
        "Answer: 42",
    ]
    server.reply = lambda body: replies[len(server.requests) - 1]
    answer = await Agent("m", base_url=server.base_url, depth="reason").arun("How many?")
    assert (answer.final, len(server.requests)) == ("42", 2)


async def test_a_fragment_is_not_the_answer_of_a_run_that_goes_on(
    server: FaultServer, tmp_path: Path
) -> None:
    def agent() -> Agent:
        return Agent("m", base_url=server.base_url, depth="reason", threads=tmp_path)

    cut = Reply("It is so.\nAnswer: 4", finish_reason="length")
    replies: list[Reply | str] = [cut, "Answer: 42", "Answer: 42"]
    server.reply = lambda body: replies[len(server.requests) - 1]
    server.fault = ["none", "hang_before_headers", "none"]
    begun = asyncio.create_task(agent().thread("x").arun("How many?"))
    await until(lambda: len(server.requests) == 2)
    begun.cancel()
    await asyncio.wait([begun])
    assert (await agent().thread("x").aresume()).final == "42"


async def test_a_tool_call_that_used_up_the_budget_is_read_again_by_the_next_life(
    server: FaultServer,
) -> None:
    server.reply, sent = sends, list[str]()
    agent = Agent(
        "m",
        base_url=server.base_url,
        depth="reason",
        tools=[as_tool(sender(sent), side_effects=True)],
        approve="all",
        ledger=Ledger(recorder=Kept()),
        budget="tool_calls=1",
    )
    first = await agent.arun("bob please", key="run")
    asked = len(server.requests)
    assert (await agent.arun("bob please", key="run")).text == first.text
    assert (sent, len(server.requests)) == (["bob"], asked)


async def test_a_second_question_of_an_open_run_has_its_own_side_effects(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, sent = sends, list[str]()
    toolbox = Toolbox([as_tool(sender(sent), side_effects=True)])
    model = leftovers.model()
    async with open_run(model, leftovers.ledger(), toolbox, approver=grant) as run:
        for question in ("bob please", "amy please"):
            graph: Any = DEPTHS["reason"].graph
            await graph.ainvoke({"question": question}, context=Context(run=run.key))
    assert sent == ["bob", "amy"]


@pytest.mark.parametrize("tokens", [3000, 4000, 8000])
async def test_a_landing_that_was_paid_is_not_paid_again(server: FaultServer, tokens: int) -> None:
    async def look(x: str) -> str:
        """Look something up."""
        return "fact " * 60

    def reply(body: Json) -> Reply | str:
        if body.get("tools"):
            return Reply(tool_calls=[("look", {"x": str(len(body["messages"]))})])
        return "Answer: 42"

    server.reply = reply
    agent = Agent(
        "m",
        base_url=server.base_url,
        depth="reason",
        tools=[look],
        ledger=Ledger(recorder=Kept()),
        budget=f"tokens={tokens}",
    )
    first = await agent.arun("How many?", key="run")
    landed = [e for e in server.requests if "no more room" in json.dumps(e.body["messages"])]
    again = await agent.arun("How many?", key="run")
    twice = [e for e in server.requests if "no more room" in json.dumps(e.body["messages"])]
    assert (first.final, again.final) == ("42", "42")
    assert len(landed) == len(twice) == 1


async def test_notes_that_were_written_are_not_written_again(
    server: FaultServer, tmp_path: Path
) -> None:
    notes: list[str] = []

    def reply(body: Json) -> str:
        said = body["messages"][-1]["content"]
        if "notes of a conversation" not in said:
            return f"{'word ' * 500}\nAnswer: 4"
        notes.append(said)
        return "Facts: it is so"

    server.reply = reply
    agent = Agent(
        "m", base_url=server.base_url, depth="direct", threads=tmp_path, budget="tokens=200000"
    )
    thread = agent.thread("x")
    for number in range(7):
        await thread.arun(f"Question {number}?")
    notes.clear()
    server.fault = ["none", "hang_mid_stream"]
    begun = asyncio.create_task(thread.arun("And now?", budget="tokens=16000"))
    await until(lambda: len(notes) == 2)
    begun.cancel()
    await asyncio.wait([begun])
    server.fault = "none"
    assert (await thread.aresume()).stopped == "answered"
    assert notes.count(notes[0]) == 1


@pytest.mark.parametrize("wanted", [int, list[int], dict[str, int]])
def test_a_type_that_was_kept_as_a_schema_asks_in_the_same_words(wanted: Any) -> None:
    asked = resolve_output(wanted)
    kept = resolve_output(asked.schema, name=asked.name)
    assert kept.response_format(reasoned=True) == asked.response_format(reasoned=True)
    assert kept.schema_text == asked.schema_text


async def test_a_thread_stays_with_the_ledger_that_holds_its_limits(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = "Answer: 42"
    store = SQLiteStore(tmp_path / "tenant.db")
    tenant = Ledger(Budget(tokens=9999), key="tenant", store=store)

    def thread(ledger: Ledger | None) -> Thread:
        agent = Agent("m", base_url=server.base_url, threads=tmp_path / "threads", ledger=ledger)
        return agent.thread("x")

    await thread(None).arun("How many?", depth="direct")
    with pytest.raises(WrongUsage, match="holds its limits"):
        await thread(tenant).arun("How many?", depth="direct")
    assert tenant.spent().total_tokens == 0
    store.close()


async def test_arguments_that_a_tool_cannot_take_are_refused_and_it_goes_on_waiting(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply, sent = sends, list[str]()
    tools = [as_tool(sender(sent), side_effects=True)]
    thread = Agent(
        "m", base_url=server.base_url, depth="reason", tools=tools, approve="ask", threads=tmp_path
    ).thread("x")
    [waiting] = (await thread.arun("bob please")).pending
    for edited in ({"who": "zoe"}, "no JSON"):
        with pytest.raises(WrongUsage, match="cannot be called"):
            await thread.aresume({waiting.id: {"approve": True, "arguments": edited}})
    assert await thread.apending() == (waiting,)
    await thread.aresume({waiting.id: {"approve": True, "arguments": {"to": "zoe"}}})
    assert sent == ["zoe"]


async def test_a_person_is_asked_at_no_depth_that_asks_no_verifier(
    server: FaultServer, tmp_path: Path
) -> None:
    agent = Agent("m", base_url=server.base_url, verifier="human", threads=tmp_path)
    with pytest.raises(WrongUsage, match="no person"):
        await agent.thread("x").arun("How many?", depth="direct")
    assert server.requests == []


async def test_the_trace_has_what_a_branch_did_before_the_run_was_cut_off(
    server: FaultServer, tmp_path: Path
) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def agent() -> Agent:
        return Agent(
            "m",
            base_url=server.base_url,
            depth="reflect",
            tools=[add],
            verifier=lambda candidate: True,
            threads=tmp_path,
        )

    def reply(body: Json) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return Reply("Answer: 3")
        return Reply(tool_calls=[("add", {"a": 1, "b": 2})])

    server.reply, server.fault = reply, ["none", "hang_before_headers"]
    begun = asyncio.create_task(agent().thread("x").arun("How many?"))
    await until(lambda: len(server.requests) == 2)
    begun.cancel()
    await asyncio.wait([begun])
    server.fault = "none"
    answer = await agent().thread("x").aresume()
    steps = [step["node"] for step in answer.trace if step.get("branch") == "draft"]
    assert steps == ["think", "act", "think", "draft"]
