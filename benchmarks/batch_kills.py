"""`mull batch`, killed with SIGKILL at random moments and started again to the end.

    python benchmarks/batch_kills.py [--questions 2000] [--kills 20] [--seed 1]

The moments are spread over the work: each is a number of rows drawn beforehand, and a random delay.
Where a start has those rows already, the kill falls into its first seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mull.budgets import Ledger, SQLiteStore
from mull.errors import MullError

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks.counting_server import Counting, Counts, counting_server

DELAY = 0.01
"""Seconds before each answer, so that a kill finds calls in flight."""
AFTER_ROWS, AFTER_START = 0.05, 3.0
"""The longest delays of a kill, in seconds: after its rows, and after a start that has them."""
CONCURRENCY = 16


@dataclass
class Work:
    """A batch in a folder."""

    folder: Path
    server: Counting
    settled: list[tuple[set[str], Counts]] = field(default_factory=list)
    """At each kill: the questions that had a row, and what the server had been asked."""

    def write(self, questions: int) -> None:
        """Write the questions."""
        lines = ({"id": f"q{n}", "question": question(f"q{n}")} for n in range(questions))
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.folder / "in.jsonl").write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command."""
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "mull", "batch", "in.jsonl", "out.jsonl", "--model", "m"),
                *("--depth", "direct", "--concurrency", str(CONCURRENCY)),
                *("--base-url", self.server.base_url),
            ],
            cwd=self.folder,
            stderr=subprocess.PIPE,
        )

    def ids(self) -> list[str]:
        """Of all rows that are whole."""
        results = self.folder / "out.jsonl"
        if not results.exists():
            return []
        lines = results.read_bytes().splitlines(keepends=True)
        return [json.loads(line)["id"] for line in lines if line.endswith(b"\n")]

    def kill_at(self, rows: int, rng: random.Random) -> None:
        """Start it, and kill it once it has written so many rows."""
        delay = rng.uniform(0, AFTER_START if self.written() >= rows else AFTER_ROWS)
        process = self.start()
        while self.written() < rows and process.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        if process.poll() is not None:
            raise MullError(f"it ended before it was killed: {told(process)}")
        process.kill()
        process.communicate()
        self.settled.append((set(self.ids()), self.server.counts()))

    def finish(self) -> None:
        """Start it, and let it finish."""
        process = self.start()
        said = told(process)
        if process.returncode:
            raise MullError(f"exit code {process.returncode}: {said}")

    def written(self) -> int:
        """Rows that are whole."""
        results = self.folder / "out.jsonl"
        return results.read_bytes().count(b"\n") if results.exists() else 0

    def asked_though_kept(self) -> int:
        """Questions that were asked again after they had a row."""
        last = self.server.counts().asked
        return sum(
            last[question(name)] > counts.asked[question(name)]
            for names, counts in self.settled
            for name in names
        )


def question(name: str) -> str:
    """What is asked under an id."""
    return f"How many? {name}"


def told(process: subprocess.Popen[bytes]) -> str:
    """What it said until it ended."""
    return process.communicate()[1].decode()


def main(questions: int, kills: int, seed: int) -> None:
    """Kill, finish, and print what the books say."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, counting_server(DELAY) as server:
        work = Work(Path(folder), server)
        work.write(questions)
        begun = time.monotonic()
        for rows in sorted(rng.choices(range(questions * 19 // 20), k=kills)):
            work.kill_at(rows, rng)
        work.finish()
        seconds = time.monotonic() - begun
        show(work, questions, seconds)


def show(work: Work, questions: int, seconds: float) -> None:
    """Print the table."""
    rows = [json.loads(line) for line in (work.folder / "out.jsonl").read_text().splitlines()]
    ids = {row["id"] for row in rows}
    counts, kills = work.server.counts(), len(work.settled)
    again = sum(counts.asked.values()) - len(counts.asked)
    with closing(SQLiteStore(work.folder / "out.jsonl.ledger")) as store:
        ledger = Ledger(key="batch", store=store)
        spent, held = ledger.spent(), ledger.held()
    table = Table("", "", box=None, show_header=False)
    at = ", ".join(f"{len(names):,}" for names, _ in work.settled)
    table.add_row("kills, at rows", f"{kills}, at {at}")
    table.add_row("rows", f"{len(rows):,} of {questions:,}")
    table.add_row("errors", f"{sum(row['error'] is not None for row in rows):,}")
    table.add_row("lost", f"{len({f'q{n}' for n in range(questions)} - ids):,}")
    table.add_row("doubled", f"{len(rows) - len(ids):,}")
    table.add_row("asked again though their row was written", f"{work.asked_though_kept():,}")
    table.add_row("asked again, in flight at a kill", f"{again:,} (≤ {kills * CONCURRENCY:,})")
    table.add_row("calls, ledger and server", f"{spent.calls:,} and {sum(counts.asked.values()):,}")
    table.add_row("tokens, ledger and server", f"{spent.total_tokens:,} and {counts.tokens:,}")
    in_rows = sum(row["usage"]["total_tokens"] for row in rows)
    table.add_row("tokens, sum of the rows", f"{in_rows:,}")
    table.add_row("tokens still held", f"{held.tokens:,}")
    table.add_row("seconds", f"{seconds:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.questions, given.kills, given.seed)
