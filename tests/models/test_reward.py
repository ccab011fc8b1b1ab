"""Reward models: what goes out, what comes back, and what each scoring is charged."""

import asyncio
import contextlib
import itertools
import json
import math
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from leftovers import QUICK, check_books, until
from reward_server import FAULTS, SPENDING, RewardServer

from mull.budgets import Budget, BudgetExhausted, Entry, Ledger, Price
from mull.errors import WrongUsage
from mull.models import (
    Backend,
    BackendError,
    BackendFailed,
    BadRequest,
    DeadlineReached,
    KeyRefused,
    MalformedReply,
    RewardModel,
    Unreachable,
)
from mull.models.scores import by_step, last, listed, logistic, prompt_tokens

QUESTION = "What is 12 + 30?"
ANSWERS = ["42", "Forty-two", "43 or so"]
DOORS = ["/score", "/v1/rerank", "/pooling"]
STYLES = [("score", "/score"), ("rerank", "/v1/rerank"), ("pooling", "/pooling")]


@pytest.fixture
async def rewards() -> AsyncIterator[RewardServer]:
    """A reward server on a free port, with the door `/score`."""
    async with RewardServer() as running:
        yield running


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    """A ledger without limits, whose books must balance at the end."""
    kept = Ledger()
    yield kept
    check_books(kept)


def reward_model(rewards: RewardServer, *, concurrency: int = 64, **more: Any) -> RewardModel:
    return RewardModel(
        "rm", Backend(rewards.base_url, concurrency=concurrency), retry=QUICK, **more
    )


def open_door(rewards: RewardServer, door: str) -> None:
    """Only this door is there; every answer is worth its length in hundredths."""
    rewards.doors = {door}
    if door == "/pooling":
        rewards.value = lambda question, answer: [[0.0], [len(answer) / 100]]


# What comes back


@pytest.mark.parametrize("door", DOORS)
async def test_scores_come_in_the_order_of_the_answers(
    door: str, rewards: RewardServer, ledger: Ledger
) -> None:
    open_door(rewards, door)
    scores = await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert scores == [len(answer) / 100 for answer in ANSWERS]


async def test_values_outside_0_and_1_go_through_the_logistic_all_of_them(
    rewards: RewardServer, ledger: Ledger
) -> None:
    raw = {"42": 3.5, "Forty-two": 0.9, "43 or so": -2}
    rewards.value = lambda question, answer: raw[answer]
    model = reward_model(rewards)
    scores = await model.score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert scores == [pytest.approx(1 / (1 + math.exp(-raw[answer]))) for answer in ANSWERS]
    # It gives logits, so its values between 0 and 1 are logits too.
    (alone,) = await model.score(QUESTION, ["Forty-two"], ledger=ledger, call_id="d")
    assert alone == scores[1]


async def test_a_model_known_to_give_logits_is_read_so_from_the_first_call(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.value = lambda question, answer: 0.5
    model = reward_model(rewards, logits=True)
    scores = await model.score(QUESTION, ["42"], ledger=ledger, call_id="c")
    assert scores == [logistic(0.5)]


async def test_sglangs_bare_list_is_read_too(rewards: RewardServer, ledger: Ledger) -> None:
    rewards.doors = {"/v1/rerank"}
    rewards.shape = lambda items: [
        {"score": item["relevance_score"], "index": item["index"]} for item in items
    ]
    scores = await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert scores == [len(answer) / 100 for answer in ANSWERS]


@pytest.mark.parametrize("data", [[0.1, 0.7], [[0.1], [0.7]], [[0.9, 0.1], [0.3, 0.7]]])
async def test_the_reward_from_pooling_is_the_value_at_the_end(
    data: Any, rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.doors, rewards.value = {"/pooling"}, lambda question, answer: data
    scores = await reward_model(rewards).score(QUESTION, ["42"], ledger=ledger, call_id="c")
    assert scores == [0.7]


async def test_no_answers_are_no_call(rewards: RewardServer, ledger: Ledger) -> None:
    model = reward_model(rewards)
    assert await model.score(QUESTION, [], ledger=ledger, call_id="c") == []
    assert await model.score_steps(QUESTION, [], ledger=ledger, call_id="d") == []
    assert rewards.requests == []


# Process reward


def by_tag(tag: str) -> Any:
    """A process reward model: two labels at each tag, the good one grows with what came before."""

    def value(question: str, answer: str) -> list[list[float]]:
        ends = list(itertools.accumulate(len(part) + len(tag) for part in answer.split(tag)[:-1]))
        return [[1 - end / 1000, end / 1000] for end in ends]

    return value


STEPS = ["12 + 30 is 10 + 32.", "That is 42.", "Answer: 42"]


async def test_a_process_reward_model_scores_each_step_in_one_request(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.doors, rewards.value = {"/pooling"}, by_tag("<extra_0>")
    model = reward_model(rewards, step_tag="<extra_0>")
    scores = await model.score_steps(QUESTION, STEPS, ledger=ledger, call_id="c")
    ends = itertools.accumulate(len(step) + len("<extra_0>") for step in STEPS)
    assert scores == [end / 1000 for end in ends]
    assert len(rewards.requests) == 1


async def test_the_label_that_means_good_can_be_another(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.doors, rewards.value = {"/pooling"}, by_tag(" ки\n")
    good, bad = (reward_model(rewards, step_tag=" ки\n", positive=at) for at in (0, 1))
    first = await good.score_steps(QUESTION, STEPS, ledger=ledger, call_id="c")
    second = await bad.score_steps(QUESTION, STEPS, ledger=ledger, call_id="d")
    assert [one + other for one, other in zip(first, second, strict=True)] == [1, 1, 1]


async def test_a_process_reward_model_scores_an_answer_at_its_end(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.doors, rewards.value = {"/pooling"}, by_tag("<extra_0>")
    model = reward_model(rewards, step_tag="<extra_0>")
    assert await model.score(QUESTION, ["42"], ledger=ledger, call_id="c") == [0.011]


@pytest.mark.parametrize("step", ["<extra_0>", "so<extra_0><extra_0>", "<extra<extra_0>_0>"])
async def test_a_step_that_holds_the_tag_is_still_one_step(
    step: str, rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.doors, rewards.value = {"/pooling"}, by_tag("<extra_0>")
    model = reward_model(rewards, step_tag="<extra_0>")
    scores = await model.score_steps(step, [step, step], ledger=ledger, call_id="c")
    assert len(scores) == 2


async def test_without_a_tag_each_beginning_is_scored(
    rewards: RewardServer, ledger: Ledger
) -> None:
    scores = await reward_model(rewards).score_steps(
        QUESTION, ["one", "two"], ledger=ledger, call_id="c"
    )
    assert scores == [0.03, 0.08]
    assert rewards.requests[0].body["text_2"] == ["one", "one\n\ntwo"]


async def test_another_number_of_values_than_steps_is_malformed(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.doors, rewards.value = {"/pooling"}, by_tag("<other>")
    model = reward_model(rewards, step_tag="<extra_0>")
    with pytest.raises(MalformedReply, match="step_tag"):
        await model.score_steps(QUESTION, STEPS, ledger=ledger, call_id="c")


def test_a_step_tag_needs_pooling() -> None:
    with pytest.raises(WrongUsage, match="pooling"):
        RewardModel("rm", "http://127.0.0.1:9/v1", style="rerank", step_tag="<extra_0>")


# Which door


@pytest.mark.parametrize(
    "missing",
    [
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (501, "This server does not support reranking."),
        (400, "The model does not support Score API"),
        (422, "Field required"),
    ],
    ids=lambda missing: str(missing[0]),
)
async def test_the_door_is_found_once_and_each_try_is_paid(
    missing: tuple[int, str], rewards: RewardServer, ledger: Ledger
) -> None:
    open_door(rewards, "/pooling")
    rewards.missing = missing
    model = reward_model(rewards)
    for call in "cd":
        await model.score(QUESTION, ["42"], ledger=ledger, call_id=call)
    assert [request.path for request in rewards.requests] == [*DOORS, "/pooling"]
    assert ledger.spent().calls == 4
    assert ledger.spent().total_tokens == rewards.spent_tokens


async def test_calls_that_look_for_the_door_at_the_same_time_find_it_once(
    rewards: RewardServer, ledger: Ledger
) -> None:
    open_door(rewards, "/v1/rerank")
    model = reward_model(rewards)
    await asyncio.gather(
        *(model.score(QUESTION, ANSWERS, ledger=ledger, call_id=f"c{i}") for i in range(8))
    )
    assert sum(request.path == "/score" for request in rewards.requests) == 1


async def test_calls_in_several_event_loops_may_look_for_the_door(rewards: RewardServer) -> None:
    model = reward_model(rewards)

    async def three() -> list[object]:
        calls = (model.score(QUESTION, ["42"], ledger=Ledger(), call_id="c") for _ in range(3))
        return await asyncio.gather(*calls, return_exceptions=True)

    rewards.fail(["status_401"] * 3)
    refused = await asyncio.to_thread(asyncio.run, three())
    assert [type(each) for each in refused] == [KeyRefused] * 3
    assert await asyncio.to_thread(asyncio.run, three()) == [[0.02]] * 3


async def test_a_server_without_any_door_is_an_error_that_says_so(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.doors = set()
    with pytest.raises(BadRequest, match="none of /score, /rerank and /pooling"):
        await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert ledger.spent().total_tokens == 0


async def test_llama_cpp_without_a_reranker_has_no_door(demo_url: str, ledger: Ledger) -> None:
    model = RewardModel("demo", demo_url, retry=QUICK)
    with pytest.raises(BadRequest, match="none of /score, /rerank and /pooling"):
        await model.score(QUESTION, ["42"], ledger=ledger, call_id="c")
    assert (ledger.spent().calls, ledger.spent().total_tokens) == (3, 0)
    await model.aclose()


async def test_a_refused_key_is_no_reason_to_try_another_door(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.fail(["status_401"])
    with pytest.raises(KeyRefused):
        await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert len(rewards.requests) == 1


@pytest.mark.parametrize(("style", "door"), STYLES)
async def test_a_named_style_is_used_at_once(
    style: Any, door: str, rewards: RewardServer, ledger: Ledger
) -> None:
    open_door(rewards, door)
    model = reward_model(rewards, style=style)
    await model.score(QUESTION, ["42"], ledger=ledger, call_id="c")
    assert [request.path for request in rewards.requests] == [door]


# What it is charged


@pytest.mark.parametrize("door", DOORS)
async def test_it_is_charged_what_the_server_counts(
    door: str, rewards: RewardServer, ledger: Ledger
) -> None:
    open_door(rewards, door)
    price = Price(input=Decimal(2))
    model = reward_model(rewards, price=price)
    await model.score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    spent = ledger.spent()
    assert spent.input_tokens == spent.total_tokens == rewards.spent_tokens > 0
    assert spent.cost == price.cost(rewards.spent_tokens, 0)
    assert spent.wasted_tokens == 0


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": 1}, {"prompt_tokens": -5}, {"prompt_tokens": True}],
    ids=str,
)
async def test_a_usage_that_cannot_be_true_is_replaced_by_the_bound(
    usage: Any, rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.usage = lambda tokens: usage
    answers = ["forty-two " * 40]
    await reward_model(rewards).score(QUESTION, answers, ledger=ledger, call_id="c")
    (entry,) = ledger.journal()
    assert entry.usage.input_tokens == entry.bound.input_tokens >= rewards.spent_tokens


async def test_a_usage_of_only_total_tokens_is_read(rewards: RewardServer, ledger: Ledger) -> None:
    rewards.usage = lambda tokens: {"total_tokens": tokens}
    await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert ledger.spent().total_tokens == rewards.spent_tokens


@pytest.mark.parametrize(("style", "door"), STYLES)
async def test_a_budget_that_cannot_pay_all_answers_sends_nothing(
    style: Any, door: str, rewards: RewardServer
) -> None:
    open_door(rewards, door)
    ledger = Ledger(Budget(tokens=300))
    with pytest.raises(BudgetExhausted):
        await reward_model(rewards, style=style).score(
            QUESTION, ANSWERS, ledger=ledger, call_id="c"
        )
    assert rewards.requests == []
    check_books(ledger)


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=4))
def test_the_bytes_bound_what_any_byte_level_tokenizer_counts(
    question: str, answers: list[str]
) -> None:
    async def scored() -> tuple[list[Entry], RewardServer]:
        async with RewardServer() as rewards:
            ledger = Ledger()
            model = reward_model(rewards)
            await model.score(question, answers, ledger=ledger, call_id="c")
            await model.aclose()
            return ledger.journal(), rewards

    journal, rewards = asyncio.run(scored())
    assert sum(entry.bound.input_tokens for entry in journal) >= rewards.spent_tokens
    assert sum(entry.usage.input_tokens for entry in journal) == rewards.spent_tokens


async def test_a_lone_surrogate_is_no_reason_to_fail(rewards: RewardServer, ledger: Ledger) -> None:
    model = reward_model(rewards)
    assert await model.score("\ud800", ["\udfff"], ledger=ledger, call_id="c") == [0.01]


@pytest.mark.parametrize("tokens", [500, 5_000, 50_000])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("door", DOORS)
async def test_32_parallel_scorings_with_failures_never_spend_more_than_the_budget(
    tokens: int, seed: int, door: str, rewards: RewardServer
) -> None:
    """What the server really read ≤ what was charged ≤ the budget."""
    open_door(rewards, door)
    rng = random.Random(seed)
    faults = sorted(FAULTS - {"hang", "status_401"})
    rewards.fail(rng.choice([*faults, *["none"] * 6]) for _ in itertools.count())
    rewards.delay = 0.001
    ledger = Ledger(Budget(tokens=tokens))
    model = reward_model(rewards, concurrency=8)

    async def branch(number: int) -> None:
        own, words = ledger.child(f"branch{number}"), random.Random(f"{seed}/{number}")
        for call in range(6):
            answers = ["word " * words.randint(0, 30) for _ in range(words.randint(1, 4))]
            try:
                await model.score(QUESTION, answers, ledger=own, call_id=f"c{call}")
            except BudgetExhausted:
                return
            except BackendError:
                continue

    await asyncio.gather(*(branch(number) for number in range(32)))
    assert rewards.spent_tokens <= ledger.spent().total_tokens <= tokens
    assert rewards.peak_active <= 8
    assert rewards.spent_tokens > 0
    check_books(ledger)


# Failures


@pytest.mark.parametrize("fault", ["status_429", "status_500", "status_503", "reset"])
async def test_what_may_pass_is_tried_again_and_each_attempt_is_paid(
    fault: str, rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.fail([fault])
    scores = await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert len(scores) == 3
    assert [entry.call_id for entry in ledger.journal()] == ["c/score#1", "c/score#2"]
    first = ledger.journal()[0].usage
    assert first.calls == 1
    assert (first.wasted_tokens > 0) == (fault in SPENDING)
    assert ledger.spent().total_tokens >= rewards.spent_tokens


async def test_only_the_answers_that_failed_are_scored_again(
    rewards: RewardServer, ledger: Ledger
) -> None:
    open_door(rewards, "/pooling")
    rewards.fail(["none", "status_500", "none"])
    model = reward_model(rewards, style="pooling", concurrency=1)
    scores = await model.score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert scores == [len(answer) / 100 for answer in ANSWERS]
    assert [entry.bound.calls for entry in ledger.journal()] == [3, 1]


async def test_a_server_that_stays_broken_is_given_up(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.fail(itertools.repeat("status_500"))
    with pytest.raises(BackendFailed):
        await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert len(rewards.requests) == QUICK.attempts


@pytest.mark.parametrize("fault", ["not_json", "no_scores"])
async def test_an_answer_that_makes_no_sense_is_malformed_and_paid(
    fault: str, rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.fail([fault])
    with pytest.raises(MalformedReply):
        await reward_model(rewards).score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert len(rewards.requests) == 1
    spent = ledger.spent()
    assert spent.wasted_tokens == spent.total_tokens >= rewards.spent_tokens > 0


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5", True, [0.5], {}], ids=str)
async def test_a_score_that_is_no_finite_number_is_malformed(
    value: Any, rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.value = lambda question, answer: value
    with pytest.raises(MalformedReply):
        await reward_model(rewards).score(QUESTION, ["42"], ledger=ledger, call_id="c")


async def test_nobody_at_the_address_costs_nothing(ledger: Ledger) -> None:
    model = RewardModel("rm", "http://127.0.0.1:9/v1", retry=QUICK)
    with pytest.raises(Unreachable):
        await model.score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert ledger.spent().calls == 0


async def test_a_scoring_whose_time_is_up_closes_its_connections_and_is_paid(
    rewards: RewardServer,
) -> None:
    open_door(rewards, "/pooling")
    rewards.fail(itertools.repeat("hang"))
    ledger = Ledger(Budget(seconds=0.3))
    model = reward_model(rewards, style="pooling")
    with pytest.raises(DeadlineReached):
        await model.score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    await until(lambda: len(rewards.requests) == 3 and all(r.aborted for r in rewards.requests))
    spent = ledger.spent()
    assert spent.wasted_tokens == spent.total_tokens >= rewards.spent_tokens > 0
    check_books(ledger)


async def test_a_cancelled_scoring_closes_its_connection_and_is_paid(
    rewards: RewardServer, ledger: Ledger
) -> None:
    rewards.fail(["hang"])
    model = reward_model(rewards)
    task = asyncio.create_task(model.score(QUESTION, ANSWERS, ledger=ledger, call_id="c"))
    await until(lambda: rewards.active == 1)
    task.cancel()
    await until(lambda: rewards.requests[0].aborted)
    assert task.cancelled()
    assert ledger.spent().total_tokens >= rewards.spent_tokens > 0


async def test_what_was_never_sent_costs_nothing(rewards: RewardServer, ledger: Ledger) -> None:
    rewards.fail(["hang", "hang"])
    model = reward_model(rewards, style="score", concurrency=1)
    first, second = (
        asyncio.create_task(model.score(QUESTION, ANSWERS, ledger=ledger, call_id=name))
        for name in ("first", "second")
    )
    await until(lambda: rewards.active == 1 and len(ledger.journal()) == 2)
    second.cancel()
    await asyncio.wait([second])
    assert ledger.spent().calls == ledger.spent().total_tokens == 0
    first.cancel()
    await asyncio.wait([first])
    assert len(rewards.requests) == 1


async def test_a_call_id_that_was_used_before_goes_on_with_the_next_number(
    rewards: RewardServer, ledger: Ledger
) -> None:
    model = reward_model(rewards, style="score")
    for _ in range(2):
        await model.score(QUESTION, ANSWERS, ledger=ledger, call_id="c")
    assert [entry.call_id for entry in ledger.journal()] == ["c#1", "c#2"]


# The readers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "results", "index", "score", "relevance_score", "usage"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_nothing_but_value_errors_and_finite_numbers_come_out_of_any_json(reply: Any) -> None:
    values: list[float] = []
    with contextlib.suppress(ValueError):
        values += listed(reply, 2)
    with contextlib.suppress(ValueError):
        values += [last(reply, -1)]
    with contextlib.suppress(ValueError):
        values += by_step(reply, 0, 2)
    assert all(math.isfinite(value) for value in values)
    assert (prompt_tokens(reply) or 0) >= 0


def test_a_number_too_large_for_a_float_is_a_value_error() -> None:
    reply = json.loads('{"data": [{"score": 1%s}]}' % ("0" * 400))
    with pytest.raises(ValueError, match="finite"):
        listed(reply, 1)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_the_logistic_keeps_the_order_and_stays_within_0_and_1(one: float, other: float) -> None:
    assert 0 <= logistic(min(one, other)) <= logistic(max(one, other)) <= 1
