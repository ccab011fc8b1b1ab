"""Recorded samples replayed to the product: its own vote graph, against a server without a model.

The n-th request about an order gets its n-th sample. An answer goes out as an opaque label, one for
each distinct answer of the question: so the product's comparison of answers finds equal what the
pool holds for equal, and nothing else. A sample without an answer goes out as a reply that its
length cut off: that is a chain without a vote, as the pool means it. (A finished reply without an
answer's line would be an open-ended answer.)
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mull import Budget, Context, Ledger, Model, Usage
from mull.graphs import DEPTHS, Settings, comparable, open_run
from mull.graphs.verifiers import FunctionVerifier
from mull.graphs.voting import drawn

sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))
from fault_server import FaultServer, Reply

PACE = 0.01
"""Seconds for each token: as fast as a large model on a good machine."""
CHUNK = 5
"""Tokens that arrive together."""
STREAMS = 256
"""Chains in flight, of all questions together."""
CHARACTERS = 4
"""Of a recorded sample, for each token of its replay."""
LONGEST = 100
"""Tokens of a replayed sample."""
LETTERS = str.maketrans("0123456789", "abcdefghij")


@dataclass(frozen=True)
class Order:
    """One question's samples, in the order in which they are drawn."""

    question: str
    answers: tuple[str | None, ...]
    correct: tuple[bool, ...]
    lengths: tuple[int, ...]
    """Characters of each sample."""


@dataclass(frozen=True)
class Result:
    """What a rule made of an order."""

    question: str
    samples: int
    answer: str | None
    right: bool


@dataclass(frozen=True)
class Driven:
    """What the product made of an order, and what it spent."""

    result: Result
    waves: int
    spent: Usage


@dataclass
class Replay:
    """Says what was recorded, as the `reply` of the server."""

    orders: Sequence[Order]
    _asked: dict[int, int] = field(default_factory=dict)

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        """The next sample of the order that the request is about; after the last, the first."""
        number = int(re.findall(r"#(\d+)", body["messages"][-1]["content"])[-1])
        order, asked = self.orders[number], self._asked.get(number, 0)
        self._asked[number] = asked + 1
        at = asked % len(order.answers)  # Cancelled chains and the last try may need more.
        words = max(1, min(LONGEST, order.lengths[at] // CHARACTERS))
        return _reply(labels(order).get(order.answers[at]), words)


def labels(order: Order) -> dict[str | None, str]:
    """A label for each answer of an order."""
    given = sorted({answer for answer in order.answers if answer is not None})
    return {answer: label(n) for n, answer in enumerate(given)}


def label(number: int) -> str:
    """A word that means nothing."""
    return f"zz{number}".translate(LETTERS)


def question_about(number: int) -> str:
    """What the product is asked, for the server to know the order by."""
    return f"What does recording #{number} say?"


async def drive(
    orders: Sequence[Order], *, at_once: int | None, checked: bool = False
) -> list[Driven]:
    """Every order through the vote graph.

    Args:
        at_once: As in `Settings`.
        checked: Whether a verifier knows the right answers, and nothing else counts as one.
    """
    gate = asyncio.Semaphore(max(1, STREAMS // (at_once or 1)))
    pace = 0.0 if at_once == 1 else PACE  # A chain that runs alone is never cut short.
    async with FaultServer(
        reply=Replay(orders), tokenizer="vllm", token_delay=pace, tokens_per_chunk=CHUNK
    ) as server:
        model = Model(None, server.base_url)

        async def one(number: int) -> Driven:
            async with gate:
                return await _vote(model, number, orders[number], at_once, checked)

        done = await asyncio.gather(*map(one, range(len(orders))))
        await model.aclose()
    return done


async def _vote(
    model: Model, number: int, order: Order, at_once: int | None, checked: bool
) -> Driven:
    named = {name: answer for answer, name in labels(order).items()}

    def right(answer: str | None) -> bool:
        return answer is not None and order.correct[order.answers.index(answer)]

    async def check(question: str, answer: str) -> bool:
        return right(named[answer])

    settings = Settings(samples=len(order.answers), at_once=at_once)
    verifier = FunctionVerifier(check) if checked else None
    ledger = Ledger(Budget())
    async with open_run(model, ledger, settings=settings, verifier=verifier) as run:
        run.watched = False
        outcome: Any = await DEPTHS["vote"].graph.ainvoke(
            {"question": question_about(number)}, context=Context(run=run.key)
        )
    answer = named.get(comparable(outcome["text"]) or "")
    if checked and not right(answer):
        answer = None
    waves = sum(step["node"] == "draw" for step in outcome["trace"]) - 1  # The last draws none.
    result = Result(order.question, len(drawn(outcome["samples"])), answer, right(answer))
    return Driven(result, waves, ledger.spent())


def _reply(name: str | None, words: int) -> Reply:
    """So many words, the last two of which state the answer."""
    if name is None:
        return Reply(" ".join(["so"] * words), finish_reason="length", logprobs=False)
    thoughts = " ".join(["so"] * (words - 2))
    return Reply(f"{thoughts}\nAnswer: {name}".lstrip(), logprobs=False)
