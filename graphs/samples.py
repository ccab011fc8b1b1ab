"""Samples: answers that were paid for. Later depths of the same run use them again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

from ..models import Message
from .answers import comparable
from .comparison import canonical
from .output import OutputType
from .verifiers.verifier import Candidate, Verdict

Ended = Literal["whole", "cut", "weak", "cancelled", "refused", "failed"]
"""How a chain ended: with an answer, by the budget or the time, dropped as unlikely, not needed any
more, declined by the model, by an error."""


class Sample(TypedDict, total=False):
    """One chain's answer. Plain values: it is part of the state."""

    id: str
    """Unique in the run: the branch that made it."""
    ended: Ended
    text: str
    key: str | None
    """Canonical form of the answer; None: none stated, or open-ended."""
    open: bool
    """Whether the answer cannot be compared as text."""
    evidence: list[Message]
    """The turns before it, where tools were called."""
    score: float
    """The verifier's, from 0 to 1; absent: not verified."""
    passed: bool | None
    reasons: str
    sound: bool
    """Whether the verifier's pass settles the question."""
    confidence: float
    """Of the weakest part of the chain, from its logprobs; absent: the backend gave none."""
    tokens: int
    """What it cost, input and output."""
    larger: bool
    """Made by the larger of two models."""
    error: str


def sample_of(
    name: str,
    question: str,
    text: str,
    *,
    ended: Ended = "whole",
    evidence: Sequence[Message] = (),
    tokens: int = 0,
    output: OutputType | None = None,
) -> Sample:
    """A sample from what a chain said. One that was cut before it stated its answer has none.

    Args:
        output: The type of its answer: without an output of that type, it has none.
    """
    answer = comparable(text) or (text.strip() if ended == "whole" else "")
    if output is None:
        key = canonical(answer, question) if answer else None
    else:
        key = output.key_in(text) if answer else None
    sample: Sample = {
        "id": name,
        "ended": ended,
        "text": text,
        "key": key,
        "open": bool(answer) and key is None and output is None,
        "evidence": list(evidence),
        "tokens": tokens,
    }
    return sample


def judged(sample: Sample, verdict: Verdict, *, decisive: bool) -> Sample:
    """The sample with what a verifier said of it."""
    more: Sample = {
        "score": verdict.score,
        "passed": verdict.passed,
        "reasons": verdict.reasons,
        "sound": decisive,
        "tokens": sample.get("tokens", 0) + verdict.usage.total_tokens,
    }
    return {**sample, **more}


def candidate_of(question: str, sample: Sample) -> Candidate:
    """The sample as a verifier sees it."""
    return Candidate(
        question=question, text=sample["text"], evidence=tuple(sample.get("evidence", ()))
    )


def answers(sample: Sample) -> bool:
    """Whether it has an answer that can be given."""
    return bool(sample.get("text", "").strip()) and (
        sample.get("key") is not None or sample.get("open", False)
    )


def verified(sample: Sample) -> bool:
    """Whether a decisive verifier has passed it: the question is settled."""
    return sample.get("passed") is True and sample.get("sound", False)


def refuted(sample: Sample) -> bool:
    """Whether a decisive verifier has refused it."""
    return sample.get("passed") is False and sample.get("sound", False)


def declined(samples: Iterable[Sample]) -> Sample | None:
    """The first refusal, where the model declined and never answered."""
    by_end: dict[str, Sample] = {}
    for sample in samples:
        by_end.setdefault(sample["ended"], sample)
    return None if "whole" in by_end else by_end.get("refused")


def rank(sample: Sample) -> tuple[float, float, float]:
    """Larger is better: a pass before an unknown before a fail, then by score and confidence."""
    standing = {True: 1.0, None: 0.0, False: -1.0}[sample.get("passed")]
    return standing, sample.get("score", 0.5), sample.get("confidence", 0.0)


def best_of(samples: Iterable[Sample]) -> Sample | None:
    """The best one with an answer; of equals, the first."""
    return max((sample for sample in samples if answers(sample)), key=rank, default=None)


def merged(old: Sequence[Sample] | None, new: Sequence[Sample] | None) -> list[Sample]:
    """Both, by id; the newer of two with the same id. Reducer of the state's channel."""
    by_id: Mapping[str, Sample] = {s["id"]: s for s in (*(old or ()), *(new or ()))}
    return list(by_id.values())
