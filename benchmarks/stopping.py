"""Accuracy and mean samples of stopping rules for a vote, replayed on recorded samples.

    python benchmarks/stopping.py [POOL.jsonl ...] [--orders 20] [--samples N] [--seed 0]

Each question's samples are shuffled, and a rule sees them one by one until it stops or N are drawn;
then the majority answers. All rules see the same orders. A pool's format: `pools/README.md`.

Brackets: 95 % confidence interval over questions (bootstrap). The accuracy beside that of the full
vote is compared order by order, so that its interval is the one that counts. AC is
Adaptive-Consistency.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks.rules import RULES, AdaptiveConsistency, Majority, Rule, winner

POOLS = Path(__file__).parent / "pools"
SAMPLES = 40
RESAMPLES = 1000
CHECKED = ("game24",)
"""Pools whose answers a program can check without knowing the right one, by their names' start."""


@dataclass(frozen=True)
class Order:
    """One question's samples, in the order in which they are drawn."""

    question: str
    answers: tuple[str | None, ...]
    correct: tuple[bool, ...]


@dataclass(frozen=True)
class Result:
    """What a rule made of an order."""

    question: str
    samples: int
    answer: str | None
    right: bool


def load(path: Path, orders: int, samples: int, seed: int) -> list[Order]:
    """Each of a pool's questions in so many random orders, cut at the horizon."""
    shuffle = random.Random(f"{seed} {path.name}")
    drawn = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        pairs = list(zip(row["answers"], map(bool, row["correct"]), strict=True))
        for _ in range(orders):
            answers, correct = zip(*shuffle.sample(pairs, min(samples, len(pairs))), strict=True)
            drawn.append(Order(row["id"], answers, correct))
    return drawn


def replay(rule: Rule, orders: Sequence[Order]) -> list[Result]:
    """The rule on each order."""
    return [_replay_one(rule, order) for order in orders]


def first_verified(orders: Sequence[Order]) -> list[Result]:
    """Stopping at the first sample that a checker accepts; without one, nothing is answered."""
    results = []
    for order in orders:
        total = len(order.answers)
        at = next((n for n in range(total) if order.correct[n]), None)
        results.append(
            Result(order.question, total, None, False)
            if at is None
            else Result(order.question, at + 1, order.answers[at], True)
        )
    return results


def main(paths: Sequence[Path], orders: int, samples: int, seed: int) -> None:
    """Replay every rule on every pool, and print a table for each."""
    for path in paths:
        drawn = load(path, orders, samples, seed)
        results = {rule.name: replay(rule, drawn) for rule in RULES}
        if path.name.startswith(CHECKED):
            results["first verified"] = first_verified(drawn)
        horizon = max(len(order.answers) for order in drawn)
        title = f"{path.stem}: {len(drawn) // orders} questions, {horizon} samples, {orders} orders"
        Console(width=None if sys.stdout.isatty() else 130).print(_table(title, results, seed))


def _replay_one(rule: Rule, order: Order) -> Result:
    total = len(order.answers)
    stop = next((n for n in range(1, total) if rule.stops(order.answers[:n], total - n)), total)
    answer = winner(order.answers[:stop])
    right = answer is not None and order.correct[order.answers.index(answer)]
    return Result(order.question, stop, answer, right)


def _table(title: str, results: dict[str, list[Result]], seed: int) -> Table:
    table = Table(
        "rule",
        "accuracy %",
        "points beside full vote",
        "same answer %",
        "samples",
        "% of AC's",
        title=title,
    )
    full, peer = results[Majority().name], results[AdaptiveConsistency().name]
    for name, own in results.items():
        pairs = list(zip(own, full, strict=True))
        same = statistics.mean(result.answer == all_of.answer for result, all_of in pairs)
        gains = [100 * (result.right - all_of.right) for result, all_of in pairs]
        used = statistics.mean(result.samples for result in own)
        table.add_row(
            name,
            _interval(own, [100 * result.right for result in own], seed),
            _interval(own, gains, seed, sign="+"),
            f"{100 * same:.2f}",
            _interval(own, [result.samples for result in own], seed),
            f"{100 * used / statistics.mean(result.samples for result in peer):.1f}",
        )
    return table


def _interval(
    results: Sequence[Result], values: Sequence[float], seed: int, *, sign: str = ""
) -> str:
    """The mean, and the bootstrap's 95 % interval of it over questions."""
    by_question: defaultdict[str, list[float]] = defaultdict(list)
    for result, value in zip(results, values, strict=True):
        by_question[result.question].append(value)
    means = [statistics.fmean(group) for group in by_question.values()]
    draw: Callable[..., list[float]] = random.Random(seed).choices
    again = sorted(statistics.fmean(draw(means, k=len(means))) for _ in range(RESAMPLES))
    low, high = again[int(0.025 * RESAMPLES)], again[int(0.975 * RESAMPLES) - 1]
    return f"{statistics.fmean(means):{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pools", nargs="*", type=Path, default=sorted(POOLS.glob("*.jsonl")))
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.pools, given.orders, given.samples, given.seed)
