"""A process that reads PDFs, so that a hostile one harms nothing but itself.

Run as a file, not as a module of the package: it needs pypdf alone. From stdin come files, each
after a JSON line with its size and how many characters of text are wanted; to stdout go JSON lines:
`{"page": n, "text": …}` for each page, `{"skipped": n}` for one that cannot be read, and at the
end `{"end": null}` or `{"end": "what is wrong with the file"}`.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from pypdf import PdfReader

MEMORY = 2 * 2**30
"""Bytes of address space, where the system can limit it."""
PAGE_CHARACTERS = 1_000_000


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """Read files until there are no more."""
    while head := source.readline():
        wanted = json.loads(head)
        data = source.read(wanted["size"])
        for answer in pages(data, wanted["characters"]):
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()


def pages(data: bytes, characters: int) -> Iterator[dict[str, Any]]:
    """What to say of one file."""
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            yield {"end": "it is locked by a password"}
            return
        count = len(reader.pages)
    except Exception as error:  # noqa: BLE001 - of a broken file anything may come, and it is told
        yield {"end": f"a broken PDF ({type(error).__name__}: {error})"[:300]}
        return
    for index in range(count):
        try:
            text = reader.pages[index].extract_text()[:PAGE_CHARACTERS]
        except Exception:  # noqa: BLE001 - as above; the other pages may be sound
            yield {"skipped": index + 1}
            continue
        characters -= len(text)
        if characters < 0:
            yield {"end": f"its text is too long: the pages from {index + 1} on are left out"}
            return
        yield {"page": index + 1, "text": text}
    yield {"end": None}


def limit_memory() -> None:
    """Where the system has such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    if most == resource.RLIM_INFINITY or most > MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, most))


if __name__ == "__main__":
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # What pypdf prints is no answer.
    limit_memory()
    serve(sys.stdin.buffer, out)
