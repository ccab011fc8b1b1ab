"""The readable text of a page, whatever the page is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..functions import in_thread
from ..tool import ToolError
from .charsets import decode
from .fetch import Page
from .turns import Turns

SECONDS = 15.0
"""For the text of one page."""
PDF_SECONDS = 12.0
"""After which a PDF's text ends where it is: most of a long one is better than none."""
CHARACTERS = 1_000_000
"""The most text of one page, about 250,000 tokens."""
AT_ONCE = 2
"""Processes, each of up to 1 GiB."""
_EXTRACTOR = Path(__file__).with_name("extractor.py")
_HTML = {"text/html", "application/xhtml+xml"}
_EMPTY_LINES = re.compile(r"\n{3,}")
_turns = Turns(AT_ONCE)


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a page."""

    address: str
    title: str
    """Empty where there is none."""
    pages: tuple[str, ...]
    """One, or those of a PDF."""
    note: str = ""
    """What is missing, in a sentence."""

    @property
    def paged(self) -> bool:
        """Whether the numbers of its pages mean something to a reader."""
        return len(self.pages) > 1


async def extract(page: Page) -> Document:
    """The text of `page`. Raises `ToolError`. Cancelling ends the work."""
    if not page.body.strip():
        raise ToolError(f"{page.address} is empty")
    kind = _kind(page)
    if kind == "text":
        return await in_thread(lambda: _document(page, _read_text(page)))
    body = page.body
    if kind == "html":
        body = decode(body, page.charset, markup=True).encode("utf-8", "replace")
    async with _turns.here():
        reply = await _in_process(kind, body)
    if "error" in reply:
        raise ToolError(f"{page.address} could not be read: {reply['error']}")
    return _document(page, reply)


def _kind(page: Page) -> str:
    """What the extractor calls it, or "text". Servers often name a PDF something else."""
    start = page.body[:1024].lower()
    if start.startswith(b"%pdf-") or page.media_type == "application/pdf":
        return "pdf"
    unnamed = page.media_type in {"", "application/octet-stream"}
    if page.media_type in _HTML or (unnamed and (b"<html" in start or b"<!doctype html" in start)):
        return "html"
    return "text"


def _read_text(page: Page) -> dict[str, Any]:
    text = decode(page.body, page.charset, markup="xml" in page.media_type)
    if "\0" in text[:10_000]:
        raise ToolError(f"{page.address} is not text")
    cut = len(text) > CHARACTERS
    note = f"The text was too long: only its first {CHARACTERS} characters were read."
    return {"title": "", "pages": [text[:CHARACTERS]], "note": note if cut else ""}


async def _in_process(kind: str, body: bytes) -> dict[str, Any]:
    """What the extractor answers: see there."""
    job = {"kind": kind, "seconds": PDF_SECONDS, "characters": CHARACTERS}
    request = json.dumps(job).encode() + b"\n" + body
    process = _started()

    def converse() -> bytes:
        try:
            return process.communicate(request, timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise

    try:
        output = await in_thread(converse)
    except subprocess.TimeoutExpired:
        return {"error": f"it takes longer than {SECONDS:.0f} s"}
    finally:
        process.kill()  # Where the call was cancelled; the thread then sees its end.
    if process.returncode != 0:
        return {"error": "the program that makes text of it broke"}
    reply: dict[str, Any] = json.loads(output)
    return reply


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: the modules of this folder must not shadow those that the parsers import.
        [sys.executable, "-P", str(_EXTRACTOR)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _document(page: Page, reply: dict[str, Any]) -> Document:
    pages = tuple(_clean(text) for text in reply["pages"])
    if not any(pages):
        raise ToolError(
            f"{page.address} has no text that can be read: perhaps it needs a browser that runs "
            "its scripts"
        )
    return Document(page.address, reply["title"], pages, reply["note"])


def _clean(text: str) -> str:
    """Without what could not be sent to a model, and without the emptiest of lines."""
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    return _EMPTY_LINES.sub("\n\n", text).strip()
