"""Formats: a file's bytes as pages of numbered lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .markup import lines_of_html
from .pdf import PdfReader

HTML = (".html", ".htm", ".xhtml")
_HTML_START = re.compile(r"\s*(<!doctype html|<html[\s>])", re.IGNORECASE)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a PDF, or all of another file."""

    number: int | None
    """From 1; None where there are no pages."""
    lines: Iterable[tuple[int, str]]
    """Line numbers, from 1, and what is in them."""


def pages_of(
    name: str, data: bytes, pdf: PdfReader, characters: int, problems: list[str]
) -> Iterator[Page]:
    """The pages of a file; `problems` gets what is wrong with it, if anything is.

    At most `characters` of a PDF's text are given: it may unpack to far more than its bytes.
    """
    low = name.lower()
    if data.startswith(b"%PDF-") or low.endswith(".pdf"):
        empty = True
        for number, text in pdf.read(data, characters, problems):
            empty = empty and not text.strip()
            yield Page(number, _numbered(text))
        if empty and not problems:
            problems.append("a PDF without text (scanned pages?)")
        return
    decoded = decode(data)
    if decoded is None:
        problems.append("not text")
    elif low.endswith(HTML) or _HTML_START.match(decoded):
        yield Page(None, lines_of_html(_line_ends(decoded)))
    else:
        yield Page(None, _numbered(decoded))


def decode(data: bytes) -> str | None:
    """Text in UTF-8, or UTF-16 or 32 with a mark, else Windows-1252; None: it is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace").replace("\0", "")
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        controls = len(data) - len(data.translate(None, _CONTROL))
        return None if 200 * controls > len(data) else data.decode("cp1252", "replace")


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines as editors count them: `str.splitlines` would also end them at form feeds and such."""
    return enumerate(_line_ends(text).split("\n"), 1)


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
