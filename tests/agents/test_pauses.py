"""Pauses: a run waits for a person as long as it takes, spends nothing, and acts once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import until
from thread_lives import PATIENCE, Lives, decided

from mull import Agent, Answer, Answered, WrongUsage
from mull.agents import Pending, Thread
from mull.budgets import Amount, Budget
from mull.graphs import Approval, Settings
from mull.tools import Attachment, Scope, ToolOutput, as_tool

BOB, EVE = {"to": "bob", "amount": 5}, {"to": "eve", "amount": 7}
DONE = "It is done.\nAnswer: 42"


PICTURE = Attachment("plot.png", "image/png", b"\x89PNG")


@dataclass(frozen=True)
class Drawing:
    """A tool that makes a file."""

    name: str = "draw"
    description: str = "Draw a picture."
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    pure: bool = False
    side_effects: bool = False
    timeout: float = 10.0

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        return ToolOutput("drawn", attachments=(PICTURE,))


def paying(*calls: dict[str, Any]) -> Any:
    """Asks for the payments at once, and answers when it has been told of them."""

    def reply(body: Any) -> Reply:
        if any(message["role"] == "tool" for message in body["messages"]):
            return Reply(DONE)
        return Reply(tool_calls=[("send_money", call) for call in calls])

    return reply


class Bank:
    """A tool with side effects, agents that ask before they call it, and what was sent."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.sent: list[tuple[str, int]] = []

    def thread(self, depth: str = "reason", **more: Any) -> Thread:
        """The thread, with an agent that was made anew."""

        async def send_money(to: str, amount: int) -> str:
            """Send money to somebody."""
            self.sent.append((to, amount))
            return f"sent {amount} to {to}"

        settings: dict[str, Any] = {
            "approve": "ask",
            "settings": Settings(samples=3, at_once=3),
            "tools": [as_tool(send_money, side_effects=True)],
        }
        agent = Agent(
            "m",
            base_url=self.server.base_url,
            threads=self.folder,
            depth=depth,
            **settings | more,
        )
        return agent.thread("x")

    def told(self) -> list[str]:
        """What the model was told of its calls, last."""
        messages = self.server.requests[-1].body["messages"]
        return [message["content"] for message in messages if message["role"] == "tool"]


@pytest.fixture
def bank(server: FaultServer, tmp_path: Path) -> Bank:
    """A model that wants to pay bob and eve."""
    server.reply = paying(BOB, EVE)
    return Bank(server, tmp_path)


def by(answer: Answer | tuple[Pending, ...], **said: Any) -> dict[str, Any]:
    """The decisions, by who is to be paid; those of nobody named wait on."""
    pending = answer.pending if isinstance(answer, Answer) else answer
    return {
        waiting.id: said[name]
        for waiting in pending
        if (name := json.loads(waiting.arguments)["to"]) in said
    }


def all_of(answer: Answer, said: Any) -> dict[str, Any]:
    return {waiting.id: said for waiting in answer.pending}


# --- approvals


async def test_a_call_with_side_effects_waits_for_approval(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?")
    assert (answer.stopped, answer.thread, bank.sent) == ("paused", "x", [])
    assert [(one.kind, one.tool, one.branch) for one in answer.pending] == [
        ("approval", "send_money", "main")
    ] * 2
    assert [json.loads(one.arguments) for one in answer.pending] == [BOB, EVE]
    assert await bank.thread().apending() == answer.pending


@pytest.mark.parametrize("said", ["approve", True, Approval(True), {"approve": True}])
async def test_what_is_approved_is_called_as_the_model_wrote_it(bank: Bank, said: Any) -> None:
    answer = await bank.thread().arun("How many?")
    answer = await bank.thread().aresume(all_of(answer, said))
    assert (answer.text, answer.stopped) == (DONE, "answered")
    assert sorted(bank.sent) == [("bob", 5), ("eve", 7)]
    assert bank.told() == ["sent 5 to bob", "sent 7 to eve"]


@pytest.mark.parametrize(
    "said",
    [
        "reject: it is too much",
        Approval(False, "it is too much"),
        {"approve": False, "reason": "it is too much"},
    ],
)
async def test_what_is_rejected_is_not_called_and_the_model_is_told_why(
    bank: Bank, said: Any
) -> None:
    answer = await bank.thread().arun("How many?")
    answer = await bank.thread().aresume(all_of(answer, said))
    assert (answer.stopped, bank.sent, answer.usage.tool_calls) == ("answered", [], 0)
    assert all("it is too much" in told for told in bank.told())


@pytest.mark.parametrize("arguments", [{"to": "eve", "amount": 1}, '{"to": "eve", "amount": 1}'])
async def test_arguments_that_were_changed_are_used_and_the_model_is_told(
    bank: Bank, arguments: Any
) -> None:
    answer = await bank.thread().arun("How many?")
    said = by(answer, bob=False, eve={"approve": True, "arguments": arguments})
    await bank.thread().aresume(said)
    assert bank.sent == [("eve", 1)]
    assert "The arguments were changed" in bank.told()[1]


async def test_where_not_all_is_decided_nothing_is_called_yet(bank: Bank) -> None:
    first = await bank.thread().arun("How many?")
    second = await bank.thread().aresume(by(first, eve=True))
    assert (second.stopped, bank.sent) == ("paused", [])
    assert [json.loads(one.arguments) for one in second.pending] == [BOB]
    third = await bank.thread().aresume(by(second, bob=True))
    assert third.stopped == "answered"
    assert sorted(bank.sent) == [("bob", 5), ("eve", 7)]


async def test_without_a_decision_it_goes_on_waiting(bank: Bank) -> None:
    first = await bank.thread().arun("How many?")
    again = await bank.thread().aresume()
    assert (again.stopped, again.pending) == ("paused", first.pending)


async def test_a_decision_on_what_does_not_wait_changes_nothing(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?")
    decisions = {**all_of(answer, True), "another": True}
    with pytest.raises(WrongUsage, match="nothing waits under 'another'"):
        await bank.thread().aresume(decisions)
    assert (await bank.thread().apending(), bank.sent) == (answer.pending, [])


@pytest.mark.parametrize(
    "said",
    ["maybe", 7, None, {"approve": "yes"}, {"approve": True, "because": "x"}, {"arguments": {}}],
)
async def test_a_decision_that_cannot_be_read_changes_nothing(bank: Bank, said: Any) -> None:
    answer = await bank.thread().arun("How many?")
    with pytest.raises(WrongUsage, match="a decision came as"):
        await bank.thread().aresume(by(answer, bob=True, eve=said))
    assert (await bank.thread().apending(), bank.sent) == (answer.pending, [])


async def test_nothing_is_spent_or_held_while_it_waits(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?")
    spent = bank.thread().spent()
    await bank.thread().aresume()
    assert bank.thread().spent().total_tokens == spent.total_tokens == answer.usage.total_tokens
    assert len(bank.server.requests) == 1
    assert bank.thread()._account().held() == Amount()


async def test_a_run_that_goes_on_has_the_budget_that_it_began_with(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?", budget="calls=2,tokens=9000")
    answer = await bank.thread(budget="calls=50").aresume(all_of(answer, True))
    assert (answer.stopped, answer.usage.calls) == ("answered", 2)
    assert answer.budget == Budget(calls=2, tokens=9000)


async def test_files_that_were_made_before_the_pause_are_in_the_answer(bank: Bank) -> None:
    async def send() -> str:
        """Send it."""
        return "sent"

    def reply(body: Any) -> Reply:
        done = sum(message["role"] == "tool" for message in body["messages"])
        return Reply(DONE) if done == 2 else Reply(tool_calls=[(("draw", "send")[done], {})])

    bank.server.reply = reply
    more: dict[str, Any] = {"tools": [Drawing(), as_tool(send, side_effects=True)]}
    answer = await bank.thread(**more).arun("How many?")
    assert answer.stopped == "paused"
    answer = await bank.thread(**more).aresume(all_of(answer, True))
    assert (answer.stopped, answer.attachments) == ("answered", (PICTURE,))


async def test_a_call_that_could_not_be_made_is_not_asked_about(bank: Bank) -> None:
    bank.server.reply = paying({"to": "bob"})
    answer = await bank.thread().arun("How many?")
    assert (answer.stopped, bank.sent) == ("answered", [])
    assert "missing arguments: amount" in bank.told()[0]


async def test_nobody_is_asked_about_a_call_that_the_budget_cannot_pay(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?", budget="tool_calls=0")
    assert (answer.stopped, bank.sent) == ("answered", [])


async def test_two_equal_calls_are_two_decisions(bank: Bank) -> None:
    bank.server.reply = paying(BOB, BOB)
    answer = await bank.thread().arun("How many?")
    one, other = answer.pending
    await bank.thread().aresume({one.id: True, other.id: "reject: once is enough"})
    assert bank.sent == [("bob", 5)]


async def test_chains_of_a_vote_wait_side_by_side_and_each_goes_on_alone(bank: Bank) -> None:
    bank.server.reply = paying(BOB)
    answer = await bank.thread("vote").arun("How many?")
    assert {one.branch for one in answer.pending} == {"chain.0", "chain.1", "chain.2"}
    first, *others = answer.pending
    answer = await bank.thread("vote").aresume({first.id: True})
    assert bank.sent == [("bob", 5)]
    assert {one.id for one in answer.pending} == {one.id for one in others}
    answer = await bank.thread("vote").aresume(all_of(answer, "reject: once is enough"))
    assert (answer.final, bank.sent) == ("42", [("bob", 5)])
    assert len(bank.server.requests) == 6


@pytest.mark.parametrize("depth", ["reflect", "auto"])
async def test_a_call_waits_inside_another_depth_as_well(bank: Bank, depth: str) -> None:
    bank.server.reply = paying(BOB)
    more: dict[str, Any] = {"verifier": lambda candidate: True}
    answer = await bank.thread(depth, **more).arun("How many?")
    assert (answer.stopped, bank.sent) == ("paused", [])
    answer = await bank.thread(depth, **more).aresume(all_of(answer, True))
    assert (answer.final, bank.sent) == ("42", [("bob", 5)])


# --- verdicts


@pytest.mark.parametrize("depth", ["reflect", "vote", "search", "auto"])
async def test_a_persons_verdict_is_waited_for(bank: Bank, depth: str) -> None:
    bank.server.reply = DONE
    more: dict[str, Any] = {"verifier": "human", "tools": []}
    answer = await bank.thread(depth, **more).arun("How many?")
    assert answer.stopped == "paused"
    [waiting] = answer.pending
    assert (waiting.kind, waiting.question) == ("verdict", "How many?")
    assert "42" in waiting.text
    answer = await bank.thread(depth, **more).aresume({waiting.id: "approve"})
    assert (answer.final, answer.stopped, answer.confidence) == ("42", "answered", 1.0)


async def test_a_person_who_rejects_an_answer_is_given_a_refined_one(bank: Bank) -> None:
    bank.server.reply = lambda body: (
        "Answer: 43" if "the sum is wrong" in json.dumps(body["messages"]) else "Answer: 42"
    )
    more: dict[str, Any] = {"verifier": "human", "tools": []}
    first = await bank.thread("reflect", **more).arun("How many?")
    said = all_of(first, "reject: the sum is wrong")
    second = await bank.thread("reflect", **more).aresume(said)
    assert (second.stopped, second.pending[0].text) == ("paused", "Answer: 43")
    third = await bank.thread("reflect", **more).aresume(all_of(second, True))
    assert (third.final, third.confidence, third.usage.calls) == ("43", 1.0, 2)


@pytest.mark.parametrize("said", [7, 1.5, None, {"approved": "yes"}, {"verdict": True}])
async def test_a_verdict_that_cannot_be_read_changes_nothing(bank: Bank, said: Any) -> None:
    bank.server.reply = DONE
    thread = bank.thread("reflect", verifier="human", tools=[])
    answer = await thread.arun("How many?")
    with pytest.raises(WrongUsage):
        await thread.aresume(all_of(answer, said))
    assert await thread.apending() == answer.pending


# --- what else may be done with what waits


async def test_what_waits_is_json(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?")
    plain = json.loads(json.dumps(answer.as_dict()))
    assert [Pending(**one) for one in plain["pending"]] == list(answer.pending)


async def test_the_list_says_how_many_decisions_a_thread_waits_for(bank: Bank) -> None:
    thread = bank.thread()
    answer = await thread.arun("How many?")
    assert [line.waiting for line in thread._store.list()] == [2]
    await thread.aresume(all_of(answer, True))
    assert [line.waiting for line in thread._store.list()] == [0]


async def test_a_question_is_turned_down_while_a_decision_waits(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?")
    with pytest.raises(WrongUsage, match="waits for 2 decisions"):
        await bank.thread().arun("How much?")
    assert await bank.thread().apending() == answer.pending


async def test_undo_takes_back_a_run_that_waits(bank: Bank) -> None:
    answer = await bank.thread().arun("How many?")
    assert await bank.thread().aundo() is None
    assert await bank.thread().apending() == ()
    with pytest.raises(WrongUsage):
        await bank.thread().aresume(all_of(answer, True))
    bank.server.reply = DONE
    assert (await bank.thread().arun("How much?")).final == "42"
    assert [turn.question for turn in await bank.thread().ahistory()] == ["How much?"]
    assert bank.sent == []


async def test_a_stream_ends_with_what_waits_and_goes_on_after_the_decision(bank: Bank) -> None:
    *_, last = [event async for event in bank.thread().astream("How many?")]
    assert isinstance(last, Answered)
    assert last.answer.stopped == "paused"
    decisions = all_of(last.answer, True)
    *events, last = [event async for event in bank.thread().astream_resume(decisions)]
    assert isinstance(last, Answered)
    assert (last.answer.final, last.answer.stopped) == ("42", "answered")
    finished = [event.as_dict() for event in events if event.kind == "tool_finished"]
    assert sorted(event["text"] for event in finished) == ["sent 5 to bob", "sent 7 to eve"]


@pytest.mark.parametrize("more", [{"approve": "ask"}, {"verifier": "human", "approve": None}])
async def test_a_run_that_may_pause_needs_a_thread(
    bank: Bank, more: dict[str, Any], server: FaultServer
) -> None:
    agent = Agent("m", base_url=server.base_url, depth="reason", **more)
    with pytest.raises(WrongUsage, match="thread"):
        await agent.arun("How many?")
    assert server.requests == []


async def test_with_nobody_to_approve_a_call_is_refused_and_nothing_waits(bank: Bank) -> None:
    answer = await bank.thread(approve=None).arun("How many?")
    assert (answer.stopped, answer.pending, bank.sent) == ("answered", (), [])
    assert all("refused" in told for told in bank.told())


async def test_a_live_approver_is_asked_in_a_thread_as_well(bank: Bank) -> None:
    async def approver(request: Any) -> Approval:
        return Approval("bob" in request.arguments, "not her")

    answer = await bank.thread(approve=approver).arun("How many?")
    assert (answer.stopped, bank.sent) == ("answered", [("bob", 5)])


# --- processes that are killed


def sent(folder: Path) -> list[Any]:
    book = folder / "sent"
    return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


async def test_a_decision_may_be_made_in_another_process(
    server: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    server.reply = paying(BOB)
    for said in (None, True):
        async with lives.living(decided, server.base_url, str(tmp_path), said) as life:
            answer = await life.result()
    assert (answer["stopped"], sent(tmp_path)) == ("answered", [["bob", 5]])
    assert len(server.requests) == 2


async def test_a_call_that_was_begun_when_its_process_was_killed_is_not_made_again(
    server: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    server.reply = paying(BOB)
    async with lives.living(decided, server.base_url, str(tmp_path), None) as life:
        await life.result()
    (tmp_path / "hold").touch()
    async with lives.living(decided, server.base_url, str(tmp_path), True) as life:
        await until(lambda: life.over or bool(sent(tmp_path)), PATIENCE)
    (tmp_path / "hold").unlink()
    thread = Bank(server, tmp_path).thread()
    assert await thread.ainterrupted()
    answer = await thread.aresume()
    assert (answer.stopped, answer.final) == ("answered", "42")
    assert sent(tmp_path) == [["bob", 5]]
    told = json.dumps(server.requests[-1].body["messages"])
    assert "whether it was carried out is not known" in told


async def test_a_decision_against_one_that_was_made_before_a_kill_is_turned_down(
    bank: Bank,
) -> None:
    bank.server.reply = paying(BOB)
    answer = await bank.thread().arun("How many?")
    [waiting] = answer.pending
    said = {"approve": True, "reason": ""}
    bank.thread()._store.decide("x", {waiting.id: said})  # And then the process was killed.
    with pytest.raises(WrongUsage, match="before, otherwise"):
        await bank.thread().aresume({waiting.id: "reject: too much"})
    assert (await bank.thread().ainterrupted(), bank.sent) == (True, [])
    answer = await bank.thread().aresume({waiting.id: "approve"})
    assert (answer.stopped, bank.sent) == ("answered", [("bob", 5)])


async def test_a_decision_that_was_made_before_a_kill_stands(
    server: FaultServer, tmp_path: Path, lives: Lives
) -> None:
    server.reply = paying(BOB)
    async with lives.living(decided, server.base_url, str(tmp_path), None) as life:
        await life.result()
    [waiting] = await Bank(server, tmp_path).thread().apending()
    (tmp_path / "hold").touch()
    async with lives.living(decided, server.base_url, str(tmp_path), True) as life:
        await until(lambda: life.over or bool(sent(tmp_path)), PATIENCE)
    thread = Bank(server, tmp_path).thread()
    assert await thread.apending() == ()
    with pytest.raises(WrongUsage, match="before, otherwise"):
        await thread.aresume({waiting.id: "reject: too late"})
    assert (await thread.aresume()).stopped == "answered"


async def test_two_who_decide_at_once_make_one_call(bank: Bank) -> None:
    bank.server.reply = paying(BOB)
    answer = await bank.thread().arun("How many?")
    tries = [bank.thread().aresume(all_of(answer, True)) for _ in range(2)]
    came = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, WrongUsage) for one in came) == 1
    assert bank.sent == [("bob", 5)]
