"""Multiple choice: the options a question lists, and which of them an answer names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

LONGEST = 8000
"""Characters of a question that are searched for options, from its end."""


@lru_cache(maxsize=256)
def choices_of(question: str) -> Mapping[str, str]:
    """The question's options, letter to text; empty where it lists none.

    Read are `A) …`, `(A) …`, `A. …` and `A: …`, on lines of their own or on one line; capitals or
    not. The letters begin at A and leave none out. Letters are given as capitals.
    """
    text = _LETTER_IN_LATEX.sub(r" \1 ", question[-LONGEST:])
    text = _SPACING.sub(" ", text).replace("**", "")
    for marker in _MARKERS:
        found = _run(list(marker.finditer(text)))
        if found:
            return MappingProxyType(_texts(text, found))
    return MappingProxyType({})


def named(answer: str, choices: Mapping[str, str]) -> str | None:
    """The letter of the option that an answer names, or letters with commas; None: it names none.

    `B`, `(b)`, `B) 12 km`, `option B`, `B is correct`, `A and C`.
    """
    several = _SEVERAL.fullmatch(answer)
    if several:
        letters = sorted({letter.upper() for letter in re.findall(r"\b[A-Za-z]\b", answer)})
        return ",".join(letters) if set(letters) <= set(choices) else None
    one = _ONE.match(answer)
    letter = one[1].upper() if one else ""
    return letter if letter in choices else None


def is_letter(answer: str) -> bool:
    """Whether an answer is a letter and no more, brackets and full stop aside."""
    return bool(_BARE.fullmatch(answer))


def _run(markers: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last run of markers whose letters are A, B, C, …"""
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for marker in markers:
        if marker[1] in ("A", "a"):
            run = [marker]
        elif run and marker[1] == chr(ord(run[0][1]) + len(run)):
            run.append(marker)
        if len(run) >= 2 and (run[0] is not (best[0] if best else None) or len(run) > len(best)):
            best = list(run)
    return best if len(best) >= 2 and _enough(best) else []


def _enough(run: list[re.Match[str]]) -> bool:
    """Initials (A. Lincoln and B. Franklin) are no options: on one line, `A.` takes three."""
    weak = not run[0][0].strip().endswith(")")
    own_lines = all(_begins_line(marker) for marker in run)
    return not weak or own_lines or len(run) >= 3


def _begins_line(marker: re.Match[str]) -> bool:
    before = marker.string[: marker.start(1)].rstrip(" \t-*")
    return not before or before.endswith("\n")


def _texts(text: str, markers: list[re.Match[str]]) -> dict[str, str]:
    texts = {}
    for place, marker in enumerate(markers):
        if place + 1 < len(markers):
            body = text[marker.end() : markers[place + 1].start()]
        else:
            body = text[marker.end() :].lstrip().partition("\n")[0]
        body = " ".join(body.split()).strip(" ,;|")
        texts[marker[1].upper()] = body.rstrip("$ ") if body.count("$") == 1 else body
    return texts


_LETTER_IN_LATEX = re.compile(
    r"\\(?:textbf|mathbf|textrm|mathrm|text)\s*\{\s*(\([A-Z]\)|[A-Z][).:])\s*(?:~|\\ )?\s*\}"
)
_SPACING = re.compile(r"\\(?:q?quad(?![A-Za-z])|[ ,;])|~")
_MARKERS = (
    re.compile(r"(?:^|[\s$,;])(?:[-*]\s+)?\(([A-Za-z])\)(?=\s*\S)"),
    re.compile(r"(?:^|[\s$,;])(?:[-*]\s+)?([A-Za-z])\)(?=\s*\S)"),
    re.compile(r"(?:^|[\s,;])(?:[-*]\s+)?([A-Z])[.:](?=\s+\S)"),
)
_ONE = re.compile(
    r"(?:the\s+)?(?:(?:correct\s+)?(?:option|choice|answer)\s*(?:is\b)?\s*:?\s*)?"
    r"[(\[]?\s?([A-Za-z])\s?(?:[)\]][.:]?(?:\s|$)|[.:,](?:\s|$)|\s[-|]\s|\s+is\b|$)",
    re.I,
)
_BARE = re.compile(r"[(\[]?\s?[A-Za-z]\s?[)\]]?\.?")
_SEVERAL = re.compile(
    r"(?:options?\s+|choices?\s+)?\(?[A-Za-z]\)?(?:(?:\s?,\s?(?:and\s|or\s)?|\s?&\s?|\sand\s|\sor\s)"
    r"\(?[A-Za-z]\)?){1,25}",
    re.I,
)
