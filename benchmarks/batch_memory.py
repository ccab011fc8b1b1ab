"""Peak memory and rate of `mull batch` over the length of its input.

    python benchmarks/batch_memory.py [--lines 1000 10000 100000]

The server answers at once. Each batch is then started again, with nothing left to do. The peak is
Linux's own (`VmHWM`), of the command alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mull.errors import MullError

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks.counting_server import counting_server

LOOK_AGAIN = 0.02
"""Seconds between two looks at the peak."""


@dataclass(frozen=True)
class Measured:
    """One start of the command."""

    seconds: float
    cpu: float
    """Seconds of processor time, which a busy machine does not change."""
    peak: float
    """MiB."""


def measure(folder: Path, url: str) -> Measured:
    """Start the command, and watch it to its end."""
    begun, used, peak = time.monotonic(), cpu_seconds(), 0
    command = [
        *(sys.executable, "-m", "mull", "batch", "in.jsonl", "out.jsonl", "--model", "m"),
        *("--depth", "direct", "--base-url", url),
    ]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, cwd=folder, stderr=said)
        while process.poll() is None:
            peak = max(peak, peak_kib(process.pid))
            time.sleep(LOOK_AGAIN)
    if process.returncode:
        told = (folder / "said").read_text()
        raise MullError(f"exit code {process.returncode}: {told}")
    return Measured(time.monotonic() - begun, cpu_seconds() - used, peak / 1024)


def cpu_seconds() -> float:
    """Processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_kib(pid: int) -> int:
    """The most memory that a process has had; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(words[1]) for words in lines if words[0] == "VmHWM:"), 0)


def main(lengths: list[int]) -> None:
    """Measure and print the table."""
    table = Table(
        *("lines", "peak MiB", "lines a second", "CPU ms a line"),
        *("again: peak MiB", "CPU seconds"),
        box=None,
    )
    with counting_server() as server:
        for lines in lengths:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                with (folder / "in.jsonl").open("w") as file:
                    for number in range(lines):
                        line = {"id": f"q{number}", "question": f"How many? {number}"}
                        file.write(json.dumps(line) + "\n")
                first, again = (measure(folder, server.base_url) for _ in range(2))
            table.add_row(
                *(f"{lines:,}", f"{first.peak:.0f}", f"{lines / first.seconds:.0f}"),
                *(f"{1000 * first.cpu / lines:.1f}", f"{again.peak:.0f}", f"{again.cpu:.1f}"),
            )
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[1000, 10_000, 100_000])
    main(parser.parse_args().lines)
