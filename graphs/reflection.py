"""Reflection: whether another round of critique and refinement is worth its price. Pure.

After Self-Refine (Madaan et al., 2023) and Reflexion (Shinn et al., 2023).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .answers import comparable
from .samples import Sample, rank
from .verifiers import Verdict

PASS, FAIL = 0.8, 0.2
"""Scores of a critic's verdict: it is a model, and may be wrong."""
_WORD = re.compile(
    r"\b(?:(?P<fail>fail(?:ed|s)?|wrong|incorrect|not (?:correct|right))|"
    r"(?P<pass>pass(?:ed|es)?|correct|right))\b",
    re.I,
)
_LINE = re.compile(r"^\W*verdict\W*:\s*(.+)$", re.I | re.M)


def finished(samples: Sequence[Sample], rounds: int) -> str:
    """Why there should be no further refinement; empty: there should.

    Args:
        samples: The candidates in the order they were made, each with its verdict.
        rounds: The most critiques.
    """
    last = samples[-1]
    if last.get("passed") is True:
        return "it passed"
    if len(samples) >= rounds:
        return f"{len(samples)} rounds are over"
    if len(samples) > 1:
        before = max(samples[:-1], key=rank)
        same = last.get("key") is not None and last.get("key") == before.get("key")
        if (same or last["text"].strip() == before["text"].strip()) and rank(last) <= rank(before):
            return "the refinement says the same again"
    return ""


def read_verdict(text: str) -> Verdict:
    """What a critic said: its last line says pass or fail. Unknown where it says neither."""
    lines = _LINE.findall(text)
    said = comparable(text) or (lines[-1] if lines else "")
    word = _WORD.search(said)
    if word is None:
        return Verdict(score=0.5, passed=None, reasons=text.strip(), verifier="critic")
    passed = word["pass"] is not None
    return Verdict(
        score=PASS if passed else FAIL, passed=passed, reasons=text.strip(), verifier="critic"
    )
