"""The vote graph, end to end on recorded samples, stops where the stopping rule says."""

import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mull.graphs.comparison import canonical

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT))
from benchmarks.replay import Driven, Order, drive, label, question_about  # noqa: E402
from benchmarks.rules import Settled  # noqa: E402
from benchmarks.stopping import POOLS, first_verified, load, replay  # noqa: E402

HORIZON = 12


@pytest.fixture(scope="module")
def aqua() -> list[Order]:
    """A dozen questions from all over the pool, the first of which has few answers; short texts."""
    chosen = load(POOLS / "aqua_codex_pot_n30.jsonl", 1, 30, 0)[::22]
    return [replace(order, lengths=(8,) * len(order.answers)) for order in chosen]


@pytest.fixture(scope="module")
def close_calls() -> list[Order]:
    """Orders of two answers and of blanks, in which ties are common and some have no answer."""
    drawn = random.Random(0)
    orders = []
    for number in range(24):
        answers = tuple(drawn.choices(["a", "b", None], [2, 2, number % 4], k=HORIZON))
        correct = tuple(answer == "a" for answer in answers)
        orders.append(Order(f"close/{number}", answers, correct, (8,) * HORIZON))
    nothing: tuple[None, ...] = (None,) * HORIZON
    return [*orders, Order("nothing", nothing, (False,) * HORIZON, (8,) * HORIZON)]


async def test_one_chain_at_a_time_stops_where_the_rule_stops(aqua: list[Order]) -> None:
    expected = replay(Settled(), aqua)
    assert len({result.samples for result in expected}) > 3, "the orders should differ"
    assert results(await drive(aqua, at_once=1)) == expected


async def test_ties_and_blanks_end_as_the_rule_ends_them(close_calls: list[Order]) -> None:
    done = await drive(close_calls, at_once=1)
    assert results(done) == replay(Settled(), close_calls)


async def test_waves_of_its_own_size_draw_no_more_than_the_rule_and_waste_nothing(
    aqua: list[Order],
) -> None:
    done = await drive(aqua, at_once=None)
    drawn = [result.samples for result in replay(Settled(), aqua)]
    assert [each.result.samples for each in done] == drawn
    assert sum(each.spent.wasted_tokens for each in done) == 0
    assert sum(each.waves for each in done) < sum(drawn)


async def test_with_a_decisive_verifier_the_first_sample_that_passes_ends_it(
    close_calls: list[Order],
) -> None:
    done = await drive(close_calls, at_once=1, checked=True)
    assert results(done) == first_verified(close_calls)


def test_no_two_labels_are_the_same_answer() -> None:
    keys = {canonical(label(number), question_about(number)) for number in range(2000)}
    assert len(keys - {None}) == 2000


def results(done: Sequence[Driven]) -> list[object]:
    """What came of each order."""
    return [each.result for each in done]
