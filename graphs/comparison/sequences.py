"""Lists, sets, tuples, intervals and matrices: where their members are, and their keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST = 2000
"""Characters of a list."""
MOST = 128
"""Members of a list."""

_OPENS = "([{"
_CLOSES = ")]}"
_SEPARATOR = re.compile(r",|;|\s(?:and|or|&)\s|∪")
_BRACKETS = re.compile(r"[()\[\]{}]")
_THOUSANDS = re.compile(r"(?<!\d)\d{1,3}$", re.A)
_GROUP = re.compile(r"\d{3}(?!\d)", re.A)
_MATRIX = re.compile(r"\\begin\s?\{([bpvVB]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\s?\{\1\}")
_NAMED = re.compile(
    r"(\\?[A-Za-z]+(?:_(?:\{\w{1,16}\}|\w))?(?:\(\w\))?)\s?=(?!=)\s?([^=<>]+)", re.A
)


def members(text: str, *, unions: bool = True) -> list[str]:
    """The parts of a list without brackets: by commas, `and`, `or`, ∪; one part: it is no list.

    With a semicolon, only semicolons part. A comma inside a number (1,234) parts nothing where
    another comma has a space after it.
    """
    if len(text) > LONGEST:
        return [text]
    cuts = [cut for cut in _top_level(text) if unions or cut[0] != "∪"]
    if any(cut[0] == ";" for cut in cuts):
        cuts = [cut for cut in cuts if cut[0] == ";"]
    if any(cut[0] == "," and text[cut.end() : cut.end() + 1] == " " for cut in cuts):
        cuts = [cut for cut in cuts if not _inside_number(text, cut)]
    parts, begin = [], 0
    for cut in cuts:
        parts.append(text[begin : cut.start()].strip())
        begin = cut.end()
    parts.append(text[begin:].strip())
    # "1, 2, and 3" has an empty part, or one that begins with the word.
    parts = [_AND.sub("", part) for part in parts]
    return [part for part in parts if part] if len(parts) <= MOST else [text]


def bracketed(text: str) -> tuple[str, str, str] | None:
    """Opening bracket, inside and closing bracket, where one pair is around the whole text."""
    if len(text) < 2 or len(text) > LONGEST or text[0] not in "([{]" or text[-1] not in ")]}[":
        return None
    depth = 0
    for bracket in _BRACKETS.finditer(text, 1, len(text) - 1):
        depth += 1 if bracket[0] in _OPENS else -1
        if depth < 0:
            return None
    return (text[0], text[1:-1].strip(), text[-1]) if depth == 0 else None


def matrix(text: str) -> list[list[str]] | None:
    """The rows of a LaTeX matrix."""
    found = _MATRIX.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    rows = [row for row in re.split(r"\\\\|\\cr", found[2]) if row.strip()]
    return [[cell.strip() for cell in row.split("&")] for row in rows]


def assignments(parts: Sequence[str]) -> list[tuple[str, str]] | None:
    """Names and values of `x = 1`, `y = 2`, sorted by name; None where a part is none."""
    found = [_NAMED.fullmatch(part) for part in parts]
    if any(one is None for one in found):
        return None
    return sorted((one[1], one[2].strip()) for one in found if one)


def set_key(keys: Iterable[str]) -> str:
    """The key of members without order; of one alone, the member's own."""
    different = sorted(set(keys))
    return different[0] if len(different) == 1 else "s:" + _joined(different)


def list_key(keys: Sequence[str], opening: str = "[", closing: str = "]") -> str:
    """The key of members in order. Brackets count around two only, which may be an interval."""
    if len(keys) == 1:
        return keys[0]
    if len(keys) == 2:
        return f"l{opening}{closing}:{_joined(keys)}"
    return f"l:{_joined(keys)}"


def _joined(keys: Sequence[str]) -> str:
    """With lengths, so that no member can pass for two."""
    return "".join(f"{len(key)}:{key}" for key in keys)


def _top_level(text: str) -> list[re.Match[str]]:
    depth, end, cuts = 0, 0, []
    for cut in _SEPARATOR.finditer(text):
        for bracket in _BRACKETS.finditer(text, end, cut.start()):
            depth += 1 if bracket[0] in _OPENS else -1
        end = cut.start()
        if depth == 0:
            cuts.append(cut)
    return cuts


def _inside_number(text: str, cut: re.Match[str]) -> bool:
    before = text[max(0, cut.start() - 4) : cut.start()]
    return cut[0] == "," and bool(_THOUSANDS.search(before) and _GROUP.match(text, cut.end()))


_AND = re.compile(r"^(?:and|or)\s+")
