"""An answer in plain form: one way to write each sign, and nothing around it. Pure."""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR = re.compile("([0-9]?)\\s?([¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")

_SIGNS = str.maketrans(
    {
        "⁄": "/",
        "∕": "/",
        "÷": "/",
        "−": "-",
        "‐": "-",
        "‑": "-",
        "–": "-",
        "—": "-",
        "×": "*",
        "·": "*",
        "⋅": "*",
        "∙": "*",
        "∗": "*",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "≈": "=",
        "√": "\\sqrt ",
        "º": "°",
        "˚": "°",
        "“": '"',
        "”": '"',
        "‘": "'",
        "’": "'",
        "′": "'",
        "⟨": "(",
        "⟩": ")",
        "\u200b": None,
        "\ufeff": None,
    }
)

_SPACING = re.compile(r"(?<!\\)\\[,;:! ]|~|\\q?quad(?![A-Za-z])")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_COMMANDS = {
    "left": "",
    "right": "",
    "big": "",
    "Big": "",
    "bigl": "",
    "bigr": "",
    "displaystyle": "",
    "limits": "",
    "dfrac": "\\frac",
    "tfrac": "\\frac",
    "cfrac": "\\frac",
    "tbinom": "\\binom",
    "dbinom": "\\binom",
    "cdot": "*",
    "times": "*",
    "ast": "*",
    "div": "/",
    "le": "<=",
    "leq": "<=",
    "leqslant": "<=",
    "lt": "<",
    "ge": ">=",
    "geq": ">=",
    "geqslant": ">=",
    "gt": ">",
    "ne": "!=",
    "neq": "!=",
    "angle": "∠",
    "approx": "=",
    "pm": "±",
    "mp": "∓",
    "pi": "π",
    "infty": "∞",
    "cup": "∪",
    "in": "∈",
    "emptyset": "∅",
    "varnothing": "∅",
    "degree": "°",
    "lbrace": "{",
    "rbrace": "}",
    "langle": "(",
    "rangle": ")",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "mid": "|",
    "lfloor": "\\floor(",
    "rfloor": ")",
    "lceil": "\\ceil(",
    "rceil": ")",
    "euro": "€",
    "pounds": "£",
}
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_WORDS = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|mathsf|mathbb|textbf|textit|textrm|mbox|operatorname|emph"
    r"|underline|boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_ESCAPED = re.compile(r"\\([{}%$€£&#])")
_LEAD = re.compile(
    r"(?:so\s+|therefore,?\s+)?(?:the\s+)?(?:final\s+)?answer\s*(?:is\b:?|:)\s*", re.I
)
_ABOUT = re.compile(
    r"^(?:=|~|approx(?:imately|\.)?\s|about\s|around\s|roughly\s|exactly\s)\s*(?=[\d.$£€\\π({+-])",
    re.I,
)
_PAIRS = (
    ("**", "**"),
    ("__", "__"),
    ("$$", "$$"),
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("*", "*"),
    ("_", "_"),
    ("`", "`"),
    ("$", "$"),
    ('"', '"'),
    ("'", "'"),
)
_NESTED = 4
"""Levels of `\\text{…}` inside one another, and of marks around an answer, that are taken off."""


def clean(answer: str) -> str:
    """The answer with one spelling of each sign, and without markdown, `$` and `\\text{…}`."""
    text = answer if answer.isascii() else _plain_signs(answer)
    text = unwrap(text.replace("{,}", ","))
    if "\\" in text:
        text = unwrap(_plain_latex(text))
    return text


def unwrap(text: str) -> str:
    """Without the marks and spaces around it, and the full stop after it."""
    text = " ".join(text.split())
    for _ in range(_NESTED):
        before = text
        lead = _LEAD.match(text)
        text = text[lead.end() :] if lead else text
        text = _ABOUT.sub("", text)
        text = _without_stop(text)
        for opening, closing in _PAIRS:
            inner = text[len(opening) : len(text) - len(closing)]
            bare = inner.replace("\\$", "")
            if text.startswith(opening) and text.endswith(closing) and inner.strip():
                text = text if opening in bare or closing in bare else inner.strip()
        if text == before:
            break
    return text


def _without_stop(text: str) -> str:
    text = text.rstrip(" ,;:")
    while text.endswith("\\"):
        text = text[:-1].rstrip(" ,;:")
    return text[:-1].rstrip() if text.endswith(".") and not text.endswith("..") else text


def _plain_signs(text: str) -> str:
    text = _RAISED.sub(lambda run: f"^{{{run[0].translate(_SUPERSCRIPTS)}}}", text)
    text = _LOWERED.sub(lambda run: f"_{{{run[0].translate(_SUBSCRIPTS)}}}", text)
    text = _VULGAR.sub(
        lambda one: (f"{one[1]} " if one[1] else "") + unicodedata.normalize("NFKC", one[2]), text
    )
    return unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)


def _plain_latex(text: str) -> str:
    text = _SPACING.sub(" ", text)
    text = _DEGREE.sub("°", text)
    for _ in range(_NESTED):
        text, found = _WORDS.subn(r" \1 ", text)
        if not found:
            break
    text = _COMMAND.sub(lambda command: _COMMANDS.get(command[1], command[0]), text)
    return _ESCAPED.sub(r"\1", text)
