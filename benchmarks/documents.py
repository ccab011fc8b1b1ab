"""Documents: seconds to index 10,000 passages, and milliseconds for a query.

    python benchmarks/documents.py [--passages 10000] [--queries 50] [--width 0]

Markdown files of prose are written to a scratch folder: made-up words as frequent as in a language
(Zipf), of which the most frequent are English ones. With `--width`, passages also get random
vectors of that many numbers, and queries are ranked by both; no model is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, product
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mull.budgets import Ledger
from mull.tools.documents import Documents

PER_FILE = 20
"""Passages in a file, about."""
COMMON = (
    "the of and to a in is that for it as was with be by on not he i this are or his from at which "
    "but have an had they you were their one all we can her has there been if more when will would "
    "who so no"
)
"""English words, by how common they are."""


@dataclass
class RandomEmbeddings:
    """Random vectors, at no cost."""

    width: int
    identity: str = "random"

    async def embed(
        self, texts: Sequence[str], *, ledger: Ledger, call_id: str, query: bool = False
    ) -> list[list[float]]:
        """A vector for each text."""
        return [[random.gauss(0, 1) for _ in range(self.width)] for _ in texts]


async def main(passages: int, queries: int, width: int) -> None:
    """Measure and print the table."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "docs"
        written = _write(folder, passages, rng)
        embeddings = RandomEmbeddings(width) if width else None
        documents = Documents(folder, embeddings, index=Path(scratch) / "index.sqlite")
        table = Table("", "", title=f"{written / 2**20:.1f} MiB of Markdown")

        started = time.perf_counter()
        done = await documents.ingest()
        table.add_row(f"index {done.passages} passages", f"{time.perf_counter() - started:.2f} s")
        if embeddings is not None:
            started = time.perf_counter()
            await documents.ingest(ledger=Ledger())
            table.add_row("store their vectors", f"{time.perf_counter() - started:.2f} s")
        started = time.perf_counter()
        await documents.ingest()
        table.add_row("ingest again, no change", f"{time.perf_counter() - started:.2f} s")
        await asyncio.sleep(2.1)  # A file as young as the index is looked into once more.
        next(folder.glob("*/*.md")).write_text("Another text.\n")
        await documents.ingest()
        started = time.perf_counter()
        await documents.ingest()
        table.add_row("and once more", f"{time.perf_counter() - started:.2f} s")

        for name, words in (("short", 3), ("a question", 8), ("a long question", 40)):
            times = []
            for _ in range(queries):
                question = " ".join(_prose(rng, words))
                started = time.perf_counter()
                await documents.search(question, ledger=Ledger())
                times.append(1000 * (time.perf_counter() - started))
            most = statistics.quantiles(times, n=20)[-1]
            figures = f"{statistics.median(times):.1f} ms, 95 %: {most:.1f} ms"
            table.add_row(f"query: {name}, {words} words", figures)
    Console().print(table)


def _write(folder: Path, passages: int, rng: random.Random) -> int:
    """Write files of about that many passages; how many bytes they have."""
    written = 0
    for number in range(max(1, passages // PER_FILE)):
        path = folder / f"part{number % 10}" / f"file{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"# File {number}\n"
        for _ in range(PER_FILE):
            text += "\n"
            for _ in range(8):
                text += " ".join(_prose(rng, 13)) + "\n"
        written += path.write_text(text)
    return written


def _vocabulary() -> tuple[list[str], list[float]]:
    """Made-up words, and their frequencies by rank, summed up."""
    ends = ("a", "en", "i", "or", "u", "ast")
    syllables = [start + end for start in "bdfgklmnprstvz" for end in ends]
    words = ["".join(parts) for parts in islice(product(syllables, repeat=3), 0, None, 25)]
    words = COMMON.split() + words
    return words, list(accumulate(1 / rank for rank in range(1, len(words) + 1)))


_WORDS, _FREQUENCIES = _vocabulary()


def _prose(rng: random.Random, words: int) -> list[str]:
    return rng.choices(_WORDS, cum_weights=_FREQUENCIES, k=words)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--width", type=int, default=0, help="numbers in a vector; 0: no vectors")
    given = parser.parse_args()
    asyncio.run(main(given.passages, given.queries, given.width))
