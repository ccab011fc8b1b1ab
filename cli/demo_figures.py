"""What the runs of the demo come to: right answers, tokens, and what more compute bought. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..agents import Answer


@dataclass(frozen=True, slots=True)
class Way:
    """One way to spend compute on a question."""

    name: str
    depth: str
    style: str
    """Its colour on a terminal."""
    verifier: str | None = None


WAYS = (
    Way("direct", "direct", "bold"),
    Way("vote", "vote", "cyan"),
    Way("vote+equations", "vote", "blue", "equations"),
    Way("reflect", "reflect", "magenta", "equations"),
    Way("search", "search", "yellow", "equations"),
    Way("auto", "auto", "green", "equations"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One problem answered in one way."""

    way: str
    number: int
    """Of the problem, from 1."""
    question: str
    truth: int
    answer: Answer
    right: bool
    cut: bool
    """The demo's budget ended it before it was done."""


@dataclass(frozen=True, slots=True)
class Score:
    """One way on the problems that are compared."""

    way: Way
    right: int
    count: int
    tokens: float
    """For each question."""
    calls: float
    """For each question."""

    @property
    def share(self) -> float:
        """Right answers, from 0 to 1."""
        return self.right / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the share."""
        return wilson(self.right, self.count)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson, 1927)."""
    z = 1.96
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / count / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def compared(done: Sequence[Asked]) -> list[int]:
    """The problems that every way has answered, before the first that the budget cut.

    All ways are judged on the same problems, and none is left out for being dear.
    """
    first_cut = min((asked.number for asked in done if asked.cut), default=math.inf)
    ways: dict[int, set[str]] = {}
    for asked in done:
        ways.setdefault(asked.number, set()).add(asked.way)
    return sorted(n for n, seen in ways.items() if n < first_cut and len(seen) == len(WAYS))


def scores(done: Sequence[Asked]) -> list[Score]:
    """Each way on the problems that are compared; empty while there are none."""
    numbers = set(compared(done))
    return [_score(way, done, numbers) for way in WAYS] if numbers else []


def _score(way: Way, done: Sequence[Asked], numbers: set[int]) -> Score:
    mine = [asked for asked in done if asked.way == way.name and asked.number in numbers]
    count = len(mine)
    return Score(
        way,
        right=sum(asked.right for asked in mine),
        count=count,
        tokens=sum(asked.answer.usage.total_tokens for asked in mine) / count,
        calls=sum(asked.answer.usage.calls for asked in mine) / count,
    )


def lesson(done: Sequence[Asked]) -> str:
    """What more compute than one call bought, in one sentence of figures."""
    table = scores(done)
    if not table:
        return "The budget ended before every way had answered one problem: nothing to compare."
    direct, *others = table
    best = max(others, key=lambda score: (score.right, -score.tokens))
    times = best.tokens / direct.tokens
    had = f"{direct.right} of {direct.count}"
    if best.right <= direct.right:
        return (
            f"No way got more right than direct ({had}): {best.way.name} got {best.right} for "
            f"{times:.1f} times the tokens, so more compute is not better by itself."
        )
    won, lost = _changed(done, best.way.name)
    chance = _sign_test(won, lost) * len(others)  # Bonferroni: it is the best of several.
    sure = "more than chance explains." if chance < 0.05 else "so few that it may still be chance."
    return (
        f"More compute bought {best.right - direct.right} more right answers: {best.way.name} got "
        f"{best.right} of {best.count} and direct {direct.right}, for {times:.1f} times the "
        f"tokens; it gained {won} and lost {lost}, {sure}"
    )


def _changed(done: Sequence[Asked], name: str) -> tuple[int, int]:
    """Problems that only this way got right, and that only direct got right."""
    right = {(asked.way, asked.number): asked.right for asked in done}
    pairs = [(right[name, number], right["direct", number]) for number in compared(done)]
    return pairs.count((True, False)), pairs.count((False, True))


def _sign_test(won: int, lost: int) -> float:
    """Probability of a difference as large as this, either way, if both were equally good."""
    count = won + lost
    tail = sum(math.comb(count, k) for k in range(max(won, lost), count + 1)) / math.exp2(count)
    return min(1.0, 2 * tail)
