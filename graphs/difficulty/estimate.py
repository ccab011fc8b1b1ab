"""The model's own guess at a question's difficulty: one short call.

Models know fairly well what they know (Kadavath et al., 2022), and are too sure of it: the guess is
drawn towards the one from the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ...budgets import BudgetExhausted
from ...models import BackendError, Message, Request, user
from ...models.messages import prompt_bound
from ..answers import comparable
from ..verifiers import Means
from .difficulty import Difficulty

OUTPUT = 32
"""Output tokens of the call."""
SHOWN = 4_000
"""Characters of the question that are shown."""
SHARE = 0.1
"""Of what is left of the budget, the most that the call may likely take."""
TRUST = 0.6
"""Weight of the model's guess beside the one from the text."""
_GUESS = re.compile(
    r"[^\w-]*(?:about |around )?(\d{1,3}(?:\.\d{1,6})?)\s*(%|percent|/\s*100|out of 100)?\W*", re.I
)


async def ask_model(
    question: str, history: Sequence[Message], means: Means, before: Difficulty
) -> Difficulty:
    """The guess; `before` where the model is not asked, cannot be paid, or says no number."""
    words = means.prompt("difficulty.user", ESTIMATE)
    if not words:
        return before
    content = words.format(question=question[:SHOWN])
    request = Request(messages=[*history, user(content)], max_tokens=OUTPUT, temperature=0.0)
    if not _worth(request, means):
        return _with(before, "too little is left to ask the model")
    if means.seconds is not None:
        request = replace(request, timeout=SHARE * means.seconds)
    try:
        reply = await means.ask(request, "estimate")
    except (BudgetExhausted, BackendError) as error:
        return _with(before, f"the model could not be asked: {error}")
    guess = read_guess(reply.text)
    if guess is None:
        return _with(before, "the model gave no estimate")
    return Difficulty(
        p_direct=TRUST * guess + (1 - TRUST) * before.p_direct,
        source="model",
        reason=f"the model gives itself {guess:.0%}; the text: {before.reason}",
    )


def read_guess(text: str) -> float | None:
    """The probability that a reply states; None where it states something else, or nothing."""
    said = _GUESS.fullmatch(comparable(text) or text)
    if said is None:
        return None
    number, unit = float(said[1]), said[2]
    if unit is None and "." in said[1] and number <= 1:
        return number
    return number / 100 if number <= 100 else None


def _worth(request: Request, means: Means) -> bool:
    """Whether the call is cheap beside what is left for the answer."""
    left, model = means.ledger.left(landing=False), means.model
    prompt = prompt_bound(request, model.profile.allowance) / model.typical.bytes_per_token
    cost = model.price.cost(round(prompt), OUTPUT, seconds=model.typical.seconds)
    return all(
        limit is None or float(need) <= SHARE * float(limit)
        for need, limit in (
            (prompt + OUTPUT, left.tokens),
            (1, left.calls),
            (model.typical.seconds, means.seconds),
            (cost, left.cost),
        )
    )


def _with(before: Difficulty, note: str) -> Difficulty:
    return replace(before, reason=f"{before.reason}; {note}")


ESTIMATE = """\
Do not answer the question below. Estimate how likely you would be to answer it right at the first \
try, in your head, without tools: from 0 (no chance) to 100 (certain). Reply with one line only, \
as `Answer: <number>`.

<question>
{question}
</question>"""
