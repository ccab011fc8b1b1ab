"""verify and resolve_verifier: what a verification costs, and which verifier is meant."""

from __future__ import annotations

import pytest
from fault_server import FaultServer
from leftovers import Leftovers

from mull.budgets import Budget
from mull.errors import WrongUsage
from mull.graphs.verifiers import (
    Candidate,
    CodeCheck,
    Equations,
    FunctionVerifier,
    Judge,
    Means,
    Verdict,
    resolve_verifier,
    verify,
)
from mull.models import Request, user

CANDIDATE = Candidate(question="How many?", text="12+5=17\nAnswer: 17")


async def test_the_verdict_says_who_gave_it_and_what_it_cost(
    leftovers: Leftovers, server: FaultServer
) -> None:
    server.reply = "Score: 9"
    ledger = leftovers.ledger()
    verdict = await verify(
        Judge(), CANDIDATE, ledger=ledger, model=leftovers.model(), name="judge.1"
    )
    assert (verdict.verifier, verdict.passed) == ("judge", True)
    assert verdict.usage.calls == 1
    assert verdict.usage.total_tokens == ledger.spent().total_tokens > 0
    assert [entry.call_id for entry in ledger.journal()] == ["judge.1/judge.score#1"]


async def test_a_budget_that_cannot_pay_leaves_the_candidate_unverified(
    leftovers: Leftovers, server: FaultServer
) -> None:
    ledger = leftovers.ledger(Budget(tokens=10))
    verdict = await verify(Judge(), CANDIDATE, ledger=ledger, model=leftovers.model(), name="v")
    assert (verdict.score, verdict.passed) == (0.5, None)
    assert "budget" in verdict.reasons
    assert server.requests == []


async def test_a_backend_that_fails_leaves_the_candidate_unverified(
    leftovers: Leftovers, server: FaultServer
) -> None:
    server.fault = "status_400"
    verdict = await verify(
        Judge(), CANDIDATE, ledger=leftovers.ledger(), model=leftovers.model(), name="v"
    )
    assert verdict.passed is None
    assert verdict.reasons.startswith("not verified: ")


async def test_a_verifier_does_not_take_longer_than_the_run_can_spare(
    leftovers: Leftovers, server: FaultServer
) -> None:
    server.fault = "hang_before_headers"
    verdict = await verify(
        Judge(),
        CANDIDATE,
        ledger=leftovers.ledger(),
        model=leftovers.model(),
        name="v",
        seconds=0.1,
    )
    assert verdict.passed is None


class Broken:
    name = "broken"
    decisive = True

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        raise ZeroDivisionError


async def test_other_errors_come_out(leftovers: Leftovers) -> None:
    with pytest.raises(ZeroDivisionError):
        await verify(
            Broken(), CANDIDATE, ledger=leftovers.ledger(), model=leftovers.model(), name="v"
        )


async def test_two_calls_with_one_id_are_two_calls(means: Means, server: FaultServer) -> None:
    for _ in range(2):
        await means.ask(Request(messages=[user("Hello")]), "same")
    assert len(server.requests) == 2


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_verdicts_score_is_between_0_and_1(score: float) -> None:
    with pytest.raises(WrongUsage, match="from 0 to 1"):
        Verdict(score=score, passed=None)


@pytest.mark.parametrize(
    ("name", "kind"), [("equations", Equations), ("code", CodeCheck), ("judge", Judge)]
)
def test_a_name_means_a_verifier(name: str, kind: type) -> None:
    verifier = resolve_verifier(name)
    assert isinstance(verifier, kind)
    assert verifier.name == name


def test_a_verifier_is_taken_as_it_is() -> None:
    verifier = Broken()
    assert resolve_verifier(verifier) is verifier


def test_a_function_becomes_a_verifier() -> None:
    assert isinstance(resolve_verifier(lambda question, answer: True), FunctionVerifier)


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(WrongUsage, match="equations, code, judge"):
        resolve_verifier("oracle")


def test_a_class_is_refused_with_a_hint() -> None:
    with pytest.raises(WrongUsage, match=r"Judge\(…\)"):
        resolve_verifier(Judge)
