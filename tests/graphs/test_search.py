"""search through its graph, on a backend that says what a script says."""

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from fault_server import FaultServer, Reply
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from leftovers import QUICK, Leftovers, until

from mull.budgets import Budget, Ledger
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
from mull.graphs.chains import walk
from mull.graphs.nodes.draw import GIVE_UP
from mull.graphs.nodes.land import slice_for
from mull.graphs.opening import RUNS, open_branch
from mull.graphs.samples import sample_of
from mull.graphs.values import UNKNOWN, VALUES, read_value
from mull.graphs.verifiers import Expression, Human
from mull.models import BackendFailed, BadRequest, Model, Profile, RetryPolicy

QUESTION = "How many?"
WORK = "First we count.\n\nThen we add."
ESSAY = "It tells of the sea and of its many moods, as one sees when one looks closely. " * 10
LONG = "so then we add two more " * 1000
ONCE = RetryPolicy(attempts=1)
ROLLOUTS = ["ab-mcts", "mcts"]
ALGORITHMS = [*ROLLOUTS, "tot-bfs"]

E = TypeVar("E")


@dataclass
class Bench:
    """Runs searches; what the server saw and what was told can be looked at."""

    server: FaultServer
    make_model: Callable[..., Model]
    events: list[Any] = field(default_factory=list)
    tree: list[Any] = field(default_factory=list)
    """The nodes of the last search, in the order they came."""
    ledger: Ledger = field(default_factory=Ledger)

    async def search(
        self,
        *,
        budget: str = "",
        verifier: Any = None,
        retry: RetryPolicy = QUICK,
        profile: Profile | None = None,
        paid: Sequence[Sample] = (),
        question: str = QUESTION,
        **settings: Any,
    ) -> Mapping[str, Any]:
        """The outcome of one search, as an agent makes it."""
        model = self.make_model(retry=retry, profile=profile)
        limits = Budget.parse(budget) if budget else Budget()
        landing = slice_for(question, (), model.profile, limits, model.price)
        self.ledger = Ledger(limits, landing=landing)
        self.tree = []
        outcome: Mapping[str, Any] = {}
        async with open_run(
            model,
            self.ledger,
            settings=Settings(**{"seed": 1, **settings}),
            verifier=None if verifier is None else resolve_verifier(verifier),
        ) as run:
            given: Any = {"question": question, "samples": list(paid)}
            parts: AsyncIterator[Any] = DEPTHS["search"].graph.astream(
                given,
                context=Context(run=run.key),
                stream_mode=["custom", "updates", "values"],
            )
            async for kind, part in parts:
                if kind == "custom":
                    self.events.append(part)
                elif kind == "updates":
                    self.tree += (part.get("expand") or {}).get("tree", [])
                else:
                    outcome = part
        assert not RUNS
        return outcome

    def told(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def asked(self, call: int = -1) -> list[dict[str, Any]]:
        """The messages of one call, from 0; -1 is the last."""
        messages: list[dict[str, Any]] = self.server.requests[call].body["messages"]
        return messages

    @property
    def aborted(self) -> int:
        """Requests that the server saw closed before their end."""
        return sum(exchange.aborted for exchange in self.server.requests)


@pytest.fixture
def bench(server: FaultServer, leftovers: Leftovers) -> Bench:
    """A place to run searches."""
    return Bench(server, leftovers.model)


def in_turn(*replies: Reply | str) -> Callable[[Any], Reply | str]:
    """One reply for each call; the last repeats."""
    rest = list(replies)
    return lambda body: rest.pop(0) if len(rest) > 1 else rest[0]


def is_60(question: str, answer: str) -> tuple[bool, str]:
    return answer == "60", f"{answer} is not sixty"


NUMBERS = itertools.count(1000)


def counting(body: Any) -> str:
    """Two steps and another answer each time."""
    return f"{WORK}\n\nAnswer: {next(NUMBERS)}"


def is_value(body: Any) -> bool:
    return "Can these steps lead" in body["messages"][-1]["content"]


def is_mending(body: Any) -> bool:
    return "<objections>" in body["messages"][-1]["content"]


# --- the end


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_verified_solution_ends_it_and_is_the_answer(bench: Bench, algorithm: str) -> None:
    bench.server.reply = in_turn("Answer: 1", "Answer: 2", "Answer: 3", "Answer: 60", "Answer: 4")
    outcome = await bench.search(verifier=is_60, algorithm=algorithm)
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 60", "answered")
    assert outcome["confidence"] == 1.0
    assert len(bench.server.requests) == 4


async def test_once_it_is_verified_the_others_are_aborted_at_the_server(bench: Bench) -> None:
    bench.server.reply, bench.server.token_delay = in_turn("Answer: 60", Reply(LONG)), 0.002
    outcome = await bench.search(verifier=is_60, at_once=6)
    assert outcome["text"] == "Answer: 60"
    assert len(bench.told(BranchCancelled)) == 5
    await until(lambda: bench.aborted == len(bench.server.requests) - 1)


async def test_every_branch_that_started_ends_once(bench: Bench) -> None:
    bench.server.reply, bench.server.token_delay = in_turn("Answer: 60", Reply(LONG)), 0.002
    await bench.search(verifier=is_60, at_once=6)
    started = [event.branch for event in bench.told(BranchStarted)]
    ended = [e.branch for e in bench.events if isinstance(e, BranchFinished | BranchCancelled)]
    assert sorted(started) == sorted(ended)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("expansions", [1, 3, 10])
async def test_the_limit_of_expansions_ends_it_with_the_best(
    bench: Bench, algorithm: str, expansions: int
) -> None:
    bench.server.reply = counting
    outcome = await bench.search(
        verifier=is_60, algorithm=algorithm, expansions=expansions, profile=SILENT
    )
    proposed = len(bench.server.requests) - (algorithm == "tot-bfs")
    assert proposed == expansions
    assert outcome["stopped"] == "answered"
    assert outcome["text"].startswith("First we count.")


SILENT = Profile(prompts={"expand.value": ""})
"""Of steps, no value is asked for."""


async def test_rollouts_that_agree_end_it_without_a_verifier(bench: Bench) -> None:
    def reply(body: Any) -> str:
        return "Score: 9" if "Judge how well" in body["messages"][-1]["content"] else counting_7

    counting_7 = f"{WORK}\n\nAnswer: 7"
    bench.server.reply = reply
    outcome = await bench.search()
    assert outcome["text"] == counting_7
    assert len(bench.server.requests) < 48


async def test_the_width_is_the_most_in_flight(bench: Bench) -> None:
    bench.server.reply, bench.server.delay = counting, 0.01
    await bench.search(verifier=is_60, at_once=2, expansions=8)
    assert bench.server.peak_active == 2


async def test_a_sample_that_was_verified_before_ends_it_without_a_call(bench: Bench) -> None:
    known: Sample = {
        **sample_of("chain.0", QUESTION, "Answer: 60"),
        "passed": True,
        "sound": True,
        "score": 1.0,
    }
    outcome = await bench.search(verifier=is_60, paid=[known])
    assert outcome["text"] == "Answer: 60"
    assert not bench.server.requests


async def test_samples_that_were_paid_for_before_shorten_no_search(bench: Bench) -> None:
    bench.server.reply = counting
    paid = [sample_of(f"chain.{n}", QUESTION, f"Answer: {n + 500}") for n in range(6)]
    await bench.search(verifier=is_60, paid=paid, expansions=8)
    assert len(bench.server.requests) == 8


async def test_open_answers_are_searched_until_one_passes(bench: Bench) -> None:
    essays = itertools.count(1)

    def reply(body: Any) -> str:
        last = body["messages"][-1]["content"]
        if "Judge how well" not in last:
            return f"Draft {next(essays)} of a poem. {ESSAY}"
        return "Score: 9" if "Draft 10 " in last else "Score: 5"

    bench.server.reply = reply
    outcome = await bench.search(question="Write a poem about the sea.", expansions=16)
    assert "Draft 10 " in outcome["text"]
    assert next(essays) <= 14


async def test_the_same_seed_grows_the_same_tree(bench: Bench) -> None:
    trees = []
    for _ in range(2):
        numbers = itertools.count()
        bench.server.reply = lambda body, n=numbers: f"{WORK}\n\nAnswer: {next(n)}"
        await bench.search(verifier=is_60, at_once=1, expansions=8, seed=5)
        trees.append(bench.tree)
    assert trees[0] == trees[1]


# --- what is proposed from


async def deeper(bench: Bench, **more: Any) -> list[dict[str, Any]]:
    """The messages of a call that goes on from a step."""
    bench.server.reply = counting
    await bench.search(verifier=is_60, algorithm="mcts", expansions=5, **more)
    return bench.asked()


async def test_without_prefill_the_steps_so_far_are_shown_in_a_users_turn(bench: Bench) -> None:
    asked = await deeper(bench)
    assert asked[-1]["role"] == "user"
    assert "First we count." in asked[-1]["content"]
    assert asked[-2]["content"] == QUESTION


@pytest.mark.parametrize("tokenizer", ["llamacpp", "vllm"])
async def test_with_prefill_the_model_goes_on_with_its_own_message(
    bench: Bench, tokenizer: str
) -> None:
    bench.server.tokenizer = tokenizer
    asked = await deeper(bench)
    assert asked[-1] == {"role": "assistant", "content": "First we count.\n\n"}


@pytest.mark.parametrize("tokenizer", [None, "llamacpp", "vllm"])
async def test_the_text_of_an_answer_holds_the_steps_it_went_on_from(
    bench: Bench, tokenizer: str | None
) -> None:
    bench.server.tokenizer = tokenizer
    right = "Then we multiply.\n\nAnswer: 60"
    bench.server.reply = in_turn(*[f"First we count.\n\nAnswer: {n}" for n in range(4)], right)
    outcome = await bench.search(verifier=is_60, algorithm="mcts")
    assert outcome["text"] == f"First we count.\n\n{right}"


async def test_a_model_that_repeats_its_work_does_not_double_it(bench: Bench) -> None:
    wrong = [f"First we count.\n\nAnswer: {n}" for n in range(4)]
    right = "First we count.\n\nThen we multiply.\n\nAnswer: 60"
    bench.server.reply = in_turn(*wrong, right)
    outcome = await bench.search(verifier=is_60, algorithm="mcts")
    assert outcome["text"].count("First we count.") == 1
    assert bench.tree[-1]["steps"] == ["First we count.", "Then we multiply."]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_an_answer_that_failed_is_mended(bench: Bench, algorithm: str) -> None:
    bench.server.reply = lambda body: "Answer: 60" if is_mending(body) else "Answer: 17"
    outcome = await bench.search(verifier=is_60, algorithm=algorithm)
    mending = next(e.body for e in bench.server.requests if is_mending(e.body))
    assert "17 is not sixty" in mending["messages"][-1]["content"]
    assert outcome["text"] == "Answer: 60"


async def test_a_mended_answer_that_fails_is_mended_in_turn(bench: Bench) -> None:
    numbers = itertools.count(57)
    bench.server.reply = lambda body: (
        f"Answer: {next(numbers)}" if is_mending(body) else "Answer: 1"
    )
    outcome = await bench.search(verifier=is_60, algorithm="mcts", at_once=1)
    assert outcome["text"] == "Answer: 60"
    assert max(len(node["steps"]) for node in bench.tree) == 1


# --- values


@pytest.mark.parametrize("word", VALUES)
def test_a_value_is_read_by_its_word(word: str) -> None:
    for text in (f"Answer: {word}", f"**Answer: {word.upper()}.**", f"I think it is {word}"):
        assert read_value(text) == VALUES[word]


@pytest.mark.parametrize(
    "text",
    ["", "Answer: unsure", "Answer: not sure", "It isn't likely", "Answer: not very likely", "42"],
)
def test_what_is_no_value_is_unknown(text: str) -> None:
    assert read_value(text) == UNKNOWN


def test_of_several_words_the_last_is_the_value() -> None:
    assert read_value("It looks impossible at first, but is likely") == VALUES["likely"]


def test_a_hostile_value_is_read_in_linear_time() -> None:
    for unit in ("not ", "n't ", "\n", "sure", "a", "Answer: "):
        assert read_value(unit * 50_000) == UNKNOWN


async def test_steps_that_the_model_calls_promising_are_gone_on_from(bench: Bench) -> None:
    names = itertools.count()

    def reply(body: Any) -> str:
        if not is_value(body):
            return f"Step {next(names)}."
        return (
            "Answer: sure" if "Step 2." in body["messages"][-1]["content"] else "Answer: unlikely"
        )

    bench.server.reply = reply
    await bench.search(algorithm="tot-bfs", expansions=8)
    assert max(bench.tree, key=lambda node: node["score"])["score"] == VALUES["sure"]
    second = [node for node in bench.tree if node["wave"] == 2]
    assert {tuple(node["steps"][:1]) for node in second} == {("Step 2.",)}


async def test_a_verifier_that_only_weighs_values_steps_in_the_models_place(bench: Bench) -> None:
    names = itertools.count()

    def weigh(candidate: Any) -> float:
        return 0.9 if "Step 2." in candidate.text else 0.2

    class Weigh:
        name, decisive = "weigh", False

        def __init__(self) -> None:
            self.verify = resolve_verifier(weigh).verify

    bench.server.reply = lambda body: f"Step {next(names)}."
    await bench.search(algorithm="tot-bfs", verifier=Weigh(), expansions=8)
    assert not any(is_value(exchange.body) for exchange in bench.server.requests)
    assert {node["score"] for node in bench.tree} == {0.9, 0.2}


async def test_a_decisive_verifier_is_not_asked_about_steps(bench: Bench) -> None:
    asked: list[str] = []

    def verify(question: str, answer: str) -> bool:
        asked.append(answer)
        return False

    def reply(body: Any) -> str:
        return "Answer: likely" if is_value(body) else "A step."

    bench.server.reply = reply
    await bench.search(algorithm="tot-bfs", verifier=verify, expansions=6)
    assert not asked


async def test_a_model_that_goes_no_further_has_given_its_answer(bench: Bench) -> None:
    def reply(body: Any) -> str:
        if is_value(body):
            return "Answer: likely"
        return "" if "First: 60." in body["messages"][-1]["content"] else "First: 60."

    bench.server.reply = reply
    outcome = await bench.search(
        algorithm="tot-bfs", verifier=lambda q, answer: answer == "First: 60."
    )
    assert outcome["text"] == "First: 60."


# --- budget and deadline


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("tokens", [50, 500, 5_000, 50_000])
@pytest.mark.parametrize("tokenizer", [None, "vllm"])
async def test_no_budget_is_exceeded(
    bench: Bench, tokens: int, algorithm: str, tokenizer: str | None
) -> None:
    bench.server.tokenizer, bench.server.bytes_per_token = tokenizer, 1 if not tokenizer else 4
    rng = random.Random(tokens)

    def reply(body: Any) -> str:
        if is_value(body):
            return "Answer: likely"
        return f"{'so ' * rng.randint(1, 100)}\n\nStep.\n\nAnswer: {rng.random()}"

    bench.server.reply = reply
    outcome = await bench.search(
        verifier=is_60, algorithm=algorithm, expansions=40, budget=f"tokens={tokens}"
    )
    assert bench.server.spent_tokens <= bench.ledger.spent().total_tokens <= tokens
    assert outcome["stopped"] == ("budget" if tokens < 50_000 else outcome["stopped"])


async def test_a_budget_that_ends_it_gives_the_best_candidate(bench: Bench) -> None:
    bench.server.reply = counting
    outcome = await bench.search(verifier=is_60, budget="tokens=2000")
    assert outcome["stopped"] == "budget"
    assert outcome["text"].startswith(WORK)


async def test_the_calls_that_are_allowed_are_not_exceeded(bench: Bench) -> None:
    bench.server.reply = counting
    outcome = await bench.search(verifier=is_60, budget="calls=7")
    assert len(bench.server.requests) <= 7
    assert outcome["stopped"] == "budget"


async def test_a_rollout_that_the_models_own_limit_cuts_short_does_not_end_it(
    bench: Bench,
) -> None:
    bench.server.reply = in_turn(LONG, "Answer: 1", "Answer: 2", "Answer: 3", "Answer: 60")
    profile = Profile(max_tokens=50)
    outcome = await bench.search(verifier=is_60, profile=profile, budget="tokens=50000")
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 60", "answered")


async def test_an_answer_that_was_cut_short_is_not_verified(bench: Bench) -> None:
    bench.server.reply = "Answer: 60" + " and more" * 100
    asked: list[str] = []

    def verify(question: str, answer: str) -> bool:
        asked.append(answer)
        return True

    await bench.search(verifier=verify, profile=Profile(max_tokens=20), expansions=3)
    assert not asked


@pytest.mark.parametrize("algorithm", ["ab-mcts", "tot-bfs"])
async def test_a_deadline_without_any_answer_is_no_error(bench: Bench, algorithm: str) -> None:
    bench.server.fault = itertools.chain(["hang_before_headers"] * 4, itertools.repeat("none"))
    bench.server.reply = "Answer: 7"
    outcome = await bench.search(algorithm=algorithm, budget="seconds=3")
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 7", "deadline")


async def test_a_deadline_gives_the_best_candidate(bench: Bench) -> None:
    bench.server.reply, bench.server.token_delay = in_turn("Answer: 1", Reply(LONG)), 0.005
    outcome = await bench.search(verifier=is_60, budget="seconds=2")
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 1", "deadline")


# --- failure

FAULTS = ["status_429", "status_500", "reset", "reset_mid_stream", "truncated_sse", "error_event"]


def failing(share: float, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    while True:
        yield rng.choice(FAULTS) if rng.random() < share else "none"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", range(3))
async def test_three_in_ten_calls_that_fail_do_not_end_it(
    bench: Bench, seed: int, algorithm: str
) -> None:
    bench.server.fault, bench.server.retry_after = failing(0.3, seed), 0.001
    numbers = itertools.count(45)
    bench.server.reply = lambda body: f"Answer: {next(numbers)}"
    outcome = await bench.search(verifier=is_60, algorithm=algorithm, retry=ONCE)
    assert outcome["text"] == "Answer: 60"


@pytest.mark.parametrize("at_once", [1, 4])
async def test_when_all_fails_it_gives_up_with_the_backends_own_error(
    bench: Bench, at_once: int
) -> None:
    bench.server.fault = "status_500"
    with pytest.raises(BackendFailed):
        await bench.search(retry=ONCE, at_once=at_once)
    assert len(bench.server.requests) == GIVE_UP


async def test_an_error_that_is_no_use_to_retry_ends_it_at_once(bench: Bench) -> None:
    bench.server.fault = "status_400"
    with pytest.raises(BadRequest):
        await bench.search(at_once=4)
    assert len(bench.server.requests) == 4


async def test_a_backend_that_dies_on_the_way_gives_the_best_so_far(bench: Bench) -> None:
    bench.server.fault = itertools.chain(["none"] * 6, itertools.repeat("status_500"))
    bench.server.reply = counting
    outcome = await bench.search(verifier=is_60, retry=ONCE)
    assert outcome["text"].startswith(WORK)
    assert len(bench.server.requests) <= 8 + GIVE_UP


async def test_a_failure_is_told_as_the_end_of_its_branch(bench: Bench) -> None:
    bench.server.fault, bench.server.reply = ["status_500", "none"], "Answer: 60"
    await bench.search(verifier=lambda q, a: False, retry=ONCE, expansions=4)
    [failed] = [event for event in bench.told(BranchFinished) if event.ended == "failed"]
    assert "500" in failed.answer


async def test_a_verifier_that_raises_loses_no_answer(bench: Bench) -> None:
    class Broken:
        name, decisive = "broken", True

        async def verify(self, candidate: Any, means: Any) -> Any:
            raise ZeroDivisionError

    bench.server.reply = "Answer: 7"
    outcome = await bench.search(verifier=Broken(), expansions=4)
    assert outcome["text"] == "Answer: 7"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_model_that_declines_ends_it_as_a_refusal(bench: Bench, algorithm: str) -> None:
    bench.server.reply = lambda body: Reply("I will not.", finish_reason="content_filter")
    outcome = await bench.search(algorithm=algorithm)
    assert (outcome["text"], outcome["stopped"]) == ("I will not.", "refused")
    assert len(bench.server.requests) == 4


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_some_refusals_do_not_end_it_and_their_number_is_limited(
    bench: Bench, algorithm: str
) -> None:
    refusal = Reply("I will not.", finish_reason="content_filter")
    bench.server.reply = in_turn("Answer: 1", refusal)
    outcome = await bench.search(verifier=is_60, algorithm=algorithm, expansions=12)
    assert (outcome["text"], outcome["stopped"]) == ("Answer: 1", "answered")
    assert len(bench.server.requests) == 12


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("nothing", ["", "\n\n\n\n", " \n\n \n\n"])
async def test_a_model_that_says_nothing_ends(bench: Bench, algorithm: str, nothing: str) -> None:
    def reply(body: Any) -> str:
        landing = "no more room" in body["messages"][-1]["content"]
        return "Answer: 7" if landing else nothing

    bench.server.reply = reply
    outcome = await bench.search(algorithm=algorithm, expansions=9)
    assert outcome["text"] == "Answer: 7"
    assert len(bench.server.requests) == 10


@pytest.mark.parametrize("tokenizer", [None, "llamacpp"])
async def test_a_step_that_looks_like_a_template_does_no_harm(
    bench: Bench, tokenizer: str | None
) -> None:
    hostile = "{steps} {0} {question.__class__} </steps> %s \\1"
    bench.server.tokenizer = tokenizer
    bench.server.reply = lambda body: "Answer: sure" if is_value(body) else hostile
    await bench.search(algorithm="tot-bfs", expansions=8)
    assert hostile in bench.asked(-2)[-1]["content"]


async def test_in_a_branch_it_counts_its_own_expansions_and_failures(bench: Bench) -> None:
    bench.server.fault = itertools.chain(["none"] * 4, itertools.repeat("status_500"))
    bench.server.reply = counting
    model = bench.make_model(retry=ONCE)
    settings, verifier = Settings(expansions=40), resolve_verifier(is_60)
    paid = sample_of("vote/chain.0", QUESTION, "Answer: 1")
    async with (
        open_run(model, Ledger(), settings=settings, verifier=verifier) as run,
        open_branch(run, "search", lambda event: None) as branch,
    ):
        walked = await walk(branch, DEPTHS["search"].graph, QUESTION, samples=[paid])
    assert len(bench.server.requests) == 4 + GIVE_UP
    assert walked.sample["ended"] == "whole"
    assert {sample["id"].partition("/")[0] for sample in walked.samples} == {"vote", "search"}


# --- checkpoints


def saved() -> Any:
    return DEPTHS["search"].graph.builder.compile(checkpointer=InMemorySaver())


def finished(graph: Any) -> int:
    """Expansions of the wave that the checkpoint knows as finished."""
    return sum(bool(task.result) for task in graph.get_state(THREAD).tasks)


THREAD: Any = {"configurable": {"thread_id": "1"}}


async def test_a_search_that_was_interrupted_repeats_no_expansion_that_was_finished(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.fault = ["none", "none", "hang_before_headers", "hang_before_headers", "none"]
    bench.server.reply = counting
    graph, ledger = saved(), Ledger(key="search")
    settings, verifier = Settings(expansions=4), resolve_verifier(is_60)

    async def go(given: Any) -> Any:
        model = bench.make_model()
        async with open_run(model, ledger, settings=settings, verifier=verifier) as run:
            return await graph.ainvoke(given, THREAD, context=Context(run=run.key))

    task = asyncio.create_task(go({"question": QUESTION}))
    await until(lambda: bench.server.active == 2 and len(bench.server.requests) == 4, 10)
    await until(lambda: finished(graph) == 2, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with caplog.at_level(logging.WARNING):
        outcome = await go(None)
    assert len(bench.server.requests) == 4 + 2
    assert [sample["ended"] for sample in outcome["samples"]] == ["whole"] * 4
    assert outcome["text"].startswith(WORK)
    assert not caplog.records  # Nothing is in the checkpoint that it would not take.


async def test_a_person_confirms_what_was_found_and_nothing_is_paid_twice(bench: Bench) -> None:
    bench.server.reply = lambda body: "Answer: 7"
    graph, settings = saved(), Settings(expansions=4)
    async with open_run(bench.make_model(), Ledger(), settings=settings, verifier=Human()) as run:
        context = Context(run=run.key)
        paused = await graph.ainvoke({"question": QUESTION}, THREAD, context=context)
        asked = len(bench.server.requests)
        done = await graph.ainvoke(Command(resume="reject: no"), THREAD, context=context)
    assert paused["__interrupt__"][0].value["answer"] == "7"
    assert (done["text"], done["confidence"]) == ("Answer: 7", 0.0)
    assert len(bench.server.requests) == asked


# --- Game of 24

WRONG_24 = ["4 * 7 - 8 + 8", "(8 + 8) * 7 / 4", "7 * 8 - 4 - 8", "8 * 8 - 7 * 4"]


@pytest.mark.parametrize("tokenizer", [None, "llamacpp", "vllm"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_the_game_of_24_is_solved_after_wrong_proposals(
    bench: Bench, algorithm: str, tokenizer: str | None
) -> None:
    """The right end is proposed only from the right first step."""
    bench.server.tokenizer = tokenizer
    turn = itertools.count()

    def reply(body: Any) -> str:
        said = "".join(message["content"] for message in body["messages"])
        if is_value(body):
            return "Answer: sure" if "8 / 8 = 1" in said else "Answer: unlikely"
        if "8 / 8 = 1" in said:
            return (
                "7 - 1 = 6\n\nAnswer: (7 - 8 / 8) * 4"
                if "7 - 1 = 6" not in said
                else ("Answer: (7 - 8 / 8) * 4 = 24")
            )
        number = next(turn)
        first = "8 / 8 = 1" if number % 4 == 3 else f"Try {number}."
        return f"{first}\n\nAnswer: {WRONG_24[number % len(WRONG_24)]}"

    bench.server.reply = reply
    verifier = Expression(24, [4, 7, 8, 8])
    outcome = await bench.search(
        question="Make 24 of 4, 7, 8, 8.", verifier=verifier, algorithm=algorithm
    )
    assert "(7 - 8 / 8) * 4" in outcome["text"]
    assert outcome["confidence"] == 1.0
    assert len(bench.tree) > 4
