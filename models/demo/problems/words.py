"""Word problems: a number of things, and one to five things that happen to it. Pure."""

from __future__ import annotations

import random

from .problem import Problem

Forms = tuple[str, ...]

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
MORE: Forms = (
    "{name} buys {a} more.",
    "{name} finds {a} more.",
    "A friend gives {name} {a} more.",
    "{name} gets another {a}.",
)
FEWER: Forms = (
    "{name} gives away {a}.",
    "{name} loses {a}.",
    "{name} sells {a}.",
    "Then {a} of them break.",
)
BOXES: Forms = (
    "{name} buys {b} boxes with {a} {things} each.",
    "{name} gets {b} bags of {a} {things}.",
)
TIMES: Forms = (
    "Then the number grows {a} times.",
    "{name} now makes it {a} times as many.",
)
LARGEST_NUMBER = 40
LARGEST_TOTAL = 150


def words(rng: random.Random, steps: int) -> Problem:
    """A problem in which so many things happen."""
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    total = rng.randint(2, LARGEST_NUMBER)
    sentences = [f"{name} has {total} {things}."]
    lines: list[str] = []
    code = [f"x={total}"]
    for _ in range(steps):
        sentence, total, new, statement = _step(rng, total)
        sentences.append(sentence.replace("{name}", name).replace("{things}", things))
        lines += new
        code.append(statement)
    sentences.append(f"How many {things} does {name} have?")
    program = "; ".join([*code, "print(x)"])
    return Problem("words", " ".join(sentences), total, tuple(lines), program)


def _step(rng: random.Random, total: int) -> tuple[str, int, list[str], str]:
    """One more thing that happens: its sentence, the total after it, its lines, its statement."""
    while True:
        kind = rng.choice("++++---**b")
        a, b = rng.randint(2, LARGEST_NUMBER), 0
        if kind == "+":
            after, forms = total + a, MORE
            lines, statement = [f"{total}+{a}={after}"], f"x+={a}"
        elif kind == "-" and total >= 5:
            a = rng.randint(2, total - 1)
            after, forms = total - a, FEWER
            lines, statement = [f"{total}-{a}={after}"], f"x-={a}"
        elif kind == "*":
            a = rng.randint(2, 5)
            after, forms = total * a, TIMES
            lines, statement = [f"{total}*{a}={after}"], f"x*={a}"
        elif kind == "b":
            a, b = rng.randint(3, 9), rng.randint(2, 9)
            after, forms = total + a * b, BOXES
            lines = [f"{b}*{a}={a * b}", f"{total}+{a * b}={after}"]
            statement = f"x+={b}*{a}"
        else:
            continue
        if after <= LARGEST_TOTAL:
            sentence = rng.choice(forms).replace("{a}", str(a)).replace("{b}", str(b))
            return sentence, after, lines, statement
