"""direct and reason, call by call, on a backend that says what a script says."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from hypothesis import given, settings
from hypothesis import strategies as st

from mull.budgets import Budget, Ledger
from mull.graphs import DEPTHS, Context, open_run
from mull.graphs.nodes.land import slice_for
from mull.models import MalformedReply, Model, Profile, RetryPolicy, user
from mull.tools import as_tool
from mull.tools.toolbox import Toolbox

QUESTION = "How many?"


@dataclass
class Bench:
    """Runs depths one by one; what the backend was asked and what was spent can be looked at."""

    server: FaultServer
    ledger: Ledger = field(default_factory=Ledger)

    def script(self, *replies: Reply | str) -> None:
        """What the model says, call by call. One call more is a failure of the test."""
        self.server.reply = _in_turn(replies)

    async def run(
        self,
        depth: str = "reason",
        *,
        tools: Sequence[Callable[..., Any]] = (),
        budget: str = "",
        tell_budget: bool = False,
        profile: Profile | None = None,
        history: Sequence[Any] = (),
    ) -> Mapping[str, Any]:
        """The outcome of one run, as an agent makes it."""
        quick = RetryPolicy(attempts=2, base=0.01)
        model = Model("m", self.server.base_url, profile=profile, retry=quick)
        limits = Budget.parse(budget) if budget else Budget()
        landing = slice_for(QUESTION, history, model.profile, limits, model.price)
        self.ledger = Ledger(limits, landing=landing)
        toolbox = Toolbox([as_tool(tool) for tool in tools])
        async with open_run(model, self.ledger, toolbox, tell_budget=tell_budget) as run:
            given: Any = {"question": QUESTION, "history": list(history)}
            outcome: Mapping[str, Any] = await DEPTHS[depth].graph.ainvoke(
                given, context=Context(run=run.key)
            )
        await model.aclose()
        return outcome

    def asked(self, call: int) -> list[dict[str, Any]]:
        """The messages of one call, from 0; -1 is the last."""
        messages: list[dict[str, Any]] = self.server.requests[call].body["messages"]
        return messages

    def told(self, call: int = -1) -> list[str]:
        """The tool results that one call's messages hold."""
        return [m["content"] for m in self.asked(call) if m["role"] == "tool"]

    def offered(self, call: int) -> bool:
        """Whether one call offered tools."""
        return "tools" in self.server.requests[call].body


def _in_turn(replies: Sequence[Reply | str]) -> Callable[[Any], Reply | str]:
    rest = list(replies)
    return lambda body: rest.pop(0)


@pytest.fixture
def bench(server: FaultServer) -> Bench:
    """A place to run depths."""
    return Bench(server)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def call(*numbers: int) -> tuple[str, dict[str, Any]]:
    """A call of `add` as a model makes it."""
    return "add", {"a": numbers[0], "b": numbers[1]}


SURE = "It is clear.\nAnswer: 42"


# --- tools


async def test_parallel_calls_run_at_once(bench: Bench) -> None:
    meeting = asyncio.Barrier(3)

    async def meet(who: str) -> str:
        """Wait for the others."""
        await meeting.wait()
        return who

    calls = [("meet", {"who": who}) for who in "abc"]
    bench.script(Reply(tool_calls=calls), SURE)
    await bench.run(tools=[meet])
    assert bench.told() == ["a", "b", "c"]


async def test_results_answer_their_calls_in_the_order_of_the_calls(bench: Bench) -> None:
    async def slow(seconds: float) -> str:
        """Take your time."""
        await asyncio.sleep(seconds)
        return f"slept {seconds}"

    calls = [("slow", {"seconds": s}) for s in (0.05, 0.0)]
    bench.script(Reply(tool_calls=calls), SURE)
    await bench.run(tools=[slow])
    *_, asked, first, second = bench.asked(1)
    assert [c["id"] for c in asked["tool_calls"]] == [
        first["tool_call_id"],
        second["tool_call_id"],
    ]
    assert (first["content"], second["content"]) == ("slept 0.05", "slept 0.0")


async def test_an_identical_call_is_answered_from_memory_and_costs_no_tool_call(
    bench: Bench,
) -> None:
    again = Reply(tool_calls=[call(1, 2)])
    bench.script(again, again, SURE)
    await bench.run(tools=[add])
    assert bench.told() == ["3", "3"]
    assert bench.ledger.spent().tool_calls == 1


async def test_two_identical_calls_in_one_turn_are_one(bench: Bench) -> None:
    bench.script(Reply(tool_calls=[call(1, 2), call(1, 2)]), SURE)
    await bench.run(tools=[add])
    assert bench.told() == ["3", "3"]
    assert bench.ledger.spent().tool_calls == 1


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (("add", '{"a": 1,'), "not valid JSON"),
        (("add", "[1, 2]"), "JSON object"),
        (("add", {"a": 1}), "missing arguments: b"),
        (("add", {"a": 1, "b": "two"}), "b: Input should be a valid integer"),
        (("subtract", {"a": 1}), "no tool 'subtract'. Tools: add"),
    ],
)
async def test_a_wrong_call_is_told_to_the_model_with_what_is_wrong_and_the_run_goes_on(
    bench: Bench, wrong: tuple[str, Any], complaint: str
) -> None:
    bench.script(Reply(tool_calls=[wrong]), SURE)
    outcome = await bench.run(tools=[add])
    (told,) = bench.told()
    assert told.startswith("error: ")
    assert complaint in told
    assert outcome["text"] == SURE


async def test_with_the_tool_calls_used_up_the_model_is_told(bench: Bench) -> None:
    bench.script(Reply(tool_calls=[call(1, 2), call(3, 4)]), SURE)
    await bench.run(tools=[add], budget="tool_calls=1")
    good, refused = bench.told()
    assert good == "3"
    assert "no more tool calls" in refused


async def test_with_the_tool_calls_used_up_no_tools_are_offered(bench: Bench) -> None:
    bench.script(Reply(tool_calls=[call(1, 2)]), SURE)
    await bench.run(tools=[add], budget="tool_calls=1")
    assert [bench.offered(0), bench.offered(1)] == [True, False]


async def test_the_last_call_that_can_be_paid_offers_no_tools(bench: Bench) -> None:
    bench.script(Reply(tool_calls=[call(1, 2)]), SURE)
    outcome = await bench.run(tools=[add], budget="calls=2")
    assert [bench.offered(0), bench.offered(1)] == [True, False]
    assert outcome["stopped"] == "answered"


# --- landing


async def test_a_circle_of_identical_calls_ends_in_a_landing(bench: Bench) -> None:
    again = Reply(tool_calls=[call(1, 2)])
    bench.script(again, again, again, SURE)
    outcome = await bench.run(tools=[add])
    assert outcome["text"] == SURE
    assert "3 times in a row" in str(outcome["trace"])


async def test_a_landing_is_told_what_was_worked_out(bench: Bench) -> None:
    again = Reply("adding", tool_calls=[call(19, 23)])
    bench.script(again, again, again, SURE)
    await bench.run(tools=[add])
    (landing,) = bench.asked(-1)
    assert landing["content"].startswith(QUESTION)
    assert "[result] 42" in landing["content"]


async def test_a_landing_is_paid_from_what_was_held_back(bench: Bench) -> None:
    bench.script(Reply(tool_calls=[call(1, 2)]), Reply("so " * 5000), SURE)
    outcome = await bench.run(tools=[add], budget="tokens=2600")
    assert outcome["text"] == SURE
    assert outcome["stopped"] == "budget"


@given(tokens=st.integers(0, 3000))
@settings(max_examples=25, deadline=None)
async def test_no_budget_is_exceeded_by_a_landing(tokens: int) -> None:
    async with FaultServer(reply="so " * 5000) as server:
        bench = Bench(server)
        outcome = await bench.run(tools=[add], budget=f"tokens={tokens}")
        assert bench.ledger.spent().total_tokens <= tokens
        assert server.spent_tokens <= tokens
        assert outcome["stopped"] == "budget"


async def test_a_step_that_the_budget_cuts_short_lands(bench: Bench) -> None:
    bench.script("so " * 5000, SURE)
    outcome = await bench.run(budget="tokens=2000")
    assert (outcome["text"], outcome["stopped"]) == (SURE, "budget")


async def test_a_step_that_the_models_own_limit_cuts_short_lands(bench: Bench) -> None:
    bench.script("so " * 5000, SURE)
    outcome = await bench.run(profile=Profile(max_tokens=50))
    assert (outcome["text"], outcome["stopped"]) == (SURE, "budget")


async def test_a_step_that_says_nothing_lands(bench: Bench) -> None:
    bench.script(Reply("six", tool_calls=[call(1, 2)]), Reply(""), SURE)
    outcome = await bench.run(tools=[add])
    assert outcome["text"] == SURE


async def test_a_landing_that_says_nothing_leaves_the_best_candidate(bench: Bench) -> None:
    bench.script("so " * 5000, Reply(""))
    outcome = await bench.run(budget="tokens=2000")
    assert outcome["text"].startswith("so so")
    assert outcome["stopped"] == "budget"


async def test_a_model_that_never_says_anything_is_a_failure_and_no_empty_answer(
    bench: Bench,
) -> None:
    bench.script(Reply(""), Reply(""))
    with pytest.raises(MalformedReply, match="no text in it"):
        await bench.run()


async def test_a_candidate_that_states_its_answer_is_taken_without_a_landing_call(
    bench: Bench,
) -> None:
    bench.script(Reply("Answer: 7", tool_calls=[call(1, 2)]), "so " * 5000)
    outcome = await bench.run(tools=[add], budget="tokens=3000")
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 7", "budget")


async def test_an_answer_in_a_step_that_was_cut_short_still_lands(bench: Bench) -> None:
    bench.script("Answer: 7? " + "so " * 5000, SURE)
    outcome = await bench.run(budget="tokens=2000")
    assert outcome["text"] == SURE


# --- the budget line, prompts, history


async def test_tell_budget_tells_the_model_what_remains(bench: Bench) -> None:
    bench.script(SURE)
    await bench.run(tools=[add], budget="tokens=9000,tool_calls=4", tell_budget=True)
    assert "9000 tokens, 4 tool calls" in bench.asked(0)[-1]["content"]


async def test_without_tell_budget_nothing_is_added(bench: Bench) -> None:
    bench.script(SURE)
    await bench.run(tools=[add], budget="tokens=9000,tool_calls=4")
    assert bench.asked(0)[-1] == user(QUESTION)


async def test_without_limits_there_is_nothing_to_tell(bench: Bench) -> None:
    bench.script(SURE)
    await bench.run(tell_budget=True)
    assert bench.asked(0)[-1] == user(QUESTION)


async def test_a_profile_can_leave_out_the_budget_line(bench: Bench) -> None:
    bench.script(SURE)
    profile = Profile(prompts={"think.budget": ""})
    await bench.run(budget="tokens=9000", tell_budget=True, profile=profile)
    assert bench.asked(0)[-1] == user(QUESTION)


@pytest.mark.parametrize("depth", DEPTHS)
async def test_earlier_turns_come_before_the_question(bench: Bench, depth: str) -> None:
    bench.server.reply = SURE
    await bench.run(depth, history=[user("Hello"), {"role": "assistant", "content": "Hi"}])
    assert [m["content"] for m in bench.asked(0)][1:] == ["Hello", "Hi", QUESTION]


# --- direct


async def test_direct_offers_no_tools(bench: Bench) -> None:
    bench.script(SURE)
    await bench.run("direct", tools=[add])
    assert not bench.offered(0)


async def test_direct_may_spend_all_of_the_budget_on_its_one_call(bench: Bench) -> None:
    bench.script("so " * 5000)
    outcome = await bench.run("direct", budget="tokens=900")
    assert outcome["stopped"] == "budget"
    assert bench.ledger.spent().total_tokens > 900 * 2 / 3


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_reply_that_the_backend_filters_is_a_refusal(bench: Bench, depth: str) -> None:
    bench.server.reply = lambda body: Reply("I", finish_reason="content_filter")
    assert (await bench.run(depth))["stopped"] == "refused"
