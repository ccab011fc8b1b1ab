"""A killed run goes on where it ended: the same outputs, and nothing stored is paid for twice."""

import asyncio
import json
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import until

from mull import Ledger, Model, SQLiteStore, WrongUsage
from mull.budgets import Record
from mull.scripts import Script, ScriptResult
from mull.scripts.replies import Replies
from mull.tools import as_tool

PATIENCE = 100.0
EIGHT = """
budget: tokens=500000
seed: 5
inputs: {names: [3, 5, 7]}
steps:
- {id: draw, python: "helpers:draw"}
- {id: left, question: "1000 and 2", depth: reason, output: left.txt}
- {id: right, question: "2000 and 2", depth: direct}
- id: each
  foreach: inputs.names
  question: "{{ item }} and {{ steps.draw.answer[index] }}"
  depth: reason
  output: each/{{ item }}.txt
- {id: more, question: "{{ steps.left.answer }} and 3000", depth: reason}
- id: check
  when: steps.more.answer | int > 10
  question: "{{ steps.right.answer }} and 6000"
  depth: reason
- {id: total, python: "helpers:total", needs: [each, check]}
- {id: report, question: "{{ steps.total.answer }} and 10000", depth: reason, output: report.txt}
"""
HELPERS = """
def draw(inputs, steps):
    return [100 * name for name in inputs["names"]]

def total(inputs, steps):
    return sum(int(answer) for answer in steps["each"]["answer"]) + int(steps["check"]["answer"])
"""


async def started(server: FaultServer, folder: Path, *more: str) -> asyncio.subprocess.Process:
    """`mull run` on the eight steps, in a process of its own."""
    (folder / "eight.yaml").write_text(EIGHT)
    (folder / "helpers.py").write_text(HELPERS)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mull", "run", "eight.yaml", "--json", "--out", "out"),
        *("--model", "m", "--base-url", server.base_url, *more),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ,
    )


async def finished(server: FaultServer, folder: Path, *more: str) -> dict[str, Any]:
    """The run's answers when nobody kills it."""
    process = await started(server, folder, *more)
    try:
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    steps = json.loads(said)["steps"]
    return {name: (step["state"], step["answer"], step["text"]) for name, step in steps.items()}


def stored(folder: Path) -> dict[str, str]:
    """The step files, and what they hold."""
    files = (folder / "eight.run" / "steps").glob("*.json")
    return {file.stem: file.read_text() for file in files}


def outputs(folder: Path) -> dict[str, str]:
    """The output files."""
    files = (file for file in (folder / "out").rglob("*") if file.is_file())
    return {file.name: file.read_text() for file in files}


def asked(server: FaultServer) -> list[str]:
    """The questions that arrived."""
    return [str(one.body["messages"][-1]["content"]).splitlines()[0] for one in server.requests]


def record(call: str) -> Record:
    """A call that was answered."""
    return Record(
        root="script",
        call_id=f"a/01234567/try0/run/{call}",
        digest="d",
        kind="model",
        name="m",
        asked={},
        replied={"text": "3"},
        started=1.0,
        seconds=0.5,
    )


def more_than(server: FaultServer, count: int) -> bool:
    """Whether more requests than these have arrived."""
    return len(server.requests) > count


def new(folder: Path, name: str) -> Path:
    """An empty folder."""
    (folder / name).mkdir()
    return folder / name


@pytest.mark.timeout(400)
async def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(
    adder: FaultServer, tmp_path: Path
) -> None:
    whole, killed = new(tmp_path, "whole"), new(tmp_path, "killed")
    wanted = await finished(adder, whole)
    adder.requests.clear()
    adder.delay, adder.token_delay = 0.05, 0.01
    rng, known, kills = random.Random(4), dict[str, str](), 0
    while kills < 3 and "report" not in known:
        process = await started(adder, killed, "--resume")
        # From the first request of this process on, any moment.
        before = len(adder.requests)
        try:
            await until(partial(more_than, adder, before), PATIENCE)
            await asyncio.sleep(rng.uniform(0, 0.3))
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await until(lambda: adder.active == 0, PATIENCE)
        kills += 1
        now = stored(killed)
        assert {name: now[name] for name in known} == known
        repeats = {json.loads(text)["result"]["question"] for text in known.values()} - {""}
        assert not repeats & set(asked(adder)[before:])
        known = now
    adder.delay = adder.token_delay = 0.0
    before = len(adder.requests)
    assert await finished(adder, killed, "--resume") == wanted
    assert outputs(killed) == outputs(whole)
    paid = {json.loads(text)["result"]["question"] for text in known.values()} - {""}
    assert not paid & set(asked(adder)[before:])
    ledger = Ledger(key="script", store=SQLiteStore(killed / "eight.run" / "ledger.db"))
    assert ledger.spent().calls >= len(adder.requests)
    assert ledger.held().tokens == 0
    assert kills


async def test_a_run_that_is_complete_costs_nothing_when_resumed(
    adder: FaultServer, tmp_path: Path
) -> None:
    wanted = await finished(adder, tmp_path)
    (tmp_path / "out" / "report.txt").unlink()
    adder.requests.clear()
    assert await finished(adder, tmp_path, "--resume") == wanted
    assert adder.requests == []
    assert (tmp_path / "out" / "report.txt").exists()


def two(folder: Path, second: str = "4 and 5") -> Script:
    """Two steps, the second with another question."""
    file = folder / "two.yaml"
    file.write_text(
        "steps:\n- {id: a, question: '1 and 2', depth: reason}\n"
        f"- {{id: b, question: '{second}', depth: reason}}\n"
    )
    return Script.load(file)


async def test_a_step_that_was_changed_is_done_again_and_the_others_are_not(
    adder: FaultServer, tmp_path: Path
) -> None:
    model, folder = Model("m", adder.base_url), tmp_path / "run"
    await two(tmp_path).arun(model, folder=folder)
    adder.requests.clear()
    result = await two(tmp_path, "40 and 50").arun(model, folder=folder, resume=True)
    assert asked(adder) == ["40 and 50"]
    assert (result.steps["a"].stored, result.steps["b"].stored) == (True, False)


async def test_another_seed_or_model_does_every_step_again(
    adder: FaultServer, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    await two(tmp_path).arun(Model("m", adder.base_url), folder=folder)
    await two(tmp_path).arun(Model("m", adder.base_url), folder=folder, resume=True, seed=8)
    await two(tmp_path).arun(Model("other", adder.base_url), folder=folder, resume=True, seed=8)
    assert len(adder.requests) == 6


async def test_a_step_that_failed_is_done_again(adder: FaultServer, tmp_path: Path) -> None:
    model, folder, reply = Model("m", adder.base_url), tmp_path / "run", adder.reply
    adder.reply = lambda body: ""
    assert not (await two(tmp_path).arun(model, folder=folder)).ok
    adder.reply = reply
    assert (await two(tmp_path).arun(model, folder=folder, resume=True)).ok


async def test_a_reply_of_a_step_that_was_cut_short_is_not_paid_for_again(
    adder: FaultServer, tmp_path: Path
) -> None:
    file, folder = tmp_path / "one.yaml", tmp_path / "run"
    file.write_text("steps: [{id: a, question: '1 and 2', depth: reflect}]")
    model, script = Model("m", adder.base_url), Script.load(file)
    adder.fault = ["none", "hang_mid_stream"]
    cut = asyncio.create_task(script.arun(model, folder=folder))
    await until(lambda: len(adder.requests) == 2, PATIENCE)
    cut.cancel()
    await asyncio.wait([cut])
    adder.fault = "none"
    assert (await script.arun(model, folder=folder, resume=True)).ok
    first, *later = (json.dumps(one.body["messages"]) for one in adder.requests)
    assert first not in later
    assert not list((folder / "steps").glob("*.jsonl"))


def test_a_reply_that_a_kill_tore_is_asked_for_again(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    kept, torn = record("b"), record("c")
    for one in (kept, torn):
        Replies(file, "same").keep(one)
    file.write_bytes(file.read_bytes()[:-9])
    replies = Replies(file, "same")
    assert replies.recall("script", kept.call_id, "d") == kept
    assert replies.recall("script", torn.call_id, "d") is None
    replies.keep(torn)
    assert Replies(file, "same").recall("script", torn.call_id, "d") == torn


def test_replies_to_another_question_and_of_another_try_do_not_count(tmp_path: Path) -> None:
    file, kept = tmp_path / "a.jsonl", record("b")
    Replies(file, "same").keep(kept)
    assert Replies(file, "same").recall("script", kept.call_id, "d") == kept
    another = kept.call_id.replace("try0", "try1")
    assert Replies(file, "same").recall("script", another, "d") is None
    assert Replies(file, "other").recall("script", kept.call_id, "d") is None


class Bank:
    """A step that has bob paid; its tool does not come back while it is held."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.sent: list[str] = []
        self.amount = 5
        self.said = "It is done.\nAnswer: 42"
        self.open = asyncio.Event()
        self.open.set()
        server.reply = self.reply

    def reply(self, body: Any) -> Reply:
        """Pay bob, then say something."""
        if body["messages"][-1]["role"] == "tool":
            return Reply(self.said)
        return Reply(tool_calls=[("send", {"to": "bob", "amount": self.amount})])

    async def run(self, step: str = "{id: a, question: 'Pay bob'}") -> ScriptResult:
        """Run the script, or go on with it."""

        async def send(to: str, amount: int) -> str:
            """Send money."""
            self.sent.append(f"{amount} to {to}")
            await self.open.wait()
            return f"sent {amount} to {to}"

        file = self.folder / "pay.yaml"
        file.write_text(f"steps: [{step[:-1]}, depth: reason, tools: [send]}}]")
        return await Script.load(file).arun(
            Model("m", self.server.base_url),
            folder=self.folder / "run",
            resume=True,
            tools={"send": as_tool(send, side_effects=True)},
            approve="all",
        )

    async def cut_off(self, step: str = "{id: a, question: 'Pay bob'}") -> None:
        """Run it, and end it while the money is under way."""
        self.open.clear()
        cut = asyncio.create_task(self.run(step))
        await until(lambda: bool(self.sent), PATIENCE)
        cut.cancel()
        await asyncio.wait([cut])
        self.open.set()

    def told(self) -> str:
        """What the model was told of its call, last."""
        return str(self.server.requests[-1].body["messages"][-1]["content"])


@pytest.mark.parametrize(
    "step", ["{id: a, question: 'Pay bob'}", "{id: a, question: 'Pay {{ item }}', foreach: [bob]}"]
)
async def test_what_was_under_way_at_the_cut_is_not_carried_out_again(
    server: FaultServer, tmp_path: Path, step: str
) -> None:
    bank = Bank(server, tmp_path)
    await bank.cut_off(step)
    assert (await bank.run(step)).ok
    assert bank.sent == ["5 to bob"]
    assert "whether it was carried out is not known" in bank.told()
    assert len(server.requests) == 2


async def test_what_a_step_that_failed_had_carried_out_is_told_and_not_done_again(
    server: FaultServer, tmp_path: Path
) -> None:
    bank = Bank(server, tmp_path)
    bank.said = ""
    assert not (await bank.run()).ok
    server.requests.clear()
    bank.said = "It is done.\nAnswer: 42"
    assert (await bank.run()).ok
    assert bank.sent == ["5 to bob"]
    assert bank.told() == "sent 5 to bob"
    assert len(server.requests) == 2  # The model is asked anew.


async def test_another_call_than_the_one_that_was_carried_out_is_made(
    server: FaultServer, tmp_path: Path
) -> None:
    bank = Bank(server, tmp_path)
    bank.said = ""
    assert not (await bank.run()).ok
    bank.amount, bank.said = 7, "It is done.\nAnswer: 42"
    assert (await bank.run()).ok
    assert bank.sent == ["5 to bob", "7 to bob"]


async def test_a_step_that_goes_on_may_spend_its_whole_share_again(
    adder: FaultServer, tmp_path: Path
) -> None:
    model, folder, file = Model("m", adder.base_url), tmp_path / "run", tmp_path / "one.yaml"
    for question in ("1 and 2", "3 and 4"):
        file.write_text(
            f"budget: calls=2\nsteps: [{{id: a, question: {question}, depth: direct, share: 0.5}}]"
        )
        assert (await Script.load(file).arun(model, folder=folder, resume=True)).ok
    assert len(adder.requests) == 2


async def test_a_result_that_cannot_be_stored_fails_its_step_alone(
    adder: FaultServer, tmp_path: Path
) -> None:
    (tmp_path / "run" / "steps" / ".a.json.tmp").mkdir(parents=True)
    result = await two(tmp_path).arun(Model("m", adder.base_url), folder=tmp_path / "run")
    assert (result.steps["a"].state, result.steps["b"].state) == ("failed", "done")
    assert "a.json: Is a directory" in str(result.steps["a"].error)


async def test_what_was_spent_before_a_resume_counts(adder: FaultServer, tmp_path: Path) -> None:
    model, folder = Model("m", adder.base_url), tmp_path / "run"
    await two(tmp_path).arun(model, folder=folder, budget="calls=2")
    result = await two(tmp_path, "9").arun(model, folder=folder, resume=True, budget="calls=2")
    assert result.steps["b"].budget_ended
    assert len(adder.requests) == 2


async def test_a_folder_with_a_run_is_not_run_in_again_by_mistake(
    adder: FaultServer, tmp_path: Path
) -> None:
    model, folder = Model("m", adder.base_url), tmp_path / "run"
    await two(tmp_path).arun(model, folder=folder)
    with pytest.raises(WrongUsage, match="holds a run already"):
        await two(tmp_path).arun(model, folder=folder)


async def test_two_runs_cannot_have_one_folder_at_once(adder: FaultServer, tmp_path: Path) -> None:
    adder.fault = "hang_mid_stream"
    model, folder = Model("m", adder.base_url), tmp_path / "run"
    first = asyncio.create_task(two(tmp_path).arun(model, folder=folder))
    await until(lambda: adder.active > 0, PATIENCE)
    with pytest.raises(WrongUsage, match="another process runs in"):
        await two(tmp_path).arun(model, folder=folder, resume=True)
    first.cancel()
    await asyncio.wait([first])
