"""A first guess at a question's difficulty from its text alone. Free, and pure."""

from __future__ import annotations

import math
import re

from .difficulty import Difficulty

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_PROOF = re.compile(
    r"\b(?:prove|proof|proofs|show that|derive|theorem|lemma|find all|determine all|"
    r"for (?:all|every|any)|if and only if|necessary and sufficient|linearizable|np-hard)\b",
    re.I,
)
_HARD = re.compile(
    r"\b(optimal|optimi[sz]e|minimi[sz]e|maximi[sz]e|maximum|minimum|smallest|largest|least|"
    r"greatest|how many ways|number of ways|probability|expected (?:value|number)|integral|"
    r"integrate|derivative|eigenvalues?|matrix|puzzle|schedule|algorithm|implement|debug|"
    r"constraints?|combinations?|permutations?|chessboard|divisible|divided by|remainder|modulo|"
    r"primes?|integers?|polynomial|equations?|sequence|inequality|triangle|circle|incircle|"
    r"such that|use (?:the|each of the|all the) numbers|step by step|compare|trade-?offs?)\b",
    re.I,
)
_LOOKUP = re.compile(
    r"^\W*(?:what(?:'s| is| are)|who|when|where|which|name|define|translate|spell|hello|hi|"
    r"thanks|thank you)\b",
    re.I,
)
_SUM = re.compile(
    r"^\W*(?:(?:what(?:'s| is)|calculate|compute|how much is)\s+)?"
    r"\d{1,3}\s*(?:[+*x×/÷−-]|plus|minus|times)\s*\d{1,3}\W*$",
    re.I,
)
_CODE = re.compile(r"```|\bdef |\bclass |[{};]\s*$", re.M)
_MATHS = re.compile(r"[=^√∑∫≤≥]|\\[a-z]+|\d\s*[+*/×÷−-]\s*\d")
_ENGLISH = re.compile(
    r"\b(?:the|of|what|who|when|where|which|why|how|is|are|does|do|you|and|with|give|list|write)\b",
    re.I,
)

BASE = 2.2
"""Log-odds that a plain question is answered right by one call: 0.9."""
SIMPLE = 0.6
"""Added for a short question that only asks for a fact, or for one sum of small numbers."""
SHORT = 12
"""Words of a question that may count as simple."""
UNREAD = 20
"""Characters from which a text without an English word says nothing that is understood here."""
ENDS = 10_000
"""Characters looked at of each end of a long text."""


def from_features(question: str) -> Difficulty:
    """The guess: each sign of work in the text lowers the odds of `p_direct`.

    The words that are known are English. Another language is a reason for doubt.
    """
    length = len(question)
    if length > 2 * ENDS:
        question = f"{question[:ENDS]} {question[-ENDS:]}"
    # Scripts without spaces between words, and what was left out, count by their characters.
    words = max(len(question.split()), length / 8)
    numbers = len(_NUMBER.findall(question))
    lookup = bool(_LOOKUP.search(question))
    simple = bool(_SUM.search(question))
    unread = not (lookup or _ENGLISH.search(question)) and (
        length > UNREAD or not question.isascii()
    )
    signs = {
        "long": 0.25 * math.log1p(max(0.0, words - 15) / 15),
        "several sentences": 0.15 * min(8, max(0, len(_SENTENCE.findall(question)) - 1)),
        "numbers": 0.3 * min(numbers, 6),
        "maths": 0.6 * bool(_MATHS.search(question)),
        "code": 0.8 * bool(_CODE.search(question)),
        "a proof": 1.4 * bool(_PROOF.search(question)),
        "hard words": 0.8 * min(3, len(set(map(str.lower, _HARD.findall(question))))),
        "several questions": 0.4 * min(4, max(0, question.count("?") - 1)),
        "not in English": 0.4 * unread,
    }
    if simple:
        signs = {}
    work = math.fsum(signs.values())
    simple = simple or (lookup and numbers == 0 and words <= SHORT)
    told = [name for name, value in signs.items() if value >= 0.25]
    return Difficulty(
        p_direct=1 / (1 + math.exp(work - BASE - SIMPLE * simple)),
        source="features",
        reason=", ".join(told) or "nothing in the text says that it is hard",
    )
