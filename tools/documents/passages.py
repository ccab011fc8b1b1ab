"""Passages: a page's lines in pieces to be found and cited. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WHOLE = 1000
"""UTF-8 bytes of a passage: about 250 tokens. Only what cannot be cut better makes it longer."""
LEAST = 500
"""Bytes a passage should have before it ends at a paragraph's border for that border's sake."""
OVERLAP = 200
"""Bytes of a passage's end, at most, that the next one begins with."""
UNIT = 300
"""Bytes of the longest piece that is never cut: a line, or a part of a longer one."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a page, by the lines it stands in; both count from 1 and are part of it."""

    first: int
    last: int
    text: str


class Unit(NamedTuple):
    """A line, or a part of one."""

    line: int
    joint: str
    """What stands between it and the one before: nothing within a line, else line breaks."""
    text: str
    size: int


def passages(lines: Iterable[tuple[int, str]]) -> Iterator[Passage]:
    """Passages of numbered lines; an empty line is a paragraph's border.

    A line number may come several times, for a page with several paragraphs in a line.
    """
    units: list[Unit] = []
    size = 0
    for unit in _units(lines):
        if units and size + unit.size > WHOLE:
            units.append(unit)
            cut = _cut(units)
            yield _passage(units[:cut])
            units = units[_back(units, cut) :]
            size = sum(unit.size for unit in units)
        else:
            units.append(unit)
            size += unit.size
    if units:
        yield _passage(units)


def _units(lines: Iterable[tuple[int, str]]) -> Iterator[Unit]:
    joint = ""
    for line, raw in lines:
        text = raw.rstrip()
        if not text:
            joint = "\n\n"
            continue
        size = len(text) if text.isascii() else len(text.encode())
        if size <= UNIT:
            yield Unit(line, joint, text, size + 1)
        else:
            for part in _parts(text, UNIT * len(text) // size):
                yield Unit(line, joint, part, len(part.encode()))
                joint = ""
        joint = "\n"


def _parts(text: str, most: int) -> Iterator[str]:
    """A long line in parts of at most `most` characters, cut after sentences or words if it can."""
    start = 0
    while len(text) - start > most:
        end = start + most
        for mark in (". ", "。", " "):
            at = text.rfind(mark, start + most // 2, end)
            if at >= 0:
                end = at + len(mark)
                break
        yield text[start:end]
        start = end
    yield text[start:]


def _cut(units: Sequence[Unit]) -> int:
    """Where a passage that is one unit too long ends: at a paragraph's border, if one is near."""
    sizes = 0
    best = 0
    for index, unit in enumerate(units):
        if index and sizes >= LEAST and unit.joint == "\n\n" and not _heads(units[index - 1]):
            best = index
        sizes += unit.size
    return best or len(units) - 1


def _heads(unit: Unit) -> bool:
    """Whether it is a heading (or a comment), which belongs to what follows."""
    return unit.text.startswith("#")


def _back(units: Sequence[Unit], cut: int) -> int:
    """Where the next passage begins: a little before the cut, but after this one's beginning."""
    start, size = cut, 0
    while start > 1 and size + units[start - 1].size <= OVERLAP:
        start -= 1
        size += units[start].size
    return start


def _passage(units: Sequence[Unit]) -> Passage:
    text = units[0].text + "".join(unit.joint + unit.text for unit in units[1:])
    return Passage(units[0].line, units[-1].line, text)
