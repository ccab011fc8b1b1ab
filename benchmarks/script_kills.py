"""`mull run` on the example's eight steps and the embedded model, killed with SIGKILL and resumed.

    python benchmarks/script_kills.py [--kills 20] [--seed 1]

Each kill has a run of its own. The moments are spread evenly over its replies, from the opening of
the ledger to the last reply; a random delay follows.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mull.budgets import Ledger, SQLiteStore
from mull.budgets.books import Entry
from mull.errors import MullError

EXAMPLES = Path(__file__).parent.parent / "examples"
LONGEST_DELAY = 0.05
"""Seconds."""
SETTLED = "SELECT count(*) FROM calls WHERE state = 'settled'"
ATTEMPT = re.compile(r"#\d+$")
"""What differs in a call's id when another life of the run makes the same call."""


@dataclass
class Run:
    """A run of the script in a folder of its own."""

    folder: Path

    @property
    def ledger(self) -> Path:
        """Its books."""
        return self.folder / "script.run" / "ledger.db"

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the command, and wait until its ledger is there."""
        self.folder.mkdir(exist_ok=True)
        for name in ("script.yaml", "script_steps.py"):
            shutil.copy(EXAMPLES / name, self.folder)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mull", "run", "script.yaml", "--model", "demo"),
                *("--out", "out", "--json", *more),
            ],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while not self.ledger.exists() and process.poll() is None:
            time.sleep(0.002)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """What each step came to, and the files that were written, when nobody kills it."""
        said, told = process.communicate()
        if process.returncode:
            raise MullError(f"exit code {process.returncode}: {told.decode()}")
        steps = json.loads(said)["steps"]
        files = sorted(path for path in (self.folder / "out").rglob("*") if path.is_file())
        return {
            "steps": {name: (step["state"], step["answer"]) for name, step in steps.items()},
            "texts": {name: step["text"] for name, step in steps.items()},
            "files": {str(path.relative_to(self.folder)): path.read_text() for path in files},
        }

    def paid(self) -> int:
        """Replies that it has had and paid until now."""
        try:
            with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as books:
                return int(books.execute(SETTLED).fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # It is about to make the table.

    def stored(self) -> dict[str, str]:
        """The files of steps that have ended."""
        files = (self.folder / "script.run" / "steps").glob("*.json")
        return {file.name: file.read_text() for file in files}

    def torn(self) -> bool:
        """Whether a kill cut the writing of a file short."""
        return any(True for _ in self.folder.rglob(".*.tmp"))

    def journal(self) -> list[Entry]:
        """Its calls. The sweep of what a kill left open is part of the reading."""
        with closing(SQLiteStore(self.ledger)) as store:
            return Ledger(key="script", store=store).journal()


def calls(entries: list[Entry], state: str) -> Counter[str]:
    """How often each call was made, whichever life of the run made it."""
    return Counter(ATTEMPT.sub("", entry.call_id) for entry in entries if entry.state == state)


def main(kills: int, seed: int) -> None:
    """Kill, resume, and print the table."""
    rng, sums = random.Random(seed), Counter[str]()
    told = []
    with tempfile.TemporaryDirectory() as name:
        whole = Run(Path(name) / "whole")
        wanted = whole.finish(whole.start())
        made = len(whole.journal())
        for number in range(kills):
            run = Run(Path(name) / str(number))
            process = run.start()
            while run.paid() < number * made // kills and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, LONGEST_DELAY))
            process.kill()
            process.communicate()
            kept, before = run.stored(), run.journal()
            sums["killed while a file was written"] += run.torn()
            sums["killed with calls in flight"] += bool(calls(before, "swept"))
            sums["killed when all was done"] += len(kept) == len(whole.stored())
            told.append(f"{sum(calls(before, 'settled').values())}")
            found = run.finish(run.start("--resume"))
            sums["outputs that differ"] += found != wanted
            now = run.stored()
            sums["stored results that were made again"] += {n: now[n] for n in kept} != kept
            paid = calls(run.journal(), "settled")
            sums["calls in flight, charged at their bounds"] += calls(before, "swept").total()
            sums["replies paid twice"] += sum(times > 1 for times in paid.values())
    table = Table("", "", box=None, show_header=False)
    table.add_row("calls of an uninterrupted run", str(made))
    table.add_row("kills", str(kills))
    table.add_row("replies settled at each kill", ", ".join(told))
    for what, count in sums.items():
        table.add_row(what, str(count))
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.kills, given.seed)
