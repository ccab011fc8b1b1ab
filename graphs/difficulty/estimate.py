"""The model's own guess at a question's difficulty: one short call.

Models know fairly well what they know (Kadavath et al., 2022), and are too sure of it: the guess is
drawn towards the one from the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...budgets import BudgetExhausted
from ...models import BackendError, Message, Request, user
from ..answers import comparable
from ..verifiers import Means
from .difficulty import Difficulty

OUTPUT = 32
"""Output tokens of the call."""
SHOWN = 4_000
"""Characters of the question that are shown."""
TRUST = 0.6
"""Weight of the model's guess beside the one from the text."""
_PERCENT = re.compile(r"\d{1,3}(?:\.\d+)?")


async def ask_model(
    question: str, history: Sequence[Message], means: Means, before: Difficulty
) -> Difficulty:
    """The guess; `before` where the model is not asked, cannot be paid, or says no number."""
    words = means.prompt("difficulty.user", ESTIMATE)
    if not words:
        return before
    content = words.format(question=question[:SHOWN])
    request = Request(messages=[*history, user(content)], max_tokens=OUTPUT, temperature=0.0)
    try:
        reply = await means.ask(request, "estimate")
    except (BudgetExhausted, BackendError) as error:
        return Difficulty(
            p_direct=before.p_direct,
            source=before.source,
            reason=f"{before.reason}; the model could not be asked: {error}",
        )
    said = _PERCENT.search(comparable(reply.text) or reply.text)
    if said is None:
        return before
    guess = min(100.0, float(said[0])) / 100
    p_direct = TRUST * guess + (1 - TRUST) * before.p_direct
    return Difficulty(
        p_direct=p_direct,
        source="model",
        reason=f"the model gives itself {guess:.0%}; the text: {before.reason}",
    )


ESTIMATE = """\
Do not answer the question below. Estimate how likely you would be to answer it right at the first \
try, in your head, without tools: from 0 (no chance) to 100 (certain). Reply with one line only, \
as `Answer: <number>`.

<question>
{question}
</question>"""
