"""auto, through the agent and alone: it starts small, weighs, and goes deeper while that pays."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict

import pytest
from fault_server import FaultServer, Reply
from langgraph.graph import END, START, StateGraph
from leftovers import Leftovers

from mull.agents import Agent, Answer, Answered
from mull.budgets import Budget, Price
from mull.errors import WrongUsage
from mull.graphs import (
    DEPTHS,
    Calibration,
    Candidate,
    Context,
    DepthChosen,
    Settings,
    effort_of,
)
from mull.graphs.difficulty import Difficulty, Signs
from mull.graphs.opening import RUNS
from mull.graphs.verifiers import FunctionVerifier, Means
from mull.models import BackendFailed, KeyRefused, Message, Model, Profile

EASY = "What is the capital of France?"
HARD = "Prove that n^3 - n is divisible by 6 for every integer n, and find all n where it is 24."
ESSAY = (
    "Describe how a compiler works, then compare two ways to allocate registers. Which one is "
    "better for small functions? Which one is better for large ones? Why is that so?"
)
SURE = "It is clear.\nAnswer: 42"
LONG = "A compiler reads a program, and writes another one that does the same, only faster."


class Told:
    """A classifier that says one probability, and asks nobody."""

    def __init__(self, p_direct: float) -> None:
        self.p_direct = p_direct

    async def assess(self, question: str, history: Sequence[Message], means: Means) -> Difficulty:
        """See `Classifier.assess`."""
        return Difficulty(p_direct=self.p_direct, source="features", reason="told")


class Raises:
    """A classifier with a fault."""

    async def assess(self, question: str, history: Sequence[Message], means: Means) -> Difficulty:
        """See `Classifier.assess`."""
        raise RuntimeError("out of order")


def is_estimate(body: Any) -> bool:
    return "Estimate how likely" in str(body["messages"][-1]["content"])


def is_critique(body: Any) -> bool:
    return "Check a proposed answer" in str(body["messages"][-1]["content"])


def says(*answers: str, verdict: str = "Answer: pass") -> Callable[[Any], Reply | str]:
    """Says these in turn, the last one again and again; estimates and critiques beside them."""
    rest = list(answers)

    def reply(body: Any) -> str:
        if is_estimate(body):
            return "Answer: 50"
        if is_critique(body):
            return verdict
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return reply


def agent_for(leftovers: Leftovers, **more: Any) -> Agent:
    given = {"classifier": Told(0.75), "settings": Settings(samples=6, seed=1), **more}
    model = given.pop("model", None) or leftovers.model()
    return Agent(model, ledger=leftovers.ledger(), **given)


def steps(answer: Answer, node: str) -> list[Mapping[str, Any]]:
    """The run's own steps of one node, in order."""
    return [s for s in answer.trace if s["node"] == node and "branch" not in s]


def chosen(answer: Answer) -> list[str]:
    """The stages that were gone through; the larger model's are marked with a plus."""
    return [
        step["depth"] + ("+" if step.get("model") == "larger" else "")
        for step in steps(answer, "route")
        if "depth" in step
    ]


# --- how far it goes


async def test_an_easy_question_is_one_model_call(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = "Answer: Paris"
    answer = await agent_for(leftovers, classifier=None).arun(EASY)
    assert len(server.requests) == 1
    assert (answer.final, answer.depth, answer.stopped) == ("Paris", "direct", "answered")


async def test_a_first_sample_that_a_decisive_verifier_passes_ends_it(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, verifier=lambda question, answer: True).arun(HARD)
    assert len(server.requests) == 1
    assert answer.confidence is not None
    assert answer.confidence >= 0.99


async def test_an_unsure_answer_is_voted_on_and_the_first_sample_votes(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers).arun(HARD)
    assert chosen(answer) == ["reason", "vote"]
    (choice,) = [s for s in answer.trace if s["node"] == "choose"]
    votes = len(server.requests)
    assert choice["reason"] == f"{votes} of {votes} votes agree"
    assert answer.depth == "vote"


async def test_a_sample_that_the_verifier_refuses_leads_to_a_vote_that_finds_another(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says("Answer: 7", "Answer: 8", "Answer: 42")
    agent = agent_for(leftovers, verifier=lambda question, answer: answer == "42")
    answer = await agent.arun(HARD)
    assert chosen(answer) == ["reason", "vote"]
    assert (answer.final, answer.stopped) == ("42", "answered")


async def test_an_open_answer_is_reflected_on_and_the_first_sample_is_the_draft(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(LONG)
    answer = await agent_for(leftovers, classifier=Told(0.85)).arun(ESSAY)
    assert chosen(answer) == ["direct", "reflect"]
    assert [is_critique(r.body) for r in server.requests] == [False, True]
    assert answer.text == LONG


async def test_a_better_version_of_an_open_answer_is_the_answer(
    server: FaultServer, leftovers: Leftovers
) -> None:
    verdicts = ["Answer: fail", "Answer: pass"]

    def reply(body: Any) -> str:
        if is_critique(body):
            return verdicts.pop(0)
        return f"{LONG} And better." if "<objections>" in str(body) else LONG

    server.reply = reply
    answer = await agent_for(leftovers).arun(ESSAY)
    assert answer.text.endswith("And better.")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_with_tools_it_begins_with_reason_even_where_the_question_is_easy(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, classifier=Told(0.95), tools=[add]).arun(EASY)
    assert chosen(answer) == ["reason"]
    assert "tools" in server.requests[0].body


async def test_a_refusal_is_the_end(server: FaultServer, leftovers: Leftovers) -> None:
    server.reply = lambda body: Reply("I will not.", finish_reason="content_filter")
    answer = await agent_for(leftovers).arun(HARD)
    assert (answer.text, answer.stopped) == ("I will not.", "refused")
    assert answer.confidence is None
    assert len(server.requests) == 1


async def test_a_refusal_without_a_word_is_the_end_too(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("", finish_reason="content_filter")
    answer = await agent_for(leftovers).arun(HARD)
    assert (answer.text, answer.stopped) == ("", "refused")
    assert len(server.requests) == 1


async def test_no_vote_overturns_itself_in_a_later_reflection(
    server: FaultServer, leftovers: Leftovers
) -> None:
    # The odd one out comes first; the critic likes whatever it is shown.
    server.reply = says("Answer: 7", "Answer: 42")
    agent = agent_for(leftovers, classifier=Told(0.1), settings=Settings(samples=3))
    answer = await agent.arun(HARD)
    assert chosen(answer) == ["reason", "vote", "reflect"]
    assert answer.final == "42"


@pytest.mark.parametrize("deepest", ["direct", "reason", "reflect", "vote", "search"])
async def test_it_goes_no_deeper_than_the_settings_allow(
    deepest: str, server: FaultServer, leftovers: Leftovers
) -> None:
    order = ["direct", "reason", "reflect", "vote", "search"]
    server.reply = lambda body: f"Answer: {len(server.requests)}"
    settings = Settings(deepest=deepest, samples=3, rounds=1, expansions=4)
    verifier = FunctionVerifier(lambda question, answer: False)
    agent = agent_for(leftovers, settings=settings, verifier=verifier)
    answer = await agent.arun(HARD)
    assert {order.index(depth) for depth in chosen(answer)} <= set(range(order.index(deepest) + 1))
    assert deepest in chosen(answer)


# --- what is told


async def test_each_decision_is_in_the_trace_with_its_reason_depth_and_source(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers).arun(HARD)
    (assessed,) = steps(answer, "assess")
    assert (assessed["level"], assessed["p_direct"], assessed["reason"]) == ("medium", 0.75, "told")
    first, second, last = steps(answer, "route")
    assert (first["depth"], first["source"]) == ("reason", "features")
    assert first["reason"] == "direct is right with probability 0.75"
    assert (second["depth"], second["source"]) == ("vote", "samples")
    assert second["reason"] == "right with probability 0.75 only"
    assert last["reason"] == f"right with probability {answer.confidence:.2f}"
    assert "depth" not in last


async def test_each_depth_is_an_event_with_its_reason(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    events = [event async for event in agent_for(leftovers).astream(HARD)]
    depths = [e.depth for e in events if isinstance(e, DepthChosen)]
    assert depths == ["auto", "reason", "vote"]
    assert all(e.reason for e in events if isinstance(e, DepthChosen))
    assert isinstance(events[-1], Answered)


async def test_the_answer_says_how_hard_how_deep_and_how_sure(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, classifier=None).arun(HARD)
    assert answer.difficulty is not None
    assert answer.difficulty["level"] == "hard"
    assert answer.difficulty["source"] == "model"
    assert 0 < answer.difficulty["p_direct"] < 0.5
    assert "vote" in chosen(answer)
    assert answer.depth == chosen(answer)[-1]
    assert answer.confidence is not None
    assert answer.difficulty["p_direct"] < answer.confidence <= 1


async def test_the_confidence_is_about_the_answer_that_is_given(
    server: FaultServer, leftovers: Leftovers
) -> None:
    # One for, one against, and no means for more: the first stands, and hardly so.
    server.reply = says("Answer: 7", "Answer: 42")
    agent = agent_for(leftovers, settings=Settings(deepest="reason"), classifier=Told(0.85))
    answer = await agent.arun(HARD)
    assert chosen(answer) == ["direct", "reason"]
    assert answer.final == "7"
    assert answer.confidence is not None
    assert answer.confidence < 0.7


async def test_a_table_that_was_learned_takes_the_place_of_the_guess(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    table = Calibration.fit([True] * 50, [(Signs(1, 0, None), True)] * 50)
    answer = await agent_for(leftovers, classifier=None, calibration=table).arun(HARD)
    assert answer.difficulty is not None
    assert answer.difficulty["source"] == "calibrated"
    assert len(server.requests) == 1
    assert steps(answer, "route")[-1]["source"] == "calibrated"


# --- the classifier


async def test_a_classifier_of_ones_own_decides_where_to_begin(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    assert chosen(await agent_for(leftovers, classifier=Told(0.95)).arun(HARD)) == ["direct"]


async def test_what_a_classifier_asks_is_paid_by_the_run(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, classifier=None).arun(HARD)
    assert is_estimate(server.requests[0].body)
    assert answer.usage.calls == len(server.requests)
    assert answer.usage.total_tokens == server.spent_tokens
    assert steps(answer, "assess")[0]["tokens"] > 0


class Talks:
    """A classifier that says something else."""

    async def assess(self, question: str, history: Sequence[Message], means: Means) -> Any:
        """See `Classifier.assess`."""
        return 0.5


class Wild:
    """A classifier whose probability is none."""

    async def assess(self, question: str, history: Sequence[Message], means: Means) -> Difficulty:
        """See `Classifier.assess`."""
        return Difficulty(p_direct=7.0, source="mine")


@pytest.mark.parametrize("classifier", [Raises(), Talks(), Wild()])
async def test_a_classifier_that_fails_leaves_what_the_text_says(
    classifier: Any, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, classifier=classifier).arun(HARD)
    assert (answer.final, answer.stopped) == ("42", "answered")
    assert answer.difficulty is not None
    assert answer.difficulty["source"] == "features"
    assert "the classifier failed" in answer.difficulty["reason"]


class Sleeps:
    """A classifier that takes its time."""

    async def assess(self, question: str, history: Sequence[Message], means: Means) -> Difficulty:
        """See `Classifier.assess`."""
        await asyncio.sleep(60)
        raise AssertionError("it was waited for")


async def test_a_classifier_that_takes_too_long_is_left(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, classifier=Sleeps()).arun(HARD, budget="seconds=4")
    assert (answer.final, answer.stopped) == ("42", "answered")
    assert answer.difficulty is not None
    assert "the classifier failed: TimeoutError" in answer.difficulty["reason"]


async def test_an_estimate_that_fails_is_no_failure(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, server.fault = says(SURE), ["status_400", "none"]
    answer = await agent_for(leftovers, classifier=None).arun(HARD)
    assert (answer.final, answer.stopped) == ("42", "answered")


# --- budgets


@pytest.mark.parametrize("tokenizer", [None, "vllm"])
@pytest.mark.parametrize("tokens", [50, 150, 500, 1_500, 5_000, 50_000])
async def test_the_servers_own_count_never_exceeds_the_budget(
    tokens: int, tokenizer: str | None, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokenizer, server.bytes_per_token = tokenizer, 4 if tokenizer else 1
    server.reply = lambda body: "so " * 30 + f"\nAnswer: {len(server.requests) % 3}"
    agent = agent_for(leftovers, classifier=None, verifier=lambda q, a: (0.6, "perhaps"))
    answer = await agent.arun(HARD, budget=Budget(tokens=tokens))
    assert server.spent_tokens <= tokens
    assert answer.usage.total_tokens == server.spent_tokens
    if server.requests:
        assert answer.text
    if tokens < 5_000:
        assert answer.stopped == "budget"


@pytest.mark.parametrize("tokens", [700, 1_000])
async def test_a_small_budget_gives_the_answer_it_could_pay(
    tokens: int, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, classifier=None).arun(HARD, budget=Budget(tokens=tokens))
    assert answer.final == "42"
    assert not any(is_estimate(r.body) for r in server.requests)


async def test_a_budget_of_one_call_is_one_call_for_the_answer(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, classifier=None).arun(HARD, budget="calls=1")
    assert len(server.requests) == 1
    assert (answer.final, answer.stopped) == ("42", "budget")


async def test_a_budget_of_no_call_is_no_answer(server: FaultServer, leftovers: Leftovers) -> None:
    answer = await agent_for(leftovers).arun(HARD, budget="calls=0")
    assert (answer.text, answer.stopped, answer.confidence) == ("", "budget", None)
    assert not server.requests


async def test_a_deadline_gives_the_best_answer_so_far(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, server.fault = says(SURE), ["none", "hang_before_headers"]
    answer = await agent_for(leftovers).arun(HARD, budget="seconds=2")
    assert (answer.final, answer.stopped) == ("42", "deadline")
    assert answer.usage.seconds < 4


async def test_a_deadline_before_any_answer_gives_what_had_arrived(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.reply, server.fault_after = "hang_mid_stream", "one two three four", 2
    answer = await agent_for(leftovers).arun(HARD, budget="seconds=1")
    assert (answer.text, answer.stopped) == ("one two", "deadline")


# --- the larger model


@pytest.fixture
async def large() -> Any:
    """The server of a larger model."""
    async with FaultServer() as running:
        yield running


DEAR = Price(input=Decimal(100), output=Decimal(100))


def with_larger(leftovers: Leftovers, large: FaultServer, **more: Any) -> Agent:
    larger = leftovers.model(large.base_url, "large", price=DEAR)
    given = {"settings": Settings(deepest="reason", samples=4), **more}
    return agent_for(leftovers, larger=larger, **given)


async def test_a_larger_model_is_not_asked_where_the_main_one_is_sure(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    await with_larger(leftovers, large, settings=Settings(samples=6)).arun(HARD)
    assert not large.requests


async def test_a_larger_model_is_asked_where_the_main_one_is_unsure(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, large.reply = says("Answer: 7"), says("Answer: 42")
    answer = await with_larger(leftovers, large).arun(HARD)
    assert chosen(answer) == ["reason", "reason+"]
    assert len(large.requests) == 1
    assert answer.final == "42"


async def test_a_larger_models_calls_are_in_the_same_ledger_at_its_own_price(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, large.reply = says("Answer: 7"), says("Answer: 42")
    answer = await with_larger(leftovers, large).arun(HARD)
    assert answer.usage.total_tokens == server.spent_tokens + large.spent_tokens
    assert answer.usage.cost == large.spent_tokens * Decimal(100) / 1_000_000


async def test_a_larger_model_keeps_to_the_budget_of_the_run(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.bytes_per_token = large.bytes_per_token = 1
    server.reply, large.reply = says("Answer: 7"), says("so " * 400 + "\nAnswer: 42")
    for tokens in (500, 1_000, 1_500, 2_500):
        spent = server.spent_tokens + large.spent_tokens
        answer = await with_larger(leftovers, large).arun(HARD, budget=Budget(tokens=tokens))
        assert server.spent_tokens + large.spent_tokens - spent <= tokens
        assert answer.text


async def test_a_limit_in_dollars_holds_for_both_models_together(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, large.reply = says("Answer: 7"), says("so " * 400 + "\nAnswer: 42")
    cheap = leftovers.model(price=Price(input=Decimal(1), output=Decimal(1)))
    for cents in ("0.5", "2", "10"):
        limit = Decimal(cents) / 100
        agent = with_larger(leftovers, large, model=cheap)
        answer = await agent.arun(HARD, budget=Budget(cost=limit))
        assert 0 < answer.usage.cost <= limit
        assert answer.text
    assert large.requests


async def test_the_smaller_models_answers_never_outvote_the_larger_ones(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: f"Answer: {[7, 7, 8, 9][len(server.requests) % 4]}"
    large.reply = says("Answer: 42")
    settings = Settings(deepest="vote", samples=4, rounds=1)
    answer = await with_larger(leftovers, large, settings=settings, classifier=Told(0.1)).arun(HARD)
    assert "reason+" in chosen(answer)
    assert answer.final == "42"


async def test_once_the_larger_model_has_answered_the_smaller_one_is_not_asked_again(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: f"Answer: {len(server.requests)}"
    large.reply = lambda body: f"Answer: {len(large.requests)}"
    settings = Settings(deepest="vote", samples=3, rounds=1)
    answer = await with_larger(leftovers, large, settings=settings, classifier=Told(0.1)).arun(HARD)
    first = next(n for n, depth in enumerate(chosen(answer)) if depth.endswith("+"))
    assert all(depth.endswith("+") for depth in chosen(answer)[first:])


@pytest.mark.parametrize("fault", ["status_500", "status_401", "reset"])
async def test_a_larger_model_that_fails_leaves_the_answer_of_the_main_one(
    fault: str, server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, large.fault = says("Answer: 7"), fault
    answer = await with_larger(leftovers, large).arun(HARD)
    assert large.requests
    assert (answer.final, answer.stopped) == ("7", "answered")


async def test_a_larger_model_that_declines_does_not_take_back_the_answer(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says("Answer: 7")
    large.reply = lambda body: Reply("I will not.", finish_reason="content_filter")
    answer = await with_larger(leftovers, large).arun(HARD)
    assert (answer.final, answer.stopped) == ("7", "answered")


async def test_where_the_main_model_cannot_answer_at_all_the_larger_one_does(
    server: FaultServer, large: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, large.reply = "status_500", says("Answer: 42")
    answer = await with_larger(leftovers, large).arun(HARD)
    assert answer.final == "42"


# --- failures


async def test_a_first_stage_that_fails_is_followed_by_another(
    server: FaultServer, leftovers: Leftovers
) -> None:
    def reply(body: Any) -> Reply | str:
        return SURE if "tools" not in body else Reply("")

    server.reply = reply
    agent = agent_for(leftovers, tools=[add], classifier=Told(0.99))
    server.fault = ["status_400", "none"]
    answer = await agent.arun(EASY)
    assert chosen(answer)[:2] == ["reason", "direct"]
    assert (answer.final, answer.stopped) == ("42", "answered")


@pytest.mark.parametrize(
    ("fault", "kind"), [("status_500", BackendFailed), ("status_401", KeyRefused)]
)
async def test_where_everything_fails_the_backends_own_error_comes_out(
    fault: str, kind: type[Exception], server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault = fault
    with pytest.raises(kind):
        await agent_for(leftovers).arun(HARD)


async def test_a_verifier_that_raises_does_not_lose_the_answer(
    server: FaultServer, leftovers: Leftovers
) -> None:
    class Broken:
        name, decisive = "broken", True

        async def verify(self, candidate: Candidate, means: Means) -> Any:
            raise RuntimeError("out of order")

    server.reply = says(SURE)
    answer = await agent_for(leftovers, verifier=Broken()).arun(HARD)
    assert (answer.final, answer.stopped) == ("42", "answered")


# --- effort


async def test_an_effort_sets_the_budget_and_the_deepest_depth(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: f"Answer: {len(server.requests)}"
    agent = agent_for(leftovers, settings=Settings(), effort="low")
    answer = await agent.arun(HARD)
    assert answer.budget == effort_of("low").budget
    assert set(chosen(answer)) <= {"direct", "reason"}


async def test_an_effort_of_a_call_wins_over_the_agents(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, effort="low").arun(EASY, effort="high")
    assert answer.budget == effort_of("high").budget


@pytest.mark.parametrize("of_the_call", [True, False])
async def test_an_explicit_budget_wins_over_the_effort(
    of_the_call: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    mine = "tokens=9000"
    agent = agent_for(leftovers, effort="low", budget=None if of_the_call else mine)
    answer = await agent.arun(EASY, budget=mine if of_the_call else None)
    assert answer.budget == Budget(tokens=9000)


async def test_an_explicit_depth_wins_over_the_effort(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    answer = await agent_for(leftovers, effort="low").arun(HARD, depth="vote")
    assert answer.depth == "vote"


async def test_an_effort_is_passed_to_reasoning_models(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = says(SURE)
    await agent_for(leftovers, effort="max").arun(EASY)
    assert server.requests[0].body["reasoning_effort"] == "high"


async def test_an_unknown_effort_is_wrong_usage(server: FaultServer, leftovers: Leftovers) -> None:
    with pytest.raises(WrongUsage, match="choose low, medium, high, max"):
        agent_for(leftovers, effort="huge")
    with pytest.raises(WrongUsage, match="choose low, medium, high, max"):
        await agent_for(leftovers).arun(EASY, effort="huge")
    assert not server.requests


# --- alone, and in somebody else's graph


class Mine(TypedDict, total=False):
    """The state of somebody's graph."""

    question: str
    text: str
    difficulty: dict[str, Any]


@pytest.mark.parametrize("question", [EASY, HARD])
async def test_in_somebodys_graph_it_closes_the_run_that_it_opened(
    question: str, server: FaultServer
) -> None:
    graph = (
        StateGraph(Mine, context_schema=Context)
        .add_node("think", DEPTHS["auto"].graph)
        .add_edge(START, "think")
        .add_edge("think", END)
        .compile()
    )
    server.reply = says(SURE)
    given: Any = {"question": question}
    out = await graph.ainvoke(given, context=Context(model="m", base_url=server.base_url))
    assert out["text"] == SURE
    assert out["difficulty"]["level"] in ("easy", "hard")
    assert not RUNS


async def test_a_run_that_ends_in_a_landing_is_closed_too(server: FaultServer) -> None:
    server.reply = "so " * 3000
    given: Any = {"question": HARD}
    context = Context(model="m", base_url=server.base_url, budget="tokens=1200")
    out = await DEPTHS["auto"].graph.ainvoke(given, context=context)
    assert out["text"]
    assert not RUNS


async def test_samples_that_are_given_are_weighed_before_anything_is_asked(
    server: FaultServer,
) -> None:
    paid = [
        {"id": f"mine.{n}", "ended": "whole", "text": SURE, "key": "42", "open": False}
        for n in range(6)
    ]
    given: Any = {"question": EASY, "samples": paid}
    context = Context(model="m", base_url=server.base_url)
    out = await DEPTHS["auto"].graph.ainvoke(given, context=context)
    assert (out["text"], out["stopped"]) == (SURE, "answered")
    assert not server.requests


# --- the estimate before a run


def test_an_estimate_lists_every_depth_with_sensible_numbers() -> None:
    price = Price(input=Decimal(1), output=Decimal(2))
    model = Model("m", "http://127.0.0.1:9/v1", price=price, profile=Profile(typical_output=100))
    found = Agent(model, budget="tokens=1000").estimate(HARD)
    assert set(found) == set(DEPTHS)
    assert all(e.calls >= 1 and e.tokens > 100 * e.calls and e.cost > 0 for e in found.values())
    assert found["direct"].calls == 1
    order = [found[name].tokens for name in ("direct", "reflect", "vote", "search")]
    assert order == sorted(order)
    assert found["direct"].tokens < found["auto"].tokens < found["search"].tokens
    assert found["direct"].fits
    assert not found["search"].fits
