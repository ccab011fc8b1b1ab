"""Scan: brings an index up to date with its folders. It reads only what has changed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from .folders import File, Folders, Skipped, read_bytes
from .formats import pages_of
from .index import Content, Index
from .passages import Passage, passages
from .pdf import PdfReader

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""

BATCH = 4 * 2**20
"""Bytes of files that are read before they are written, in one transaction."""
NAMED = 1000
"""Of what is skipped, how many are named."""
UNSURE = 2 * 10**9
"""Nanoseconds in which a file may be written twice and bear the same time."""


@dataclass
class Scanned:
    """What a scan did."""

    read: int = 0
    """Files that were new or had changed."""
    removed: int = 0
    """Files that were gone."""
    skipped: list[Skipped] = field(default_factory=list)
    """The first `NAMED` that were left out, in whole or in part."""
    more_skipped: int = 0

    def skip(self, skipped: Skipped) -> None:
        """Note what is left out."""
        if len(self.skipped) < NAMED:
            self.skipped.append(skipped)
        else:
            self.more_skipped += 1


def scan(
    index: Index,
    folders: Folders,
    *,
    largest: int,
    without: frozenset[str],
    progress: Progress | None,
    stop: threading.Event,
) -> Scanned:
    """Read what has changed, forget what is gone. When `stop` is set, it ends after a file.

    What it has read by then is kept. Raises `WrongUsage` for a root that cannot be read.
    """
    done = Scanned()

    def files() -> Iterator[File]:
        for found in folders.walk(largest, without):
            if stop.is_set():
                raise Stopped
            if isinstance(found, File):
                yield found
            else:
                done.skip(found)

    done.removed = index.compare(files())
    problems, named = index.known_problems(NAMED)
    for problem in named:
        done.skip(problem)
    done.more_skipped += problems - len(named)
    total = index.drop_unchanged()
    batch: list[Content] = []
    size = 0
    with PdfReader() as pdf:
        for number, (file, digest) in enumerate(index.to_read(), 1):
            if stop.is_set():
                break
            try:
                content = _read(file, digest, pdf, largest)
            except OSError as error:
                index.forget(file.path)
                done.skip(Skipped(file.name, f"it cannot be read: {error.strerror or error}"))
            else:
                batch.append(content)
                size += content.file.size
                done.read += content.passages is not None
                if content.problem:
                    done.skip(Skipped(file.name, content.problem))
            if size >= BATCH or len(batch) >= 500:
                index.write(batch)
                batch, size = [], 0
            if progress is not None:
                progress(number, total)
        index.write(batch)
    if stop.is_set():
        raise Stopped
    return done


class Stopped(Exception):
    """The scan was told to end before its end."""


def _read(file: File, known: bytes, pdf: PdfReader, largest: int) -> Content:
    data, status = read_bytes(file.path, largest)
    if len(data) > largest:
        raise OSError(f"it has grown over the limit of {largest} bytes")
    # A file written again in the same tick of the clock looks unchanged: it is read again then.
    settled = status.st_mtime_ns < time.time_ns() - UNSURE
    file = replace(file, size=len(data), changed=status.st_mtime_ns if settled else -1)
    digest = hashlib.blake2b(data, digest_size=20).digest()
    if digest == known:
        return Content(file, digest, "", None)
    problems: list[str] = []
    found: list[tuple[int | None, Passage]] = [
        (page.number, passage)
        for page in pages_of(file.name, data, pdf, largest, problems)
        for passage in passages(page.lines)
    ]
    return Content(file, digest, "; ".join(problems), found)
