"""Reads HTML and PDF in a process of its own: `python extractor.py`, a page in, its text out.

The parsers meet whatever a stranger wrote. Here they can run out of memory, crash or never end,
and only this process goes. Standard input is one line of JSON (`Job`), then the body; standard
output is JSON: `title`, `pages` and `note`, or `error`.
"""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any, TypedDict

MEMORY_BYTES = 1024**3
LITTLE_TEXT = 200
"""Characters. An article shorter than that may not be what the page is about."""


class Job(TypedDict):
    """What to read."""

    kind: str
    """"html", as UTF-8, or "pdf"."""
    seconds: float
    """After which no further page of a PDF is begun."""
    characters: int
    """The most text to return."""


def read_html(body: bytes, job: Job) -> dict[str, Any]:
    """The text of an article, or of the whole page where there is none."""
    import trafilatura  # Here, as pypdf below: each takes longer to load than to read a page.

    page = body.decode().lstrip()
    if page.startswith("<?xml"):
        page = page.partition("?>")[2]  # It names a charset, and the parser refuses such text.
    tree = trafilatura.load_html(page)
    if tree is None:
        return {"error": "it is no HTML that can be read"}
    title = " ".join((tree.findtext(".//title") or "").split())[:300]
    text = trafilatura.extract(tree, fast=True) or ""
    if len(text) < LITTLE_TEXT:
        text = max(text, trafilatura.html2txt(page), key=len)
    return _kept(title, [text], job, "")


def read_pdf(body: bytes, job: Job) -> dict[str, Any]:
    """The text of each page."""
    import pypdf

    end = time.monotonic() + job["seconds"]
    reader = pypdf.PdfReader(io.BytesIO(body))
    if reader.is_encrypted and not reader.decrypt(""):
        return {"error": "it is a PDF that needs a password"}
    count = len(reader.pages)
    pages: list[str] = []
    size = 0
    for page in reader.pages:
        if time.monotonic() > end or size > job["characters"]:
            break
        pages.append(page.extract_text())
        size += len(pages[-1])
    if not any(page.strip() for page in pages):
        return {"error": "it is a PDF without text: scanned pictures, perhaps"}
    title = reader.metadata.title if reader.metadata else None
    note = f"Only the first {len(pages)} of {count} pages were read." if len(pages) < count else ""
    return _kept(" ".join((title or "").split())[:300], pages, job, note)


def _kept(title: str, pages: list[str], job: Job, note: str) -> dict[str, Any]:
    left = job["characters"]
    kept = []
    for page in pages:
        kept.append(page[:left])
        left -= len(kept[-1])
    if sum(map(len, pages)) > job["characters"]:
        note = f"The text was too long: only its first {job['characters']} characters were read."
    return {"title": title, "pages": kept, "note": note}


def main() -> None:
    """Read standard input, answer, end."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    job: Job = json.loads(sys.stdin.buffer.readline())
    body = sys.stdin.buffer.read()
    try:
        reply = {"html": read_html, "pdf": read_pdf}[job["kind"]](body, job)
    except MemoryError:
        reply = {"error": "it takes too much memory to read"}
    except Exception as error:  # noqa: BLE001 - told in one line, as the answer
        reply = {"error": f"it is broken ({type(error).__name__}: {error})"[:300]}
    sys.stdout.write(json.dumps(reply))


if __name__ == "__main__":
    main()
