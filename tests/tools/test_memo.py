"""Memo: the branches of a run make each pure call once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from hypothesis import given
from hypothesis import strategies as st
from leftovers import Leftovers, until

from mull.budgets import Budget, BudgetExhausted, Ledger
from mull.graphs import DEPTHS, Context, Settings, ToolFinished, open_run
from mull.tools import Scope, Tool, ToolError, as_tool
from mull.tools.memo import Memo
from mull.tools.result import ToolResult
from mull.tools.toolbox import Toolbox

CHAINS = 8


@dataclass
class Lookup:
    """A tool that counts its calls, and waits at a gate in each."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    runs: int = 0
    failures: int = 0
    """So many of the first calls fail."""

    def tool(self, **settings: Any) -> Tool:
        """The tool, `look_up`."""

        async def look_up(word: str) -> str:
            """Look up a word."""
            self.runs += 1
            number = self.runs
            await self.gate.wait()
            if number <= self.failures:
                raise ToolError("no such word")
            return f"{word} is 42"

        return as_tool(look_up, **settings)


@dataclass
class Branches:
    """Branches of one run: each with a memory, a ledger and a scope of its own."""

    toolbox: Toolbox
    ledger: Ledger = field(default_factory=Ledger)
    shared: Memo[ToolResult] = field(default_factory=Memo)
    made: int = 0

    def start(self, word: str = "it", budget: Budget | None = None) -> asyncio.Task[ToolResult]:
        """Begin a call in a branch of its own."""
        self.made += 1
        return asyncio.create_task(
            self.toolbox.call(
                "look_up",
                f'{{"word": "{word}"}}',
                ledger=self.ledger.child(f"branch.{self.made}", budget),
                call_id="act.1.0",
                scope=Scope(f"branch.{self.made}"),
                memory={},
                shared=self.shared,
            )
        )


def branches(lookup: Lookup, **settings: Any) -> Branches:
    return Branches(Toolbox([lookup.tool(**{"pure": True, **settings})]))


# --- branches of a run


async def test_a_pure_call_of_one_branch_answers_another() -> None:
    lookup = Lookup()
    lookup.gate.set()
    run = branches(lookup)
    first, second = await run.start(), await run.start()
    assert (first.text, first.remembered) == ("it is 42", False)
    assert (second.text, second.remembered, second.seconds) == ("it is 42", True, 0.0)
    assert (lookup.runs, run.ledger.spent().tool_calls) == (1, 1)


async def test_branches_that_ask_at_once_make_one_call() -> None:
    lookup = Lookup()
    run = branches(lookup)
    calls = [run.start() for _ in range(CHAINS)]
    await until(lambda: lookup.runs > 0)
    lookup.gate.set()
    results = await asyncio.gather(*calls)
    assert {result.text for result in results} == {"it is 42"}
    assert sum(result.remembered for result in results) == CHAINS - 1
    assert (lookup.runs, run.ledger.spent().tool_calls) == (1, 1)


async def test_other_arguments_are_another_call() -> None:
    lookup = Lookup()
    lookup.gate.set()
    run = branches(lookup)
    await asyncio.gather(run.start("one"), run.start("two"))
    assert lookup.runs == 2


async def test_a_tool_that_is_not_pure_is_called_by_each_branch() -> None:
    lookup = Lookup()
    lookup.gate.set()
    run = branches(lookup, pure=False)
    await asyncio.gather(*(run.start() for _ in range(CHAINS)))
    assert lookup.runs == CHAINS


async def test_a_failure_is_told_to_those_who_waited_and_not_kept() -> None:
    lookup = Lookup(failures=1)
    run = branches(lookup)
    waiting = [run.start() for _ in range(3)]
    await until(lambda: lookup.runs > 0)
    lookup.gate.set()
    told = [result.text for result in await asyncio.gather(*waiting)]
    assert told == ["error: no such word"] * 3
    assert (await run.start()).text == "it is 42"
    assert lookup.runs == 2


async def test_a_call_that_is_cancelled_is_made_by_the_next_who_waits() -> None:
    lookup = Lookup()
    run = branches(lookup)
    first, *others = (run.start() for _ in range(3))
    await until(lambda: lookup.runs == 1)
    first.cancel()
    await until(lambda: lookup.runs == 2)
    lookup.gate.set()
    results = await asyncio.gather(*others)
    assert {result.text for result in results} == {"it is 42"}
    assert lookup.runs == 2


async def test_one_who_waits_and_is_cancelled_takes_nothing_from_the_others() -> None:
    lookup = Lookup()
    run = branches(lookup)
    first, second, third = (run.start() for _ in range(3))
    await until(lambda: lookup.runs == 1)
    await asyncio.sleep(0)
    second.cancel()
    lookup.gate.set()
    assert [(await call).text for call in (first, third)] == ["it is 42"] * 2
    await asyncio.wait([second])
    assert second.cancelled()
    assert lookup.runs == 1


async def test_a_branch_without_budget_leaves_the_call_to_one_that_can_pay() -> None:
    lookup = Lookup()
    lookup.gate.set()
    run = branches(lookup)
    poor, rich = run.start(budget=Budget(tool_calls=0)), run.start()
    with pytest.raises(BudgetExhausted):
        await poor
    assert (await rich).text == "it is 42"


async def test_a_remembered_call_needs_no_budget() -> None:
    lookup = Lookup()
    lookup.gate.set()
    run = branches(lookup)
    await run.start()
    assert (await run.start(budget=Budget(tool_calls=0))).remembered


# --- a vote


async def vote(leftovers: Leftovers, tool: Tool) -> list[ToolFinished]:
    """How the tool calls of a vote of 8 chains ended."""
    told: list[ToolFinished] = []
    given: Any = {"question": "How many?"}
    settings = Settings(samples=CHAINS, at_once=CHAINS)
    async with open_run(
        leftovers.model(), leftovers.ledger(), Toolbox([tool]), settings=settings
    ) as run:
        async for _, event in DEPTHS["vote"].graph.astream(
            given, context=Context(run=run.key), stream_mode="custom", subgraphs=True
        ):
            if isinstance(event, ToolFinished):
                told.append(event)
    return told


def asks_first(body: Any) -> Reply:
    if body["messages"][-1]["role"] == "tool":
        return Reply("Answer: 42")
    return Reply(tool_calls=[("look_up", {"word": "it"})])


async def test_the_chains_of_a_vote_make_a_pure_call_once(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, lookup = asks_first, Lookup()
    voting = asyncio.create_task(vote(leftovers, lookup.tool(pure=True)))
    await until(lambda: sum(e.finished for e in server.requests) == CHAINS, 10)
    lookup.gate.set()
    told = await voting
    assert lookup.runs == 1
    assert {event.text for event in told} == {"it is 42"}
    assert sum(not event.remembered for event in told) == 1
    assert leftovers.ledgers[0].spent().tool_calls == 1


async def test_the_chains_of_a_vote_each_make_a_call_that_is_not_pure(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, lookup = asks_first, Lookup()
    voting = asyncio.create_task(vote(leftovers, lookup.tool()))
    await until(lambda: lookup.runs == CHAINS, 10)
    lookup.gate.set()
    await voting
    assert leftovers.ledgers[0].spent().tool_calls == CHAINS


async def test_two_runs_share_nothing(server: FaultServer, leftovers: Leftovers) -> None:
    server.reply, lookup = asks_first, Lookup()
    lookup.gate.set()
    tool = lookup.tool(pure=True)
    await vote(leftovers, tool)
    await vote(leftovers, tool)
    assert lookup.runs == 2


# --- whatever the callers do

FATES = st.sampled_from(["good", "bad", "raises", "cancelled"])


@given(st.lists(FATES, min_size=1, max_size=8))
async def test_each_caller_has_the_first_result_that_there_is(fates: list[str]) -> None:
    memo: Memo[str] = Memo()
    running, most, made = 0, 0, 0

    def maker(fate: str, caller: list[asyncio.Task[Any]]) -> Callable[[], Awaitable[str]]:
        async def make() -> str:
            nonlocal running, most, made
            running, made = running + 1, made + 1
            most = max(most, running)
            try:
                await asyncio.sleep(0)
                if fate == "cancelled":
                    caller[0].cancel()
                    await asyncio.sleep(0)
                if fate == "raises":
                    raise ValueError
                return fate
            finally:
                running -= 1

        return make

    calls = []
    for fate in fates:
        caller: list[asyncio.Task[Any]] = []
        work = memo.once("key", maker(fate, caller), keep=lambda made: made == "good")
        caller.append(asyncio.create_task(work))
        calls += caller
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert most == 1
    settled = next((n for n, fate in enumerate(fates) if fate in ("good", "bad")), len(fates))
    assert made == min(settled + 1, len(fates))
    for fate, result in zip(fates[:settled], results[:settled], strict=True):
        assert isinstance(result, ValueError if fate == "raises" else asyncio.CancelledError)
    for number, result in enumerate(results[settled:]):
        assert result == (fates[settled], number > 0)
