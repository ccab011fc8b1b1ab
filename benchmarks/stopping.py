"""Accuracy and mean samples of stopping rules for a vote, replayed on recorded samples.

    python benchmarks/stopping.py [POOL.jsonl ...] [--orders 20] [--samples N] [--seed 0]
                                  [--end-to-end ORDERS]

Each question's samples are shuffled, and a rule sees them one by one until it stops or N are drawn;
then the majority answers. All rules see the same orders. A pool's format: `pools/README.md`.

Brackets: 95 % confidence interval over questions (bootstrap). The accuracy beside that of the full
vote is compared order by order, so that its interval is the one that counts. AC is
Adaptive-Consistency.

The second table is end to end, on other orders (0 leaves it out): the product's vote graph, against
a server that replays the samples. One chain at a time must stop where mull's rule stops, with the
same answer. Figures are means of a question; wasted are the tokens of chains that were cancelled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mull import Usage

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks.replay import Driven, Order, Result, drive
from benchmarks.rules import RULES, AdaptiveConsistency, Majority, Rule, Settled, winner

POOLS = Path(__file__).parent / "pools"
SAMPLES = 40
RESAMPLES = 1000
TYPICAL = 200
"""Characters of a sample, where a pool does not say."""
CHECKED = ("game24",)
"""Pools whose answers a program can check without knowing the right one, by their names' start."""
WAVES = {"one chain at a time": 1, "waves of its own size": None, "8 chains at once": 8}
"""How many chains the product has in flight."""
FIRST_VERIFIED = ("one chain at a time", "waves of its own size")
"""Of these, the ones that are tried with a verifier."""


def load(path: Path, orders: int, samples: int, seed: int) -> list[Order]:
    """Each of a pool's questions in so many random orders, cut at the horizon."""
    shuffle = random.Random(f"{seed} {path.name}")
    drawn = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        lengths = row.get("n_chars") or [TYPICAL] * len(row["answers"])
        recorded = list(zip(row["answers"], map(bool, row["correct"]), lengths, strict=True))
        for _ in range(orders):
            chosen = shuffle.sample(recorded, min(samples, len(recorded)))
            drawn.append(Order(row["id"], *zip(*chosen, strict=True)))
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


def main(paths: Sequence[Path], orders: int, samples: int, seed: int, end_to_end: int) -> None:
    """Replay every rule on every pool, and print its tables."""
    console = Console(width=None if sys.stdout.isatty() else 130)
    for path in paths:
        drawn = load(path, orders, samples, seed)
        results = {rule.name: replay(rule, drawn) for rule in RULES}
        checked = path.name.startswith(CHECKED)
        if checked:
            results["first verified"] = first_verified(drawn)
        horizon = max(len(order.answers) for order in drawn)
        title = f"{path.stem}: {len(drawn) // orders} questions, {horizon} samples"
        console.print(_table(f"{title}, {orders} orders", results, seed))
        if end_to_end:
            served = load(path, end_to_end, samples, seed)
            title = f"{title}, end to end, orders: {end_to_end}"
            console.print(asyncio.run(_served(title, served, checked)))


async def _served(title: str, orders: Sequence[Order], checked: bool) -> Table:
    """The product on each order, beside the rule that it should keep to."""
    table = Table(
        "vote",
        "stops as the rule",
        "accuracy %",
        "samples",
        "waves",
        "requests",
        "tokens",
        "wasted %",
        title=title,
    )
    settled = replay(Settled(), orders)
    for name, at_once in WAVES.items():
        table.add_row(name, *_cells(await drive(orders, at_once=at_once), settled))
    if checked:
        verified = first_verified(orders)
        for name in FIRST_VERIFIED:
            done = await drive(orders, at_once=WAVES[name], checked=True)
            table.add_row(f"{name}, verified", *_cells(done, verified))
    return table


def _cells(done: Sequence[Driven], expected: Sequence[Result]) -> list[str]:
    """Figures of one row."""
    spent = sum((each.spent for each in done), Usage())
    count = len(done)
    same = sum(each.result == result for each, result in zip(done, expected, strict=True))
    return [
        f"{same} of {count}",
        f"{100 * sum(each.result.right for each in done) / count:.2f}",
        f"{sum(each.result.samples for each in done) / count:.2f}",
        f"{sum(each.waves for each in done) / count:.2f}",
        f"{spent.calls / count:.2f}",
        f"{spent.total_tokens / count:.0f}",
        f"{100 * spent.wasted_tokens / spent.total_tokens:.1f}",
    ]


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
    parser.add_argument("--end-to-end", type=int, default=1, metavar="ORDERS")
    given = parser.parse_args()
    main(given.pools, given.orders, given.samples, given.seed, given.end_to_end)
