"""Word problems of the form that the embedded model was trained on, each with its answer. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

NAMES = [
    "Tom",
    "Ana",
    "Max",
    "Lea",
    "Ben",
    "Mia",
    "Sam",
    "Zoe",
    "Kim",
    "Raj",
    "Eva",
    "Leo",
    "Ida",
    "Jon",
    "Amy",
    "Dan",
]
THINGS = [
    "apples",
    "books",
    "coins",
    "cards",
    "pens",
    "eggs",
    "cups",
    "nuts",
    "keys",
    "balls",
    "shells",
    "stamps",
]
MORE: tuple[str, ...] = (
    "{name} buys {a} more.",
    "{name} finds {a} more.",
    "A friend gives {name} {a} more.",
    "{name} gets another {a}.",
)
FEWER: tuple[str, ...] = (
    "{name} gives away {a}.",
    "{name} loses {a}.",
    "{name} sells {a}.",
    "Then {a} of them break.",
)
BOXES: tuple[str, ...] = (
    "{name} buys {b} boxes with {a} {things} each.",
    "{name} gets {b} bags of {a} {things}.",
)
TIMES: tuple[str, ...] = (
    "Then the number grows {a} times.",
    "{name} now makes it {a} times as many.",
)
LARGEST_NUMBER = 40
LARGEST_TOTAL = 150


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and its answer."""

    question: str
    answer: int


def problems(seed: int, steps: tuple[int, ...] = (1, 2, 2, 3)) -> Iterator[Problem]:
    """Endless problems; the same seed gives the same ones.

    Args:
        steps: How many operations a problem has; one is drawn for each.
    """
    rng = random.Random(seed)
    while True:
        yield _problem(rng, rng.choice(steps))


def _problem(rng: random.Random, steps: int) -> Problem:
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    total = rng.randint(2, LARGEST_NUMBER)
    sentences = [f"{name} has {total} {things}."]
    while len(sentences) <= steps:
        sentence, total = _step(rng, total)
        sentences.append(sentence.replace("{name}", name).replace("{things}", things))
    sentences.append(f"How many {things} does {name} have?")
    return Problem(" ".join(sentences), total)


def _step(rng: random.Random, total: int) -> tuple[str, int]:
    """One more thing that happens, within the numbers that the model knows."""
    while True:
        kind = rng.choice("++++---**b")
        a, b = rng.randint(2, LARGEST_NUMBER), 0
        if kind == "+":
            after, forms = total + a, MORE
        elif kind == "-" and total >= 5:
            a = rng.randint(2, total - 1)
            after, forms = total - a, FEWER
        elif kind == "*":
            a = rng.randint(2, 5)
            after, forms = total * a, TIMES
        elif kind == "b":
            a, b = rng.randint(3, 9), rng.randint(2, 9)
            after, forms = total + a * b, BOXES
        else:
            continue
        if after <= LARGEST_TOTAL:
            return rng.choice(forms).replace("{a}", str(a)).replace("{b}", str(b)), after
