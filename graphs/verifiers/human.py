"""human: a person says whether the candidate passes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from langgraph.types import interrupt

from ...errors import WrongUsage
from .verifier import Candidate, Means, Verdict

APPROVES = frozenset({"approve", "approved", "accept", "accepted"})
REJECTS = frozenset({"reject", "rejected", "refuse", "refused"})
YES = APPROVES | {"yes", "y", "ok", "okay", "pass", "true"}
NO = REJECTS | {"no", "n", "fail", "false"}
_FIRST = re.compile(r"\s*([A-Za-z]+)\s*([:;.,!–—-]*)\s*(.*?)\s*\Z", re.S)
HOW = (
    "resume with True or False, a score from 0 to 1, 'approve' or 'reject: why', or "
    "{'approved': bool, 'score': float, 'reasons': str}"
)


class Human:
    """Pauses the graph (LangGraph's `interrupt`) and takes the resume value as the verdict.

    The payload is `{"question", "answer", "text"}`. Resume (`Command(resume=…)`) with a bool, a
    score from 0 to 1 (above one half passes), a text that begins with approve or reject (another
    text is a remark, and decides nothing), or a mapping with `approved`, `score` and `reasons`.

    The node that awaits it runs again from its start when the graph resumes, so it must spend
    nothing before; and the graph needs a checkpointer. It asks again, with an `error` in the
    payload, where a resume value cannot be read. A pass settles the question.
    """

    name = "human"
    decisive = True

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. Raises `GraphInterrupt` until the graph is resumed."""
        payload = {
            "question": candidate.question,
            "answer": candidate.answer,
            "text": candidate.text,
        }
        while True:
            try:
                return read(interrupt(payload))
            except WrongUsage as error:
                # The checkpoint keeps what was resumed with: raising would end the thread for good.
                payload = {**payload, "error": str(error)}


def read(value: Any) -> Verdict:
    """The verdict in a resume value. Raises `WrongUsage`."""
    match value:
        case bool():
            return _verdict(value, float(value))
        case int() | float():
            return _verdict(_by_score(value), _score(value))
        case str():
            return _text(value)
        case Mapping():
            return _mapping(value)
    raise WrongUsage(f"a person's verdict came as {value!r:.200}: {HOW}")


def _text(value: str) -> Verdict:
    found = _FIRST.match(value)
    word, mark, rest = (found[1].lower(), found[2], found[3]) if found else ("", "", "")
    # "No problem" is no rejection, "No: a unit is missing" is one.
    clear = bool(mark) or not rest or word in APPROVES | REJECTS
    if clear and word in YES:
        return _verdict(True, 1.0, rest)
    if clear and word in NO:
        return _verdict(False, 0.0, rest)
    return _verdict(None, 0.5, value.strip())


def _mapping(value: Mapping[Any, Any]) -> Verdict:
    approved, score, reasons = value.get("approved"), value.get("score"), value.get("reasons", "")
    unknown = sorted(map(str, set(value) - {"approved", "score", "reasons"}))
    fits = isinstance(approved, bool | None) and isinstance(reasons, str)
    if unknown or not fits or not isinstance(score, int | float | None):
        raise WrongUsage(f"a person's verdict came as {dict(value)!r:.200}: {HOW}")
    if approved is None and score is not None:
        approved = _by_score(score)
    if score is None:
        score = 0.5 if approved is None else float(approved)
    return _verdict(approved, _score(score), reasons)


def _by_score(score: float) -> bool | None:
    return None if score == 0.5 else score > 0.5


def _score(value: float) -> float:
    if math.isnan(value) or not 0 <= value <= 1:
        raise WrongUsage(f"a person's score came as {value}: {HOW}")
    return float(value)


def _verdict(passed: bool | None, score: float, reasons: str = "") -> Verdict:
    return Verdict(score=score, passed=passed, reasons=reasons, verifier="human")
