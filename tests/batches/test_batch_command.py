"""`mull batch` as a user's shell sees it: killed, interrupted, and started again."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fault_server import serve_in_process
from leftovers import check_books

from mull import cli
from mull.batches import Progress
from mull.budgets import Budget, Ledger, SQLiteStore, Usage
from mull.cli import FAILED, INTERRUPTED, NO_BACKEND, NO_BUDGET, WRONG_USAGE
from mull.cli.batch_run import said

NOBODY = "http://127.0.0.1:9/v1"


@dataclass
class Shell:
    """Runs the command in a folder with questions."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "out.jsonl"

    def ask(self, count: int) -> None:
        """Write the input: ids q0, q1, …"""
        rows = ({"id": f"q{n}", "question": f"How many? {n}"} for n in range(count))
        (self.folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def start(self, url: str, *options: str) -> subprocess.Popen[str]:
        """Start the command on a backend."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mull", "batch", "in.jsonl", "out.jsonl", "--model", "m"),
                *("--base-url", url, "--depth", "direct", *options),
            ],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for the command: its exit code and what it said."""
        out, err = process.communicate()
        assert out == ""
        assert "Traceback" not in err, err
        return process.returncode, err

    def written(self) -> int:
        """Whole rows in the output now."""
        return self.results.read_bytes().count(b"\n") if self.results.exists() else 0

    def wait_for_rows(self, count: int, process: subprocess.Popen[str]) -> None:
        """Until so many are written, or the command has ended."""
        while self.written() < count and process.poll() is None:
            time.sleep(0.005)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The output's rows under their ids; no id is there twice."""
        rows = [json.loads(line) for line in self.results.read_text().splitlines()]
        named = {row["id"]: row for row in rows}
        assert len(named) == len(rows)
        return named


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in a folder of its own; no process outlives the test."""
    shell = Shell(tmp_path)
    yield shell
    for process in shell.started:
        process.kill()
        process.communicate()


@dataclass
class Inside:
    """Runs the command in this process: no start-up to wait for."""

    shell: Shell
    capsys: pytest.CaptureFixture[str]

    def run(self, url: str, *options: str) -> tuple[int, str]:
        """The exit code, and what the command said."""
        given = ["in.jsonl", "out.jsonl", "--model", "m", "--base-url", url, "--depth", "direct"]
        code = cli.main(["batch", *given, *options])
        said = self.capsys.readouterr()
        assert said.out == ""
        return code, said.err


@pytest.fixture
def inside(
    shell: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Inside:
    """The command in this process, in the shell's folder."""
    monkeypatch.chdir(shell.folder)
    return Inside(shell, capsys)


def test_kills_at_any_moment_lose_nothing_and_double_nothing(shell: Shell) -> None:
    shell.ask(80)
    moments = random.Random(5)
    with serve_in_process(tokens=5, delay=0.01) as server:
        for _ in range(3):
            process = shell.start(server.base_url, "--concurrency", "4")
            shell.wait_for_rows(shell.written() + moments.randrange(1, 20), process)
            process.kill()
            process.wait()
        code, _ = shell.finish(shell.start(server.base_url))
        counts = server.counts()
    assert code == 0
    rows = shell.rows()
    assert set(rows) == {f"q{number}" for number in range(80)}
    assert all(row["answer"] and row["error"] is None for row in rows.values())
    assert counts["requests"] <= 80 + 3 * 4, "only what was in flight was asked again"
    with closing(SQLiteStore(shell.folder / "out.jsonl.ledger")) as store:
        ledger = Ledger(key="batch", store=store)
        check_books(ledger)
        assert ledger.spent().total_tokens >= counts["spent_tokens"]


def test_ctrl_c_finishes_what_is_in_flight_and_says_how_to_go_on(shell: Shell) -> None:
    shell.ask(40)
    with serve_in_process(tokens=5, delay=0.05) as server:
        process = shell.start(server.base_url, "--concurrency", "2")
        shell.wait_for_rows(3, process)
        process.send_signal(signal.SIGINT)
        code, err = shell.finish(process)
        counts = server.counts()
        assert code == INTERRUPTED
        assert "finishing the questions in flight" in err
        assert f"{40 - shell.written()} questions are left: the same command goes on" in err
        assert (counts["aborted"], counts["requests"]) == (0, shell.written())
        assert shell.finish(shell.start(server.base_url))[0] == 0
        assert server.counts()["requests"] == 40
    assert len(shell.rows()) == 40


def test_a_second_ctrl_c_ends_it_at_once(shell: Shell) -> None:
    shell.ask(4)
    with serve_in_process(["none", "hang_mid_stream"]) as server:
        process = shell.start(server.base_url, "--concurrency", "1")
        shell.wait_for_rows(1, process)
        assert process.stderr
        process.send_signal(signal.SIGINT)
        while "finishing the questions" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert shell.finish(process)[0] == INTERRUPTED
        assert shell.written() == 1


def test_errors_are_told_and_asked_again_on_request(inside: Inside) -> None:
    inside.shell.ask(3)
    with serve_in_process(["status_400", "none"]) as server:
        code, err = inside.run(server.base_url, "--concurrency", "1")
        assert code == FAILED
        assert "3 of 3 · 1 errors" in err
        assert "1 rows of out.jsonl are errors: --retry-errors asks again" in err
        assert inside.run(server.base_url, "--retry-errors")[0] == 0
    assert all(row["error"] is None for row in inside.shell.rows().values())


def test_the_end_of_the_whole_budget_has_its_own_exit_code(inside: Inside) -> None:
    inside.shell.ask(9)
    with serve_in_process(tokens=5) as server:
        options = "--concurrency", "1", "--total-budget"
        code, err = inside.run(server.base_url, *options, "calls=4")
        assert code == NO_BUDGET
        assert "5 questions are left: go on with a larger --total-budget" in err
        assert inside.run(server.base_url, *options, "calls=9")[0] == 0
        assert server.counts()["requests"] == 9


def test_a_backend_that_is_not_there_fails_no_question(inside: Inside) -> None:
    inside.shell.ask(2)
    assert inside.run(NOBODY)[0] == NO_BACKEND
    assert inside.shell.rows() == {}


def test_an_id_that_is_there_twice_is_wrong_usage(inside: Inside) -> None:
    questions = '{"id": 1, "question": "a"}\n{"id": 1, "question": "b"}'
    (inside.shell.folder / "in.jsonl").write_text(questions)
    code, err = inside.run(NOBODY)
    assert code == WRONG_USAGE
    assert "in.jsonl: line 2: the id 1 is that of line 1" in err


def test_the_progress_says_how_far_how_fast_how_long_still_and_what_is_spent() -> None:
    spent = Usage(calls=30, input_tokens=900, output_tokens=600)
    progress = Progress(total=7300, earlier=70, new=30, failed=2, seconds=15.0, spent=spent)
    assert said(progress, Budget(tokens=9000)) == (
        "100 of 7,300 · 2 errors · 2.0 a second · 1:00:00 left · 1,500 of 9,000 tokens · 0.0 s"
    )
    fresh = Progress(total=10, earlier=0, spent=Usage())
    assert said(fresh, Budget()) == "0 of 10 · 0 tokens · 0.0 s"
