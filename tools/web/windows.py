"""A long text in windows that a model can read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .ranking import bm25

WINDOW_BYTES = 6_000
"""About 1,500 tokens."""
PIECE_BYTES = 1_500
"""The most of a paragraph that is ranked as one, and not cut."""
LINES_BYTES = 200
"""Shorter paragraphs are ranked together, which also bounds how many there are."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some paragraphs that follow one another."""

    pieces: tuple[str, ...]
    first_page: int
    last_page: int

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


def windows(pages: Sequence[str]) -> list[Window]:
    """`pages` cut into windows of at most `WINDOW_BYTES`, at paragraph borders where there are any.

    Together they are the whole text. Where there are several pages, each begins with its number.
    """
    made: list[Window] = []
    pieces: list[str] = []
    size = first = last = 0
    for number, page in enumerate(pages, 1):
        for piece in _marked(number, page) if len(pages) > 1 else _pieces(page):
            length = len(piece.encode())
            if pieces and size + length > WINDOW_BYTES:
                made.append(Window(tuple(pieces), first, last))
                pieces, size = [], 0
            if not pieces:
                first = number
            pieces.append(piece)
            size += length
            last = number
    if pieces:
        made.append(Window(tuple(pieces), first, last))
    return made


def by_relevance(parts: Sequence[Window], question: str) -> list[int]:
    """Indexes of the windows that have to do with `question`, best first. A window is as good as
    its best paragraph."""
    scores = iter(bm25(question, [piece for part in parts for piece in part.pieces]))
    best = [max(next(scores) for _ in part.pieces) for part in parts]
    return sorted((i for i, score in enumerate(best) if score > 0), key=lambda i: -best[i])


def _marked(number: int, page: str) -> Iterator[str]:
    """The pieces of a page, the first with its number before it."""
    mark = f"[page {number}]\n"
    for piece in _pieces(f"{page}\n\n"):
        yield mark + piece
        mark = ""


def _pieces(text: str) -> Iterator[str]:
    """Paragraphs, each with the line break after it: up to an empty line where the text has any,
    else single lines. Short ones are put together, and one that is too long is cut."""
    spaced = "\n\n" in text.rstrip()
    piece, size = "", 0
    for line in text.splitlines(keepends=True):
        for part in _cut(line):
            length = len(part.encode())
            if piece and size + length > PIECE_BYTES:
                yield piece
                piece, size = "", 0
            piece += part
            size += length
        if size >= LINES_BYTES and (not spaced or not line.strip()):
            yield piece
            piece, size = "", 0
    if piece:
        yield piece


def _cut(line: str) -> Iterator[str]:
    """`line` in parts of at most `PIECE_BYTES`, between words where there are any."""
    while len(line) > PIECE_BYTES or len(line.encode()) > PIECE_BYTES:
        part = line[:PIECE_BYTES].encode()[:PIECE_BYTES].decode(errors="ignore")
        border = part.rfind(" ") + 1
        if border > len(part) // 2:
            part = part[:border]
        yield part
        line = line[len(part) :]
    if line:
        yield line
