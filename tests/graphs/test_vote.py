"""vote through its graph, against a server that counts for itself."""

from __future__ import annotations

import asyncio
import itertools
import operator
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, TypedDict, TypeVar, cast

import pytest
from fault_server import FaultServer, Reply
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send
from leftovers import QUICK, Leftovers, until

from mull.budgets import FREE, Budget, Ledger, Price
from mull.errors import WrongUsage
from mull.graphs import (
    DEPTHS,
    BranchCancelled,
    BranchFinished,
    BranchStarted,
    Context,
    Sample,
    Settings,
    open_run,
    resolve_verifier,
)
from mull.graphs.nodes.draw import GIVE_UP
from mull.graphs.nodes.land import slice_for
from mull.graphs.opening import RUNS
from mull.graphs.verifiers import Candidate, Human, Means, Verdict
from mull.graphs.voting import OPEN_SAMPLES, RULE
from mull.models import (
    BackendFailed,
    BadRequest,
    KeyRefused,
    Model,
    Profile,
    RetryPolicy,
    Unreachable,
)
from mull.tools import as_tool
from mull.tools.toolbox import Toolbox

QUESTION = "How many?"
SURE = "It is clear.\nAnswer: 7"
LONG = "so then we add two more " * 400
ESSAY = "It depends on many things, as one sees when one looks at them closely. " * 40
DECLINES = Reply("I cannot help with that.", finish_reason="content_filter")
ONCE = RetryPolicy(attempts=1)

E = TypeVar("E")


@dataclass
class Bench:
    """Runs votes; what the server saw and what was told can be looked at."""

    server: FaultServer
    leftovers: Leftovers
    events: list[Any] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    async def vote(
        self,
        *,
        budget: str = "",
        tools: Sequence[Callable[..., Any]] = (),
        verifier: Any = None,
        retry: RetryPolicy = QUICK,
        profile: Profile | None = None,
        price: Price = FREE,
        paid: Sequence[Sample] = (),
        config: Any = None,
        **settings: Any,
    ) -> Mapping[str, Any]:
        """The outcome of one vote, as an agent makes it."""
        model = self.leftovers.model(retry=retry, profile=profile, price=price)
        limits = Budget.parse(budget) if budget else Budget()
        landing = slice_for(QUESTION, (), model.profile, limits, model.price)
        self.ledger = self.leftovers.ledger(limits, landing=landing)
        outcome: Mapping[str, Any] = {}
        async with open_run(
            model,
            self.ledger,
            Toolbox([as_tool(tool) for tool in tools]),
            settings=Settings(**settings),
            verifier=None if verifier is None else resolve_verifier(verifier),
        ) as run:
            given: Any = {"question": QUESTION, "samples": list(paid)}
            async for part in DEPTHS["vote"].graph.astream(
                given,
                config,
                context=Context(run=run.key),
                stream_mode=["custom", "values"],
                subgraphs=True,
                version="v2",
            ):
                if part["type"] == "custom":
                    self.events.append(part["data"])
                elif not part["ns"]:
                    outcome = cast(Mapping[str, Any], part["data"])
        assert not RUNS
        return outcome

    def told(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def aborted(self, count: int) -> None:
        """So many requests the server sees closed before their end. Raises `TimeoutError`."""
        await until(lambda: sum(e.aborted for e in self.server.requests) == count, 10)


@pytest.fixture
def bench(server: FaultServer, leftovers: Leftovers) -> Bench:
    """A place to run votes."""
    return Bench(server, leftovers)


def in_turn(*replies: Reply | str) -> Callable[[Any], Reply | str]:
    """One reply for each call; the last repeats."""
    rest = list(replies)
    return lambda body: rest.pop(0) if len(rest) > 1 else rest[0]


def ends(outcome: Mapping[str, Any]) -> list[str]:
    return sorted(sample["ended"] for sample in outcome["samples"])


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# --- how many chains


@pytest.mark.parametrize("samples", [1, 2, 5, 16, 40])
async def test_chains_that_all_agree_are_as_few_as_could_settle_it(
    bench: Bench, samples: int
) -> None:
    bench.server.reply = SURE
    outcome = await bench.vote(samples=samples)
    assert len(bench.server.requests) == RULE.fewest([], samples)
    assert (outcome["text"], outcome["stopped"]) == (SURE, "answered")


async def test_equal_answers_in_other_forms_agree(bench: Bench) -> None:
    forms = itertools.cycle(["Answer: 1/2", "Answer: 0.5", r"It is \boxed{\frac12}."])
    bench.server.reply = lambda body: next(forms)
    await bench.vote(samples=16)
    assert len(bench.server.requests) == RULE.fewest([], 16)


async def test_answers_that_never_agree_end_at_the_horizon(bench: Bench) -> None:
    numbers = itertools.count()
    bench.server.reply = lambda body: f"Answer: {next(numbers)}"
    outcome = await bench.vote(samples=64)
    assert len(bench.server.requests) == 64
    assert outcome["stopped"] == "answered"


async def test_the_majority_is_the_answer(bench: Bench) -> None:
    bench.server.reply = in_turn(*(f"Answer: {n}" for n in (1, 2, 2, 1, 3, 2, 3, 2)))
    outcome = await bench.vote(samples=8, at_once=8)
    assert outcome["text"] == "Answer: 2"
    assert 0 < outcome["confidence"] < 1


async def test_at_once_is_the_most_in_flight(bench: Bench) -> None:
    numbers = itertools.count()
    bench.server.reply, bench.server.delay = lambda body: f"Answer: {next(numbers)}", 0.01
    await bench.vote(samples=9, at_once=2)
    assert bench.server.peak_active == 2
    assert len(bench.server.requests) == 9


async def test_samples_that_were_paid_for_are_not_drawn_again(bench: Bench) -> None:
    bench.server.reply = SURE
    first = await bench.vote(samples=16)
    asked = len(bench.server.requests)
    again = await bench.vote(samples=16, paid=first["samples"])
    assert len(bench.server.requests) == asked
    assert again["text"] == SURE


async def test_new_chains_displace_no_sample_that_was_paid_for(bench: Bench) -> None:
    bench.server.reply = in_turn("Answer: 1", "Answer: 2", "Answer: 3", "Answer: 4")
    first = await bench.vote(samples=2)
    outcome = await bench.vote(samples=3, paid=first["samples"][1:])
    assert len(outcome["samples"]) == 3


# --- early exit

LATE = ["while streaming", "before headers"]


def hold_the_rest(server: FaultServer, early: int, when: str) -> None:
    """The first so many calls answer at once; the others would take for ever."""
    if when == "before headers":
        server.fault = itertools.chain(["none"] * early, itertools.repeat("hang_before_headers"))
    server.reply, server.token_delay = in_turn(*[SURE] * early, Reply(LONG)), 0.002


@pytest.mark.parametrize("when", LATE)
async def test_once_it_is_settled_all_the_others_are_aborted_at_the_server(
    bench: Bench, when: str
) -> None:
    early = RULE.fewest([], 32)
    hold_the_rest(bench.server, early, when)
    outcome = await bench.vote(samples=32, at_once=32)
    await bench.aborted(len(bench.server.requests) - early)
    assert (outcome["text"], outcome["stopped"]) == (SURE, "answered")
    assert set(ends(outcome)) == {"whole", "cancelled"}


async def test_what_the_others_had_spent_is_told_and_counts_as_wasted(bench: Bench) -> None:
    early = RULE.fewest([], 32)
    hold_the_rest(bench.server, early, "while streaming")
    outcome = await bench.vote(samples=32, at_once=32)
    cancelled = bench.told(BranchCancelled)
    assert len(cancelled) == ends(outcome).count("cancelled")
    assert all("stays the leader" in event.reason for event in cancelled)
    assert bench.ledger.spent().wasted_tokens == sum(event.tokens for event in cancelled) > 0


async def test_chains_with_tools_are_aborted_too(bench: Bench) -> None:
    early = RULE.fewest([], 32)
    answered = itertools.count()

    def reply(body: Any) -> Reply | str:
        if body["messages"][-1]["role"] != "tool":
            return Reply(tool_calls=[("add", {"a": 3, "b": 4})])
        return SURE if next(answered) < early else Reply(LONG)

    bench.server.reply, bench.server.token_delay = reply, 0.002
    outcome = await bench.vote(samples=32, at_once=32, tools=[add])
    assert ends(outcome).count("cancelled") == 32 - early
    await until(lambda: all(e.finished or e.aborted for e in bench.server.requests), 10)
    assert (outcome["text"], outcome["stopped"]) == (SURE, "answered")


async def test_chains_that_wait_for_the_budget_are_ended_without_a_call(bench: Bench) -> None:
    bench.server.reply, bench.server.token_delay = SURE, 0.002
    outcome = await bench.vote(samples=32, at_once=32, budget="tokens=6000")
    assert len(bench.server.requests) < 32
    assert outcome["stopped"] == "answered"


async def test_chains_that_a_limit_of_the_graph_held_back_are_never_begun(bench: Bench) -> None:
    bench.server.reply = SURE
    await bench.vote(samples=32, at_once=32, config={"max_concurrency": 2})
    assert len(bench.server.requests) <= RULE.fewest([], 32) + 1


async def test_every_branch_that_started_ends_once(bench: Bench) -> None:
    hold_the_rest(bench.server, RULE.fewest([], 32), "while streaming")
    await bench.vote(samples=32, at_once=32)
    started = [event.branch for event in bench.told(BranchStarted)]
    ended = [e.branch for e in bench.events if isinstance(e, BranchFinished | BranchCancelled)]
    assert sorted(started) == sorted(ended)


async def test_a_vote_that_is_cancelled_from_outside_leaves_nothing(bench: Bench) -> None:
    bench.server.reply, bench.server.token_delay = LONG, 0.002
    vote = asyncio.create_task(bench.vote(samples=8, at_once=8))
    await until(lambda: bench.server.active == 8, 30)
    vote.cancel()
    with pytest.raises(asyncio.CancelledError):
        await vote
    assert not RUNS


# --- a verified answer


async def test_the_first_verified_answer_ends_it_and_is_the_answer(bench: Bench) -> None:
    early = ["Answer: 1", "Answer: 1", "Answer: 2"]
    bench.server.reply, bench.server.token_delay = in_turn(*early, Reply(LONG)), 0.002
    outcome = await bench.vote(samples=16, at_once=16, verifier=lambda q, answer: answer == "2")
    assert (outcome["text"], outcome["confidence"]) == ("Answer: 2", 1.0)
    await bench.aborted(13)


async def test_answers_that_are_all_refused_still_give_one_and_say_so(bench: Bench) -> None:
    bench.server.reply = "Answer: 1"
    outcome = await bench.vote(samples=4, verifier=lambda q, answer: False)
    assert len(bench.server.requests) == 4
    assert (outcome["text"], outcome["confidence"]) == ("Answer: 1", 0.0)


# --- failure

FAULTS = ["status_429", "status_500", "reset", "reset_mid_stream", "truncated_sse", "error_event"]


def failing(share: float, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    while True:
        yield rng.choice([*FAULTS, "unknown_tool"]) if rng.random() < share else "none"


@pytest.mark.parametrize("retry", [QUICK, ONCE], ids=["retried", "not retried"])
@pytest.mark.parametrize("seed", range(3))
async def test_with_three_in_ten_calls_failing_a_vote_of_16_answers(
    bench: Bench, seed: int, retry: RetryPolicy
) -> None:
    bench.server.fault, bench.server.retry_after = failing(0.3, seed), 0.001
    bench.server.reply = SURE
    outcome = await bench.vote(samples=16, at_once=16, retry=retry)
    assert (outcome["text"], outcome["stopped"]) == (SURE, "answered")


async def test_a_chain_that_fails_says_so_and_loses_no_other(bench: Bench) -> None:
    bench.server.fault, bench.server.reply = ["status_500", "none"], SURE
    outcome = await bench.vote(samples=16, at_once=4, retry=ONCE)
    assert outcome["text"] == SURE
    [failed] = [event for event in bench.told(BranchFinished) if event.ended == "failed"]
    assert "BackendFailed" in failed.answer


class Broken:
    """A verifier of somebody's that raises, once or always."""

    name, decisive = "broken", True

    def __init__(self, times: int) -> None:
        self.times = times

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        self.times -= 1
        if self.times >= 0:
            raise ZeroDivisionError("a fault of the verifier")
        return Verdict(score=1.0, passed=True)


@pytest.mark.parametrize("times", [1, 100])
async def test_a_verifier_that_raises_loses_no_answer(bench: Bench, times: int) -> None:
    bench.server.reply = SURE
    outcome = await bench.vote(samples=8, at_once=2, verifier=Broken(times))
    assert outcome["text"] == SURE
    assert "ZeroDivisionError" in str(outcome["trace"])


async def test_a_tool_that_raises_loses_no_chain(bench: Bench) -> None:
    def odd(n: int) -> int:
        """Divide by zero."""
        return n // 0

    def reply(body: Any) -> Reply | str:
        told = body["messages"][-1]["role"] == "tool"
        return SURE if told else Reply(tool_calls=[("odd", {"n": 1})])

    bench.server.reply = reply
    outcome = await bench.vote(samples=8, tools=[odd])
    assert outcome["text"] == SURE


async def test_when_every_chain_fails_the_first_error_is_raised(bench: Bench) -> None:
    bench.server.fault = "status_500"
    with pytest.raises(BackendFailed):
        await bench.vote(samples=64, retry=ONCE)
    assert len(bench.server.requests) < GIVE_UP + RULE.fewest([], 64)


async def test_a_refused_key_is_not_tried_again(bench: Bench) -> None:
    bench.server.fault = "status_401"
    with pytest.raises(KeyRefused):
        await bench.vote(samples=16)
    assert len(bench.server.requests) == RULE.fewest([], 16)


async def test_a_request_that_the_backend_calls_wrong_is_not_tried_again(bench: Bench) -> None:
    bench.server.fault = "status_400"
    with pytest.raises(BadRequest):
        await bench.vote(samples=16, at_once=1)
    assert len(bench.server.requests) == 1


async def test_a_backend_that_cannot_be_probed_at_first_loses_only_that_chain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, tries = Model.capabilities, itertools.count()

    async def flaky(model: Model) -> Any:
        if next(tries) == 0:
            raise Unreachable("not yet")
        return await probe(model)

    monkeypatch.setattr(Model, "capabilities", flaky)
    bench.server.reply = SURE
    outcome = await bench.vote(samples=16)
    assert outcome["text"] == SURE
    assert ends(outcome)[0] == "failed"


async def test_a_model_that_declines_is_asked_no_second_wave(bench: Bench) -> None:
    bench.server.reply = in_turn(DECLINES)
    outcome = await bench.vote(samples=16)
    assert (outcome["text"], outcome["stopped"]) == ("I cannot help with that.", "refused")
    assert len(bench.server.requests) == RULE.fewest([], 16)


# --- the budget

BACKENDS: dict[str, dict[str, object]] = {
    "worst case": {"tokenizer": None, "bytes_per_token": 1},
    "vllm": {"tokenizer": "vllm", "bytes_per_token": 4},
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, server: FaultServer) -> str:
    """A server that counts every byte as a token and tells nothing, or one that tokenizes."""
    name: str = request.param
    for knob, value in BACKENDS[name].items():
        setattr(server, knob, value)
    return name


def of_any_length(seed: int, longest: int) -> Callable[[Any], str]:
    """Replies of any length that each state one of a few answers."""
    rng = random.Random(seed)

    def reply(body: Any) -> str:
        return f"{'so ' * rng.randint(0, longest)}\nAnswer: {rng.randint(1, 5)}"

    return reply


@pytest.mark.parametrize("tools", [[], [add]], ids=["direct", "reason"])
@pytest.mark.parametrize("tokens", [50, 500, 5_000, 50_000])
async def test_64_chains_at_once_never_spend_more_than_the_budget(
    bench: Bench, backend: str, tokens: int, tools: Any
) -> None:
    bench.server.reply, bench.server.tokens_per_chunk = of_any_length(tokens, 600), 20
    outcome = await bench.vote(samples=64, at_once=64, budget=f"tokens={tokens}", tools=tools)
    assert bench.server.spent_tokens <= tokens
    assert bench.ledger.spent().total_tokens >= bench.server.spent_tokens
    answered = [sample for sample in outcome["samples"] if sample["ended"] == "whole"]
    assert bool(outcome["text"]) or not answered


async def test_a_vote_that_the_budget_ends_gives_its_best_candidate(bench: Bench) -> None:
    numbers = itertools.count()
    bench.server.reply = lambda body: f"{'so ' * 300}\nAnswer: {next(numbers)}"
    outcome = await bench.vote(samples=64, at_once=64, budget="tokens=3000")
    assert outcome["stopped"] == "budget"
    assert "Answer: " in outcome["text"]


async def test_a_budget_too_small_for_any_call_gives_no_text(bench: Bench) -> None:
    outcome = await bench.vote(samples=64, at_once=64, budget="tokens=50")
    assert (outcome["text"], outcome["stopped"]) == ("", "budget")
    assert not bench.server.requests


@pytest.mark.parametrize("calls", [1, 2, 3, 7])
async def test_there_are_never_more_requests_than_calls(bench: Bench, calls: int) -> None:
    numbers = itertools.count()
    bench.server.reply = lambda body: f"Answer: {next(numbers)}"
    outcome = await bench.vote(samples=8, at_once=8, budget=f"calls={calls}")
    assert len(bench.server.requests) <= calls
    assert outcome["stopped"] == "budget"
    assert outcome["text"].startswith("Answer: ")


async def test_a_limit_in_dollars_ends_it_like_one_in_tokens(bench: Bench) -> None:
    numbers = itertools.count()
    bench.server.reply = lambda body: f"{'so ' * 300}\nAnswer: {next(numbers)}"
    price = Price(input=Decimal(1), output=Decimal(1))
    outcome = await bench.vote(samples=64, budget="cost=0.003", price=price)
    assert "Answer: " in outcome["text"]
    assert outcome["stopped"] == "budget"
    assert bench.server.spent_tokens <= 3_000


async def test_a_vote_without_tools_needs_no_tool_calls(bench: Bench) -> None:
    bench.server.reply = SURE
    outcome = await bench.vote(samples=8, budget="tool_calls=0")
    assert (outcome["text"], outcome["stopped"]) == (SURE, "answered")


async def test_a_chain_that_the_models_own_limit_cut_does_not_end_the_vote(bench: Bench) -> None:
    bench.server.reply = in_turn(Reply(LONG), SURE)
    outcome = await bench.vote(samples=16, budget="tokens=50000", profile=Profile(max_tokens=40))
    assert (outcome["text"], outcome["stopped"]) == (SURE, "answered")
    assert ends(outcome).count("whole") >= RULE.fewest([], 16)


async def test_chains_that_are_all_cut_end_in_a_landing(bench: Bench) -> None:
    bench.server.reply = LONG
    outcome = await bench.vote(samples=3, profile=Profile(max_tokens=40))
    assert outcome["stopped"] == "budget"
    assert outcome["text"]


async def test_at_the_deadline_the_leader_so_far_is_the_answer(bench: Bench) -> None:
    said = [Reply(f"Answer: {n}") for n in (8, 7, 7)]
    bench.server.reply, bench.server.token_delay = in_turn(*said, Reply(LONG)), 0.005
    outcome = await bench.vote(samples=8, at_once=8, budget="seconds=2")
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 7", "deadline")
    await bench.aborted(5)


# --- weak chains


@pytest.mark.parametrize("kind", ["vllm", "llamacpp"])
async def test_a_weak_chain_is_cut_while_it_streams(bench: Bench, kind: str) -> None:
    sure = [Reply(f"It is clear. Answer: {n}", logprob=-0.1) for n in range(8)]
    weak = Reply(LONG, logprob=-3.0)
    bench.server.tokenizer, bench.server.token_delay = kind, 0.001
    bench.server.reply = in_turn(*sure, weak)
    outcome = await bench.vote(samples=9, at_once=9)
    assert ends(outcome) == ["weak", *["whole"] * 8]
    await bench.aborted(1)
    assert bench.ledger.spent().wasted_tokens > 0


async def test_without_logprobs_no_chain_is_weak(bench: Bench) -> None:
    sure = [Reply(f"It is clear. Answer: {n}") for n in range(8)]
    bench.server.reply = in_turn(*sure, Reply("so " * 400 + "Answer: 9", logprob=-3.0))
    outcome = await bench.vote(samples=9, at_once=9)
    assert ends(outcome) == ["whole"] * 9


async def test_a_stream_that_broke_does_not_make_a_chain_weak(bench: Bench) -> None:
    sure = [Reply(f"It is clear. Answer: {n}", logprob=-0.1) for n in range(8)]
    broken = Reply("so " * 120, logprob=-3.0)
    mended = Reply("so " * 140 + "Answer: 9", logprob=-0.1)
    bench.server.tokenizer, bench.server.fault_after = "vllm", 110
    bench.server.reply = in_turn(*sure, broken, mended)
    bench.server.fault = [*["none"] * 8, "reset_mid_stream", "none"]
    outcome = await bench.vote(samples=9, at_once=8)
    assert ends(outcome) == ["whole"] * 9


# --- answers that cannot be compared


def judged(better: str) -> Callable[[Any], str]:
    """Essays, and a judge who prefers the one that begins with a word."""
    numbers = itertools.count()

    def reply(body: Any) -> str:
        asked = body["messages"][-1]["content"]
        if "Judge which of two answers" not in asked:
            return f"Essay{next(numbers)}. {ESSAY}"
        first, second = asked.find(better), asked.find("<answer-2")
        return "Better: equal" if first < 0 else f"Better: {1 if first < second else 2}"

    return reply


async def test_of_answers_that_cannot_be_compared_a_judge_chooses(bench: Bench) -> None:
    bench.server.reply = judged("Essay2")
    outcome = await bench.vote(samples=16)
    assert outcome["text"].startswith("Essay2")
    assert len(outcome["samples"]) == OPEN_SAMPLES


async def test_or_they_are_merged(bench: Bench) -> None:
    essays = [f"Essay{n}. {ESSAY}" for n in range(OPEN_SAMPLES)]
    bench.server.reply = in_turn(*essays, "All in one.")
    outcome = await bench.vote(samples=16, synthesize=True)
    assert outcome["text"] == "All in one."
    asked = bench.server.requests[-1].body["messages"][-1]["content"]
    assert all(f"Essay{n}" in asked for n in range(OPEN_SAMPLES))


async def test_a_judge_chooses_though_one_of_them_was_cut(bench: Bench) -> None:
    choose, calls = judged("Essay2"), itertools.count()
    bench.server.reply = lambda body: LONG if next(calls) == 0 else choose(body)
    outcome = await bench.vote(samples=16, profile=Profile(max_tokens=1_000))
    assert outcome["text"].startswith("Essay2")


async def test_with_a_verifier_the_best_scored_open_answer_is_taken(bench: Bench) -> None:
    def likes(candidate: Candidate) -> float:
        return 0.9 if candidate.text.startswith("Essay1") else 0.3

    bench.server.reply = judged("Essay2")
    outcome = await bench.vote(samples=16, verifier=likes)
    assert outcome["text"].startswith("Essay1")


@pytest.mark.parametrize("synthesize", [False, True])
@pytest.mark.parametrize("fault", ["status_500", "empty_choices", "hang_mid_stream"])
async def test_a_judge_or_a_merger_that_fails_leaves_an_answer(
    bench: Bench, synthesize: bool, fault: str
) -> None:
    bench.server.reply = judged("Essay2")
    bench.server.fault = [*["none"] * OPEN_SAMPLES, fault]
    limit = "seconds=2" if fault == "hang_mid_stream" else ""
    outcome = await bench.vote(
        samples=4, at_once=4, synthesize=synthesize, retry=ONCE, budget=limit
    )
    assert outcome["text"].startswith("Essay")


@pytest.mark.parametrize("synthesize", [False, True])
@pytest.mark.parametrize("tokens", [600, 2_000, 4_000, 8_000])
async def test_open_answers_without_the_means_to_choose_still_give_one(
    bench: Bench, tokens: int, synthesize: bool
) -> None:
    bench.server.reply = judged("Essay2")
    outcome = await bench.vote(samples=16, budget=f"tokens={tokens}", synthesize=synthesize)
    assert outcome["text"]
    assert bench.server.spent_tokens <= tokens


# --- a person


class Talk(TypedDict, total=False):
    """The state of a graph that a vote is a node of."""

    question: str
    text: str
    stopped: str
    confidence: float | None
    samples: list[Sample]


def paused(saver: InMemorySaver) -> Any:
    """The vote as the node of a graph that can pause."""
    built = StateGraph(Talk, context_schema=Context).add_node("vote", DEPTHS["vote"].graph)
    return built.add_edge(START, "vote").compile(checkpointer=saver)


@pytest.mark.parametrize(
    ("word", "confidence", "passed"), [("approve", 1.0, True), ("reject: too few", 0.0, False)]
)
async def test_a_person_is_asked_once_and_nothing_is_paid_twice(
    server: FaultServer, leftovers: Leftovers, word: str, confidence: float, passed: bool
) -> None:
    server.reply = SURE
    graph, config = paused(InMemorySaver()), {"configurable": {"thread_id": "1"}}
    model, ledger = leftovers.model(), leftovers.ledger()
    async with open_run(model, ledger, verifier=Human()) as run:
        given = {"question": QUESTION}
        waiting = await graph.ainvoke(given, config, context=Context(run=run.key))
    [asked] = waiting["__interrupt__"]
    assert (asked.value["answer"], "text" in waiting) == ("7", False)
    spent, requests = ledger.spent().total_tokens, len(server.requests)
    async with open_run(model, ledger, verifier=Human()) as run:
        resume: Any = Command(resume=word)
        outcome = await graph.ainvoke(resume, config, context=Context(run=run.key))
    assert (outcome["text"], outcome["confidence"]) == (SURE, confidence)
    assert [s["passed"] for s in outcome["samples"] if "passed" in s] == [passed]
    assert (ledger.spent().total_tokens, len(server.requests)) == (spent, requests)


async def test_a_person_is_not_asked_about_a_refusal(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = in_turn(DECLINES)
    graph, config = paused(InMemorySaver()), {"configurable": {"thread_id": "1"}}
    async with open_run(leftovers.model(), leftovers.ledger(), verifier=Human()) as run:
        given = {"question": QUESTION}
        outcome = await graph.ainvoke(given, config, context=Context(run=run.key))
    assert outcome["stopped"] == "refused"


# --- in somebody else's graph


def together(left: list[str] | None, right: str | list[str]) -> list[str]:
    return [*(left or []), *([right] if isinstance(right, str) else right)]


class Many(TypedDict, total=False):
    """The state of a graph that asks several questions."""

    questions: list[str]
    text: Annotated[list[str], together]


def fan_out(state: Many) -> list[Send]:
    return [Send("vote", {"question": question}) for question in state["questions"]]


def echo(body: Any) -> str:
    return f"Answer: {body['messages'][-1]['content']}"


ASKED = ["11", "12", "13"]


async def test_votes_fanned_out_by_somebodys_graph_do_not_mix(server: FaultServer) -> None:
    server.reply, server.delay = echo, 0.01
    graph = (
        StateGraph(Many, context_schema=Context)
        .add_node("vote", DEPTHS["vote"].graph)
        .add_conditional_edges(START, fan_out, ["vote"])
        .compile()
    )
    context = Context(model="m", base_url=server.base_url, samples=8)
    outcome = await graph.ainvoke({"questions": ASKED}, context=context)
    assert sorted(outcome["text"]) == [f"Answer: {n}" for n in ASKED]
    assert len(server.requests) == 3 * RULE.fewest([], 8)
    assert not RUNS


async def test_a_run_works_on_one_question_at_a_time(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply, server.delay = echo, 0.01
    graph = DEPTHS["vote"].graph
    async with open_run(leftovers.model(), leftovers.ledger()) as run:
        context = Context(run=run.key)
        both = (graph.ainvoke({"question": question}, context=context) for question in ASKED[:2])
        first, second = await asyncio.gather(*both, return_exceptions=True)
    assert any(isinstance(outcome, WrongUsage) for outcome in (first, second))


class Answers(TypedDict, total=False):
    """The state of a graph whose own node opens the runs."""

    questions: list[str]
    question: str
    answers: Annotated[list[str], operator.add]


async def test_votes_below_one_ledger_share_its_budget(
    server: FaultServer, leftovers: Leftovers
) -> None:
    numbers = itertools.count()
    server.reply = lambda body: f"{'so ' * 100}\nAnswer: {next(numbers)}"
    model, ledger = leftovers.model(), leftovers.ledger(Budget(tokens=3_000))

    async def ask(state: Answers) -> Answers:
        async with open_run(model, ledger.child(state["question"])) as run:
            given: Any = {"question": state["question"]}
            vote = DEPTHS["vote"].graph
            outcome = await vote.ainvoke(given, context=Context(run=run.key))
        return {"answers": [outcome["text"]]}

    graph = (
        StateGraph(Answers)
        .add_node("ask", ask)
        .add_conditional_edges(
            START, lambda state: [Send("ask", {"question": q}) for q in state["questions"]], ["ask"]
        )
        .compile()
    )
    outcome = await graph.ainvoke({"questions": ASKED})
    assert len(outcome["answers"]) == 3
    assert server.spent_tokens <= 3_000
    assert not RUNS
