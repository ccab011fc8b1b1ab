"""`mull run` as a shell sees it: plan, schema, report, exit codes, stdout and stderr."""

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from fault_server import FaultServer
from rich.console import Console

from mull import Model
from mull.cli.run_board import Board
from mull.scripts import Progress, Script, Step, schema
from mull.scripts.report import report

EXAMPLE = Path(__file__).parents[2] / "examples" / "script.yaml"
SCRIPT = """
inputs: {x: 1}
steps:
- {id: a, question: "{{ inputs.x }} and 2", depth: reason}
- {id: b, question: "{{ steps.a.answer }} and <b>5</b>", depth: reason}
"""


@dataclass
class Shell:
    """Runs the command in a folder with `s.yaml`."""

    folder: Path
    server: FaultServer

    async def run(self, *arguments: str, text: str = SCRIPT) -> tuple[int | None, str, str]:
        """Exit code, stdout and stderr."""
        (self.folder / "s.yaml").write_text(text)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mull", "run", *arguments),
            *("--model", "m", "--base-url", self.server.base_url),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def shell(tmp_path: Path, adder: FaultServer) -> Shell:
    """A folder of its own."""
    return Shell(tmp_path, adder)


async def test_the_last_steps_text_is_all_of_stdout(shell: Shell) -> None:
    code, out, err = await shell.run("s.yaml", "--input", "x=10")
    assert (code, out) == (0, "It is a sum.\nAnswer: 17\n")
    assert "✓ a  done  12" in err


async def test_a_dry_run_prints_the_plan_in_order_and_asks_nothing(shell: Shell) -> None:
    code, out, _ = await shell.run("s.yaml", "--dry-run", "--budget", "tokens=5000")
    first, second, last = out.splitlines()
    assert code == 0
    assert first.startswith("1. a  reason  ~")
    assert second.startswith("2. b  reason  ~")
    assert second.endswith("after a")
    assert last.endswith("budget tokens=5000")
    assert shell.server.requests == []
    assert not (shell.folder / "s.run").exists()


async def test_a_report_is_one_file_with_every_text_escaped(shell: Shell) -> None:
    await shell.run("s.yaml", "--report", "r.html")
    page = (shell.folder / "r.html").read_text()
    assert "&lt;b&gt;5&lt;/b&gt;" in page
    assert "<b>5</b>" not in page
    assert not re.search(r"<script|<link|<img|https?://", page)
    assert page.count("<section") == 2


async def test_a_report_shows_failed_blocked_skipped_and_items(shell: Shell) -> None:
    steps = (
        Step(id="bad", python="json:loads"),
        Step(id="after", python="json:loads", needs=("bad",)),
        Step(id="never", when="false", question="x"),
        Step(id="each", foreach=[1, 2], question="{{ item }}", depth="reason"),
    )
    result = await Script(steps=steps).arun(Model("m", shell.server.base_url))
    page = report("t", steps, result)
    for state in ("failed", "blocked", "skipped", "done · 2 items"):
        assert state in page


async def test_wrong_scripts_exit_2_with_file_and_line(shell: Shell) -> None:
    code, out, err = await shell.run("s.yaml", text="steps:\n- {id: a, question: '{{ y }}'}\n")
    assert (code, out) == (2, "")
    assert err.startswith("mull: s.yaml:2: there is no 'y' here")


async def test_a_missing_input_exits_2(shell: Shell) -> None:
    text = "inputs:\n  x:\nsteps:\n- {id: a, question: '{{ inputs.x }}'}\n"
    code, _, err = await shell.run("s.yaml", text=text)
    assert (code, shell.server.requests) == (2, [])
    assert "s.yaml:2: the input 'x' is missing" in err


async def test_a_step_that_fails_exits_1_with_its_reason(shell: Shell) -> None:
    shell.server.reply = lambda body: ""
    code, out, err = await shell.run("s.yaml")
    assert (code, out) == (1, "")
    assert "mull: step a: http" in err


async def test_a_budget_that_ends_before_an_answer_exits_4(shell: Shell) -> None:
    code, _, err = await shell.run("s.yaml", "--budget", "tokens=1")
    assert code == 4
    assert "mull: step a: no answer" in err


async def test_json_prints_one_object_with_every_step(shell: Shell) -> None:
    _, out, _ = await shell.run("s.yaml", "--json")
    printed = json.loads(out)
    assert printed["ok"]
    assert {name: step["answer"] for name, step in printed["steps"].items()} == {"a": "3", "b": "8"}


async def test_the_printed_schema_takes_the_example_and_no_unknown_key(shell: Shell) -> None:
    _, out, _ = await shell.run("--schema")
    assert json.loads(out) == schema()
    example = yaml.safe_load(EXAMPLE.read_text())
    jsonschema.validate(example, schema())
    example["steps"][0]["qestion"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(example, schema())


async def test_the_example_runs_on_the_embedded_model(tmp_path: Path, demo_url: str) -> None:
    result = await Script.load(EXAMPLE).arun("demo", out=tmp_path, folder=tmp_path / "run")
    assert result.ok, result.failures
    assert len(result.steps) == 8
    assert (tmp_path / "report.md").read_text().startswith("| step | answer |")


def test_a_board_shows_every_step_with_its_state(tmp_path: Path) -> None:
    steps = (Step(id="a", question="x"), Step(id="b", question="y", needs=("a",)))
    console = Console(force_terminal=True, width=80, file=(tmp_path / "seen").open("w"))
    with console.file, Board(console, steps) as board:
        board.show(Progress(step="a", state="running", done=1, of=3))
        with console.capture() as caught:
            console.print(board.draw())
    shown = re.sub(r"\x1b\[[\d;]*m", "", caught.get())
    assert re.search(r"▶ a +1/3", shown)
    assert re.search(r"  · b +after a", shown)
