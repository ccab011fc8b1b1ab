"""FunctionVerifier: your own function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from langgraph.errors import GraphInterrupt

from mull.errors import WrongUsage
from mull.graphs.verifiers import Candidate, FunctionVerifier, Means, Verdict, Verifier

CANDIDATE = Candidate(question="How many?", text="12+5=17\nAnswer: 17")


async def ask(function: Callable[..., Any], means: Means) -> Verdict:
    return await FunctionVerifier(function).verify(CANDIDATE, means)


def two(question: str, answer: str) -> bool:
    return (question, answer) == ("How many?", "17")


def one(candidate: Candidate) -> bool:
    return candidate is CANDIDATE


async def slow(question: str, answer: str) -> bool:
    return two(question, answer)


class Callable_:  # noqa: N801
    def __call__(self, candidate: Candidate) -> bool:
        return one(candidate)


class AsyncCallable:
    async def __call__(self, candidate: Candidate) -> bool:
        return one(candidate)


def optional(candidate: Candidate, strict: bool = True) -> bool:
    return one(candidate) and strict


def anything(*args: Any) -> bool:
    return two(*args)


@pytest.mark.parametrize(
    "function",
    [
        two,
        one,
        slow,
        Callable_(),
        AsyncCallable(),
        optional,
        anything,
        partial(optional, strict=True),
        partial(slow),
        lambda candidate: one(candidate),
        lambda candidate: slow("How many?", candidate.answer),
    ],
)
async def test_it_takes_a_candidate_or_a_question_and_an_answer_sync_or_async(
    function: Callable[..., Any], nothing: Means
) -> None:
    verdict = await ask(function, nothing)
    assert verdict.passed is True, verdict.reasons


@pytest.mark.parametrize("function", [lambda: True, lambda a, b, c: True, lambda a, *, b: True])
def test_a_function_with_other_arguments_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(WrongUsage, match="cannot be a verifier"):
        FunctionVerifier(function)


def test_it_is_decisive_unless_told_otherwise() -> None:
    verifier: Verifier = FunctionVerifier(two)
    assert verifier.decisive
    assert not FunctionVerifier(two, decisive=False).decisive


def test_it_has_the_functions_name() -> None:
    assert FunctionVerifier(two).name == "two"
    assert FunctionVerifier(lambda candidate: True).name == "lambda"
    assert FunctionVerifier(Callable_()).name == "Callable_"


class NumpyBool:
    def item(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("result", "score", "passed", "reasons"),
    [
        (True, 1.0, True, ""),
        (False, 0.0, False, ""),
        (1, 1.0, True, ""),
        (0.8, 0.8, None, ""),
        (0.0, 0.0, False, ""),
        ((0.8, "nearly"), 0.8, None, "nearly"),
        ((False, "no unit"), 0.0, False, "no unit"),
        (NumpyBool(), 1.0, True, ""),
        (Verdict(score=0.4, passed=True, reasons="odd"), 0.4, True, "odd"),
    ],
)
async def test_what_it_returns_is_read_as_a_verdict(
    result: Any, score: float, passed: bool | None, reasons: str, nothing: Means
) -> None:
    verdict = await ask(lambda candidate: result, nothing)
    assert (verdict.score, verdict.passed, verdict.reasons) == (score, passed, reasons)


@pytest.mark.parametrize("result", [None, "yes", 1.5, -1, float("nan"), (True, 3), [True]])
async def test_what_cannot_be_read_leaves_the_candidate_unverified(
    result: Any, nothing: Means
) -> None:
    verdict = await ask(lambda candidate: result, nothing)
    assert (verdict.score, verdict.passed) == (0.5, None)
    assert "lambda failed" in verdict.reasons


async def test_what_it_raises_is_the_reason(nothing: Means) -> None:
    def broken(candidate: Candidate) -> bool:
        raise KeyError("unit")

    verdict = await ask(broken, nothing)
    assert verdict.passed is None
    assert "the verifier broken failed: KeyError: 'unit'" in verdict.reasons


async def test_an_interrupt_of_the_graph_comes_out(nothing: Means) -> None:
    async def asks_a_person(candidate: Candidate) -> bool:
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        await ask(asks_a_person, nothing)


async def test_a_sync_function_does_not_run_in_the_event_loops_thread(nothing: Means) -> None:
    here = threading.get_ident()
    assert (await ask(lambda candidate: threading.get_ident() != here, nothing)).passed is True


async def test_it_has_as_long_as_the_run_can_spare(nothing: Means) -> None:
    never = threading.Event()
    verdict = await ask(lambda candidate: never.wait(30), replace(nothing, seconds=0.05))
    never.set()
    assert verdict.passed is None
    assert "TimeoutError" in verdict.reasons
