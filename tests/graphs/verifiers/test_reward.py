"""Reward: the score of a reward model, from a server that speaks like vLLM's `/score`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from mull.budgets import Budget, Ledger
from mull.errors import WrongUsage
from mull.graphs.verifiers import Candidate, Means, Reward, Verifier, verify
from mull.models import Model, RewardModel

CANDIDATE = Candidate(question="How many?", text="12+5=17\nAnswer: 17")


@pytest.fixture
async def rewards() -> AsyncIterator[tuple[RewardModel, list[Any]]]:
    """A reward model that gives 0.75 to everything, and what it was asked."""
    asked: list[Any] = []

    async def score(request: web.Request) -> web.Response:
        asked.append(await request.json())
        usage = {"prompt_tokens": 20, "total_tokens": 20}
        return web.json_response({"data": [{"index": 0, "score": 0.75}], "usage": usage})

    app = web.Application()
    app.router.add_post("/score", score)
    app.router.add_post("/v1/score", score)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    model = RewardModel("rm", f"http://{host}:{port}/v1", style="score")
    yield model, asked
    await model.backend.aclose()
    await runner.cleanup()


def means() -> Means:
    return Means(ledger=Ledger(), model=Model("m", "http://127.0.0.1:9/v1"))


def test_it_weighs_and_does_not_settle_the_question() -> None:
    verifier: Verifier = Reward(RewardModel("rm", "http://127.0.0.1:9/v1"))
    assert not verifier.decisive


async def test_without_a_threshold_there_is_only_a_score(
    rewards: tuple[RewardModel, list[Any]],
) -> None:
    verdict = await Reward(rewards[0]).verify(CANDIDATE, means())
    assert (verdict.score, verdict.passed) == (0.75, None)


@pytest.mark.parametrize(("threshold", "passed"), [(0.75, True), (0.8, False)])
async def test_a_threshold_makes_it_pass_or_fail(
    threshold: float, passed: bool, rewards: tuple[RewardModel, list[Any]]
) -> None:
    verdict = await Reward(rewards[0], threshold=threshold).verify(CANDIDATE, means())
    assert verdict.passed is passed


async def test_the_whole_text_is_scored_for_its_question_and_paid(
    rewards: tuple[RewardModel, list[Any]],
) -> None:
    paid = means()
    await Reward(rewards[0]).verify(CANDIDATE, paid)
    [body] = rewards[1]
    assert (body["text_1"], body["text_2"]) == ("How many?", [CANDIDATE.text])
    assert paid.ledger.spent().calls == 1


async def test_nothing_is_sent_that_the_budget_cannot_pay(
    rewards: tuple[RewardModel, list[Any]],
) -> None:
    verdict = await verify(
        Reward(rewards[0]),
        CANDIDATE,
        ledger=Ledger(Budget(calls=0)),
        model=means().model,
        name="v",
    )
    assert verdict.passed is None
    assert rewards[1] == []


def test_a_threshold_that_is_no_score_is_refused() -> None:
    with pytest.raises(WrongUsage):
        Reward(RewardModel("rm", "http://127.0.0.1:9/v1"), threshold=7)
