"""The search tree as a plain value: what was expanded → what to expand next."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import get_args

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mull.graphs.settings import Algorithm
from mull.graphs.tree import BRANCHING, BREADTH, ROOT, Expansion, Target, in_order, plan

ALGORITHMS: list[Algorithm] = list(get_args(Algorithm))
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def told(wave: int, place: int, target: Target, score: float) -> Expansion:
    """What an expansion of a target is told to the tree as."""
    return {
        "wave": wave,
        "place": place,
        "parent": target["node"],
        "steps": [*target["steps"], f"{wave}.{place}"],
        "score": score,
        "final": False,
        "reasons": f"{score}",
    }


Score = Callable[[int, int], float | None]
"""Wave and place → the score; None: the expansion fails, and leaves no node."""


def grown(
    algorithm: Algorithm, score: Score, *, waves: int, width: int = 4, seed: int = 1
) -> tuple[list[Expansion], list[list[Target]]]:
    """A tree after so many waves, and the targets of each."""
    rows: list[Expansion] = []
    asked = []
    for wave in range(1, waves + 1):
        targets = plan(rows, algorithm, width, seed=seed)
        asked.append(targets)
        for place, target in enumerate(targets):
            if (value := score(wave, place)) is not None:
                rows.append(told(wave, place, target, value))
    return rows, asked


def depth(rows: Sequence[Expansion], node: int) -> int:
    return 0 if node == ROOT else len(in_order(rows)[node]["steps"])


@algorithms
def test_the_first_wave_is_proposed_from_the_root(algorithm: Algorithm) -> None:
    targets = plan([], algorithm, 3)
    assert targets == [Target(node=ROOT, steps=[], final=False, reasons="")] * 3


@algorithms
def test_a_target_is_the_node_that_its_row_tells_of(algorithm: Algorithm) -> None:
    rows, asked = grown(algorithm, lambda wave, place: place / 4, waves=6)
    for target in (target for wave in asked for target in wave if target["node"] != ROOT):
        row = rows[target["node"]]
        assert target["steps"] == row["steps"]
        assert target["reasons"] == row["reasons"]


@algorithms
def test_the_same_rows_and_seed_give_the_same_targets(algorithm: Algorithm) -> None:
    rows, _ = grown(algorithm, lambda wave, place: (wave * place % 5) / 5, waves=5)
    assert plan(rows, algorithm, 4, seed=7) == plan(rows, algorithm, 4, seed=7)


@algorithms
def test_the_order_in_which_rows_came_does_not_matter(algorithm: Algorithm) -> None:
    rows, _ = grown(algorithm, lambda wave, place: (wave * place % 5) / 5, waves=5)
    assert plan(rows[::-1], algorithm, 4, seed=7) == plan(rows, algorithm, 4, seed=7)


def test_another_seed_draws_other_targets() -> None:
    rows, _ = grown("ab-mcts", lambda wave, place: 0.5, waves=4)
    drawn = [plan(rows, "ab-mcts", 4, seed=seed) for seed in range(20)]
    assert any(targets != drawn[0] for targets in drawn)


@algorithms
@pytest.mark.parametrize("seed", [None, 0, -1, 2**70])
def test_numpys_global_generator_is_left_as_it_was(algorithm: Algorithm, seed: int | None) -> None:
    rows, _ = grown(algorithm, lambda wave, place: 0.5, waves=3)
    numpy.random.seed(5)
    expected = numpy.random.random(4)
    numpy.random.seed(5)
    plan(rows, algorithm, 4, seed=seed)
    assert list(numpy.random.random(4)) == list(expected)


def test_without_a_seed_two_searches_are_not_alike() -> None:
    rows, _ = grown("ab-mcts", lambda wave, place: 0.5, waves=5)
    drawn = []
    for _ in range(20):
        numpy.random.seed(5)
        drawn.append(plan(rows, "ab-mcts", 4))
    assert any(targets != drawn[0] for targets in drawn)


SCORES = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.0, 1.0, math.nan, -1.0, 2.0]))


@given(
    st.sampled_from(ALGORITHMS),
    st.lists(
        st.tuples(st.integers(1, 8), st.lists(SCORES, min_size=8, max_size=8)),
        min_size=1,
        max_size=8,
    ),
    st.integers(),
)
def test_whatever_is_scored_and_whatever_fails_there_is_a_next_wave(
    algorithm: Algorithm, script: list[tuple[int, list[float | None]]], seed: int
) -> None:
    rows: list[Expansion] = []
    for wave, (width, scores) in enumerate(script, 1):
        targets = plan(rows, algorithm, width, seed=seed)
        assert 1 <= len(targets) <= width
        assert all(ROOT <= target["node"] < len(rows) for target in targets)
        rows += [
            told(wave, place, target, score)
            for place, (target, score) in enumerate(zip(targets, scores, strict=False))
            if score is not None
        ]
    assert plan(rows, algorithm, 1, seed=seed)


@settings(max_examples=50)
@given(
    st.sampled_from(ALGORITHMS),
    st.integers(1, 8),
    st.integers(1, 60),
    st.randoms(use_true_random=False),
)
def test_a_search_that_is_limited_in_expansions_ends(
    algorithm: Algorithm, width: int, most: int, rng: Random
) -> None:
    rows: list[Expansion] = []
    waves = 0
    while len(rows) < most:
        waves += 1
        targets = plan(rows, algorithm, min(width, most - len(rows)), seed=3)
        rows += [told(waves, n, target, rng.random()) for n, target in enumerate(targets)]
    assert len(rows) == most
    assert waves <= most


def test_breadth_first_proposes_several_first_steps() -> None:
    rows, asked = grown("tot-bfs", lambda wave, place: 0.5, waves=3, width=3)
    first = [target for wave in asked for target in wave if target["node"] == ROOT]
    assert len(first) == BRANCHING
    assert [len(wave) for wave in asked] == [3, 1, 3]
    assert {depth(rows, target["node"]) for target in asked[2]} == {1}


@settings(max_examples=30)
@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_breadth_first_goes_level_by_level(width: int, rng: Random) -> None:
    rows, asked = grown("tot-bfs", lambda wave, place: rng.random(), waves=12, width=width)
    levels = [depth(rows, target["node"]) for wave in asked for target in wave]
    assert levels == sorted(levels)
    sizes = Counter(levels)
    whole = [sizes[level] for level in range(1, max(levels))]
    assert whole == [BREADTH * BRANCHING] * len(whole)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_breadth_first_keeps_the_best_of_each_level(rng: Random) -> None:
    rows, asked = grown("tot-bfs", lambda wave, place: rng.random(), waves=12, width=8)
    targets = [target for wave in asked for target in wave]
    for level in range(1, max(depth(rows, target["node"]) for target in targets)):
        kept = {t["node"] for t in targets if depth(rows, t["node"]) == level}
        best = sorted((row["score"] for row in rows if len(row["steps"]) == level), reverse=True)
        assert sorted((rows[n]["score"] for n in kept), reverse=True) == best[:BREADTH]


def test_breadth_first_fills_the_place_of_what_failed() -> None:
    failing = {(1, 0), (1, 2), (2, 1)}
    rows, asked = grown(
        "tot-bfs", lambda wave, place: None if (wave, place) in failing else 0.5, waves=4
    )
    assert [len(wave) for wave in asked] == [4, 2, 1, 4]
    assert Counter(row["parent"] for row in rows)[ROOT] == BRANCHING


@pytest.mark.parametrize("algorithm", ["mcts", "ab-mcts"])
def test_high_scores_are_gone_on_from_more_than_low_ones(algorithm: Algorithm) -> None:
    good = 2

    def score(wave: int, place: int) -> float:
        return 0.95 if wave == 1 and place == good else 0.05

    visits: Counter[str] = Counter()
    for seed in range(10):
        _, asked = grown(algorithm, score, waves=6, seed=seed)
        visits.update(
            target["steps"][0] for wave in asked[1:] for target in wave if target["steps"]
        )
    assert visits.most_common(1)[0][0] == f"1.{good}"


def test_mcts_expands_a_leaf_by_a_few_steps_at_a_time() -> None:
    _, asked = grown("mcts", lambda wave, place: 0.5, waves=3, width=8)
    for wave in asked:
        assert len(wave) == BRANCHING
        assert len({target["node"] for target in wave}) == 1
