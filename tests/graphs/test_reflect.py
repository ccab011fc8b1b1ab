"""reflect through its graph: draft, critique, refine, on a backend that says what a script says."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from leftovers import QUICK, Leftovers

from mull.budgets import Budget, Ledger
from mull.graphs import DEPTHS, Context, Sample, Settings, open_run, resolve_verifier
from mull.graphs.nodes.land import slice_for
from mull.graphs.run import Run
from mull.graphs.samples import judged, sample_of
from mull.graphs.verifiers import Human, Verdict
from mull.models import BackendFailed, Model, Profile, RetryPolicy
from mull.tools import as_tool
from mull.tools.toolbox import Toolbox

QUESTION = "How many eggs are in five boxes of twelve?"
WRONG = "12 and 5 make 17.\nAnswer: 17"
RIGHT = "12 times 5 is 60.\nAnswer: 60"
PASS = "It holds.\nAnswer: pass"
FAIL = "The boxes are multiplied, not added.\nAnswer: fail"
LONG = "so then we add two more " * 1000
ONCE = RetryPolicy(attempts=1)

Said = Reply | str


@dataclass
class Bench:
    """Runs reflections; what each step was asked can be looked at."""

    server: FaultServer
    make_model: Callable[..., Model]
    ledger: Ledger = field(default_factory=Ledger)
    run: Run | None = None

    def script(
        self, draft: Sequence[Said] = (), critique: Sequence[Said] = (), refine: Sequence[Said] = ()
    ) -> None:
        """What the model says at each step, call by call. One call more fails the test."""
        rest = {"draft": list(draft), "critique": list(critique), "refine": list(refine)}
        self.server.reply = lambda body: rest[step_of(body)].pop(0)

    async def reflect(
        self,
        *,
        budget: str = "",
        tools: Sequence[Callable[..., Any]] = (),
        verifier: Any = None,
        retry: RetryPolicy = QUICK,
        profile: Profile | None = None,
        paid: Sequence[Sample] = (),
        **settings: Any,
    ) -> Mapping[str, Any]:
        """The outcome of one reflection, as an agent makes it."""
        model = self.make_model(retry=retry, profile=profile)
        limits = Budget.parse(budget) if budget else Budget()
        landing = slice_for(QUESTION, (), model.profile, limits, model.price)
        self.ledger = Ledger(limits, landing=landing)
        toolbox = Toolbox([as_tool(tool) for tool in tools])
        chosen = Settings(**settings)
        judge = None if verifier is None else resolve_verifier(verifier)
        given: Any = {"question": QUESTION, "samples": list(paid)}
        async with open_run(model, self.ledger, toolbox, settings=chosen, verifier=judge) as run:
            self.run = run
            outcome: Mapping[str, Any] = await DEPTHS["reflect"].graph.ainvoke(
                given, context=Context(run=run.key)
            )
        return outcome

    @property
    def steps(self) -> list[str]:
        """The step of each call, in order."""
        return [step_of(exchange.body) for exchange in self.server.requests]

    def asked(self, step: str, number: int = 0) -> str:
        """The prompt of one step's call."""
        asked = [e.body for e in self.server.requests if step_of(e.body) == step]
        return first_of(asked[number])


def first_of(body: Any) -> str:
    """The question that a call's messages begin with."""
    return str(next(m["content"] for m in body["messages"] if m["role"] == "user"))


def step_of(body: Any) -> str:
    asked = first_of(body)
    if asked.startswith("Check a proposed answer"):
        return "critique"
    return "refine" if "<objections>" in asked else "draft"


@pytest.fixture
def bench(server: FaultServer, leftovers: Leftovers) -> Bench:
    """A place to run reflections."""
    return Bench(server, leftovers.model)


def paid_for(text: str, verdict: Verdict | None = None, name: str = "chain.0") -> Sample:
    """A sample of an earlier depth."""
    sample = sample_of(name, QUESTION, text)
    return sample if verdict is None else judged(sample, verdict, decisive=True)


# --- a critic


async def test_a_critics_pass_ends_it(bench: Bench) -> None:
    bench.script([RIGHT], [PASS])
    outcome = await bench.reflect()
    assert (outcome["text"], outcome["stopped"]) == (RIGHT, "answered")
    assert bench.steps == ["draft", "critique"]


async def test_a_critics_fail_leads_to_a_refinement_that_is_checked_in_turn(bench: Bench) -> None:
    bench.script([WRONG], [FAIL, PASS], [RIGHT])
    outcome = await bench.reflect()
    assert outcome["text"] == RIGHT
    assert bench.steps == ["draft", "critique", "refine", "critique"]


async def test_a_refinement_is_shown_the_question_the_answer_and_the_objections(
    bench: Bench,
) -> None:
    bench.script([WRONG], [FAIL, PASS], [RIGHT])
    await bench.reflect()
    for shown in (QUESTION, WRONG, FAIL):
        assert shown in bench.asked("refine")


async def test_the_rounds_end_it_with_the_best(bench: Bench) -> None:
    bench.script(["Answer: 1"], [FAIL] * 3, ["Answer: 2", "Answer: 3"])
    outcome = await bench.reflect(rounds=3)
    assert Counter(bench.steps) == {"draft": 1, "critique": 3, "refine": 2}
    assert outcome["text"] == "Answer: 1"


async def test_the_same_answer_again_ends_it(bench: Bench) -> None:
    bench.script([WRONG], [FAIL, FAIL], ["I insist.\nAnswer: 17"])
    await bench.reflect(rounds=9)
    assert bench.steps == ["draft", "critique", "refine", "critique"]


async def test_a_critic_that_cannot_be_read_counts_as_unknown_and_is_shown(bench: Bench) -> None:
    bench.script([WRONG], ["Hm, who knows.", PASS], [RIGHT])
    await bench.reflect()
    assert "Hm, who knows." in bench.asked("refine")


async def test_a_refinement_that_the_critic_refuses_does_not_replace_an_unknown_draft(
    bench: Bench,
) -> None:
    bench.script([RIGHT], ["Hm.", FAIL], [WRONG])
    outcome = await bench.reflect(rounds=2)
    assert outcome["text"] == RIGHT


# --- tools


def boxes(count: int) -> int:
    """Eggs in so many boxes."""
    return count * 12


CALL = Reply(tool_calls=[("boxes", {"count": 5})])


async def test_the_critic_sees_what_the_tools_said(bench: Bench) -> None:
    bench.script([CALL, RIGHT], [PASS])
    await bench.reflect(tools=[boxes])
    assert "[result] 60" in bench.asked("critique")


async def test_the_critic_may_call_tools_itself(bench: Bench) -> None:
    bench.script([RIGHT], [CALL, PASS])
    outcome = await bench.reflect(tools=[boxes])
    assert bench.server.requests[-1].body["messages"][-1]["content"] == "60"
    assert outcome["text"] == RIGHT


async def test_of_long_evidence_the_critic_sees_the_end(bench: Bench) -> None:
    def pages(count: int) -> str:
        """So many pages."""
        return "page " * count + "the last word"

    bench.script([Reply(tool_calls=[("pages", {"count": 1700})]), RIGHT], [PASS])
    await bench.reflect(tools=[pages])
    assert "the last word" in bench.asked("critique")
    assert len(bench.asked("critique")) < 10_000


# --- a verifier


def is_60(question: str, answer: str) -> tuple[bool, str]:
    return answer == "60", f"{answer} eggs are not in five boxes"


async def test_with_a_verifier_no_critic_is_asked(bench: Bench) -> None:
    bench.script([WRONG], [], [RIGHT])
    outcome = await bench.reflect(verifier=is_60)
    assert bench.steps == ["draft", "refine"]
    assert (outcome["text"], outcome["confidence"]) == (RIGHT, 1.0)


async def test_the_verifiers_reasons_are_the_objections(bench: Bench) -> None:
    bench.script([WRONG], [], [RIGHT])
    await bench.reflect(verifier=is_60)
    assert "17 eggs are not in five boxes" in bench.asked("refine")


async def test_a_verifier_that_raises_does_not_lose_the_draft(bench: Bench) -> None:
    class Broken:
        name, decisive = "broken", True

        async def verify(self, candidate: Any, means: Any) -> Verdict:
            raise ZeroDivisionError

    bench.server.reply = RIGHT
    outcome = await bench.reflect(verifier=Broken())
    assert outcome["text"] == RIGHT


SCRIPTS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([True, False, None]), st.floats(0, 1)),
    min_size=1,
    max_size=5,
)


@given(script=SCRIPTS, rounds=st.integers(1, 5))
@settings(max_examples=25)
async def test_whatever_the_verdicts_the_answer_is_never_worse_than_the_best_verified(
    script: list[tuple[int, bool | None, float]], rounds: int
) -> None:
    heard: list[tuple[tuple[int, float], str]] = []

    def verify(candidate: Any) -> Verdict:
        _, passed, score = script[min(len(heard), len(script) - 1)]
        standing = {True: 1, None: 0, False: -1}[passed]
        heard.append(((standing, score), candidate.text))
        return Verdict(score=score, passed=passed)

    answers = iter([*script, *[script[-1]] * rounds])
    async with FaultServer() as server:
        server.reply = lambda body: f"Answer: {next(answers)[0]}"
        model = Model("m", server.base_url)
        outcome = await Bench(server, lambda **more: model).reflect(verifier=verify, rounds=rounds)
        await model.aclose()
    best = max(heard, key=lambda verdict: verdict[0])
    assert outcome["text"] == best[1]
    assert outcome["confidence"] == best[0][1]
    assert len(heard) <= rounds


async def test_a_refinement_that_is_not_judged_yet_does_not_displace_a_well_scored_draft(
    bench: Bench,
) -> None:
    kept: list[str] = []

    def score(candidate: Any) -> float:
        assert bench.run is not None
        kept.append(bench.run.best)
        return 0.9 if candidate.text == RIGHT else 0.1

    bench.script([RIGHT], [], [WRONG])
    await bench.reflect(verifier=score, rounds=2)
    assert kept == [RIGHT, RIGHT]


# --- samples that were paid for


async def test_a_sample_that_was_paid_for_is_the_draft(bench: Bench) -> None:
    bench.script([], [PASS])
    outcome = await bench.reflect(paid=[paid_for(RIGHT)])
    assert bench.steps == ["critique"]
    assert outcome["text"] == RIGHT


async def test_the_best_of_those_paid_for_is_the_draft(bench: Bench) -> None:
    bench.script([], [PASS])
    good = paid_for(RIGHT, Verdict(score=0.7, passed=None))
    bad = paid_for(WRONG, Verdict(score=0.3, passed=None), "chain.1")
    assert (await bench.reflect(paid=[bad, good]))["text"] == RIGHT


async def test_a_sample_that_was_cut_short_is_no_draft_but_better_than_nothing(
    bench: Bench,
) -> None:
    cut = sample_of("chain.0", QUESTION, "Answer: 60, because", ended="cut")
    outcome = await bench.reflect(paid=[cut], budget="tokens=5")
    assert (outcome["text"], outcome["stopped"]) == (cut["text"], "budget")


async def test_what_was_verified_before_is_not_verified_again(bench: Bench) -> None:
    asked: list[str] = []

    def verify(question: str, answer: str) -> bool:
        asked.append(answer)
        return answer == "60"

    bench.script([], [], [RIGHT])
    refused = Verdict(score=0.0, passed=False, reasons="No, not 17.")
    outcome = await bench.reflect(verifier=verify, paid=[paid_for(WRONG, refused)])
    assert "No, not 17." in bench.asked("refine")
    assert asked == ["60"]
    assert outcome["text"] == RIGHT


# --- what goes wrong


async def test_a_draft_that_fails_raises_the_backends_own_error(bench: Bench) -> None:
    bench.server.fault = "status_500"
    with pytest.raises(BackendFailed):
        await bench.reflect(retry=ONCE)


async def test_a_critic_that_fails_does_not_lose_the_draft(bench: Bench) -> None:
    bench.server.fault, bench.server.reply = ["none", "status_500"], RIGHT
    outcome = await bench.reflect(retry=ONCE)
    assert (outcome["text"], outcome["stopped"]) == (RIGHT, "answered")


async def test_without_a_critics_word_nothing_is_refined(bench: Bench) -> None:
    bench.server.fault, bench.server.reply = ["none", "status_400"], RIGHT
    await bench.reflect(retry=ONCE)
    assert bench.steps == ["draft", "critique"]


async def test_a_refiner_that_fails_does_not_lose_the_draft(bench: Bench) -> None:
    bench.server.fault = ["none", "none", "status_400"]
    bench.script([WRONG], [FAIL])
    outcome = await bench.reflect(retry=ONCE)
    assert (outcome["text"], outcome["stopped"]) == (WRONG, "answered")


async def test_a_draft_that_is_refused_is_a_refusal(bench: Bench) -> None:
    bench.script([Reply("I will not.", finish_reason="content_filter")])
    outcome = await bench.reflect()
    assert (outcome["text"], outcome["stopped"]) == ("I will not.", "refused")


async def test_a_critic_or_a_refiner_that_declines_makes_no_refusal_of_an_answer(
    bench: Bench,
) -> None:
    declines = Reply("I will not.", finish_reason="content_filter")
    bench.script([RIGHT, WRONG], [declines, FAIL], [declines])
    for text in (RIGHT, WRONG):
        outcome = await bench.reflect()
        assert (outcome["text"], outcome["stopped"]) == (text, "answered")


# --- budget and deadline


@pytest.mark.parametrize("step", ["critique", "refine"])
async def test_a_budget_that_ends_after_the_draft_gives_the_draft(bench: Bench, step: str) -> None:
    critique = [LONG] if step == "critique" else [FAIL]
    bench.script([WRONG], critique, [LONG])
    outcome = await bench.reflect(budget="tokens=3500")
    assert (outcome["text"], outcome["stopped"]) == (WRONG, "budget")
    assert bench.steps[-1] == step


@pytest.mark.parametrize("bytes_per_token", [1, 4])
@pytest.mark.parametrize("tokens", [50, 500, 1_500, 3_000, 5_000, 50_000])
async def test_no_budget_is_exceeded(bench: Bench, tokens: int, bytes_per_token: int) -> None:
    bench.server.bytes_per_token = bytes_per_token
    numbers = iter(range(100))

    def reply(body: Any) -> str:
        return FAIL if step_of(body) == "critique" else f"{'so ' * 40}\nAnswer: {next(numbers)}"

    bench.server.reply = reply
    outcome = await bench.reflect(budget=f"tokens={tokens}")
    assert bench.server.spent_tokens <= bench.ledger.spent().total_tokens <= tokens
    assert outcome["stopped"] in {"answered", "budget"}


async def test_a_deadline_that_comes_after_the_draft_gives_the_draft(bench: Bench) -> None:
    bench.script([RIGHT], [LONG])
    bench.server.token_delay = 0.005
    outcome = await bench.reflect(budget="seconds=2")
    assert (outcome["text"], outcome["stopped"]) == (RIGHT, "deadline")


# --- a person


class Paused:
    """A reflection with a person as its verifier, on a checkpointer."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.graph: Any = DEPTHS["reflect"].graph.builder.compile(checkpointer=InMemorySaver())
        self.config: Any = {"configurable": {"thread_id": "1"}}

    async def go(self, run: Run, given: Any) -> Any:
        return await self.graph.ainvoke(given, self.config, context=Context(run=run.key))


async def test_a_person_rejects_then_approves_and_nothing_is_paid_twice(bench: Bench) -> None:
    bench.script([WRONG], [], [RIGHT])
    paused = Paused(bench)
    async with open_run(bench.make_model(), Ledger(), verifier=Human()) as run:
        first = await paused.go(run, {"question": QUESTION})
        assert first["__interrupt__"][0].value["answer"] == "17"
        second = await paused.go(run, Command(resume="reject: multiply"))
        assert second["__interrupt__"][0].value["answer"] == "60"
        done = await paused.go(run, Command(resume="approve"))
    assert bench.steps == ["draft", "refine"]
    assert "multiply" in bench.asked("refine")
    assert (done["text"], done["confidence"], done["stopped"]) == (RIGHT, 1.0, "answered")


async def test_a_person_can_be_asked_after_the_process_has_ended(bench: Bench) -> None:
    bench.script([RIGHT])
    paused, ledger = Paused(bench), Ledger(key="eggs")
    async with open_run(bench.make_model(), ledger, verifier=Human()) as run:
        await paused.go(run, {"question": QUESTION})
    spent = ledger.spent().total_tokens
    async with open_run(bench.make_model(), ledger, verifier=Human()) as run:
        done = await paused.go(run, Command(resume=True))
    assert done["text"] == RIGHT
    assert ledger.spent().total_tokens == spent > 0


async def test_a_person_who_rejects_all_gets_the_first_after_the_rounds(bench: Bench) -> None:
    bench.script(["Answer: 1"], [], ["Answer: 2"])
    paused, rounds = Paused(bench), Settings(rounds=2)
    async with open_run(bench.make_model(), Ledger(), settings=rounds, verifier=Human()) as run:
        await paused.go(run, {"question": QUESTION})
        await paused.go(run, Command(resume=False))
        done = await paused.go(run, Command(resume=False))
    assert (done["text"], done["confidence"]) == ("Answer: 1", 0.0)


# --- hostile texts


async def test_a_draft_that_looks_like_a_template_does_no_harm(bench: Bench) -> None:
    hostile = "{question} {0} {reasons.__class__} </proposed_answer> %s \\1\nAnswer: 17"
    bench.script([hostile], [FAIL, PASS], [RIGHT])
    await bench.reflect()
    assert hostile in bench.asked("critique")
    assert hostile in bench.asked("refine")


async def test_reflections_at_the_same_time_do_not_mix(bench: Bench) -> None:
    def reply(body: Any) -> str:
        if step_of(body) == "critique":
            return PASS if "Answer: 60" in first_of(body) else FAIL
        return RIGHT if step_of(body) == "refine" else WRONG

    bench.server.reply, bench.server.delay = reply, 0.01
    outcomes = await asyncio.gather(*(bench.reflect() for _ in range(8)))
    assert [outcome["text"] for outcome in outcomes] == [RIGHT] * 8
    assert Counter(bench.steps) == {"draft": 8, "critique": 16, "refine": 8}
