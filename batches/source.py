"""The questions: a file of JSON lines, read as a stream."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

from ..errors import WrongUsage
from .digests import Digests, digest
from .item import Item, Refused, read_item

LONGEST_LINE = 16 * 2**20
"""Bytes; a longer line is refused and never held in memory."""


class QuestionsFile:
    """Questions in a file, one JSON object on each line. Every pass reads it anew.

    Raises `WrongUsage` when it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __iter__(self) -> Iterator[Item | Refused]:
        for number, line in self._lines():
            if line is None:
                reason = f"longer than {LONGEST_LINE // 2**20} MiB"
                yield Refused(id=number, line=number, reason=reason)
            elif line.strip():
                yield read_item(line, number)

    def ids(self) -> Digests:
        """The digests of all ids. Raises `WrongUsage` when one is there twice."""
        known = Digests(array("Q", (digest(item.id) for item in self)))
        if repeated := known.repeated():
            self._tell(repeated)
        return known

    def _tell(self, repeated: set[int]) -> None:
        first: dict[int, Item | Refused] = {}
        for item in self:
            if (value := digest(item.id)) not in repeated:
                continue
            other = first.setdefault(value, item)
            if other is item:
                continue
            if str(other.id) == str(item.id):
                raise WrongUsage(
                    f"{self.path}: line {item.line}: the id {item.id!r} is that of line "
                    f"{other.line}. Give every question an id of its own (without one it goes by "
                    "its line's number)"
                )
            raise WrongUsage(
                f"{self.path}: lines {other.line} and {item.line}: the ids {other.id!r} and "
                f"{item.id!r} have the same digest. Change one of them"
            )

    def _lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Each line and its number; None for one that is too long."""
        try:
            with self.path.open("rb") as file:
                number = 0
                while line := file.readline(LONGEST_LINE + 1):
                    number += 1
                    if len(line) <= LONGEST_LINE:
                        yield number, line
                        continue
                    while line and not line.endswith(b"\n"):
                        line = file.readline(LONGEST_LINE)
                    yield number, None
        except OSError as error:
            raise WrongUsage(f"{self.path}: {error.strerror}") from error
