"""The `mull` command as a user's shell sees it: exit codes, stdout, stderr."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import until

from mull.cli import main
from mull.tools import as_tool

SURE = "It is clear.\nAnswer: 42"
QUESTION = "Tom has 3 pens. Tom gets another 4. How many pens does Tom have?"
SETTINGS = ("MULL_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY")
NOBODY = "http://127.0.0.1:9/v1"


@dataclass
class Done:
    """What a command left behind."""

    code: int | None
    out: str
    err: str


@dataclass
class Shell:
    """Runs `mull` in an empty directory, without a model configured."""

    folder: Path

    async def start(self, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
        """Start the command."""
        bare = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mull", *arguments),
            cwd=self.folder,
            env={**bare, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def mull(self, *arguments: str, **variables: str) -> Done:
        """Run the command to its end."""
        process = await self.start(*arguments, **variables)
        out, err = await process.communicate()
        done = Done(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        return done


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a directory of its own."""
    return Shell(tmp_path)


@dataclass
class Inside:
    """Runs the command in this process, as if in an empty directory: no start-up to wait for."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    typed: bytes = b""
    """What standard input gives."""

    def configure(self, text: str) -> None:
        """Write the `mull.toml`."""
        (self.folder / "mull.toml").write_text(text)

    def traced(self) -> list[dict[str, Any]]:
        """The events in `trace.jsonl`."""
        lines = (self.folder / "trace.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    async def mull(self, *arguments: str, **variables: str) -> Done:
        """Run the command to its end."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)
        text = io.TextIOWrapper(io.BytesIO(self.typed), "utf-8", errors="surrogateescape")
        self.monkeypatch.setattr("sys.stdin", text)
        code = await asyncio.to_thread(main, arguments)
        return Done(code, *self.capsys.readouterr())


@pytest.fixture
def inside(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Inside:
    """The command in this process, in a directory of its own, without a model configured."""
    monkeypatch.chdir(tmp_path)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return Inside(capsys, monkeypatch, tmp_path)


def on(server: FaultServer) -> list[str]:
    return ["--model", "m", "--base-url", server.base_url]


# --- exit codes, stdout and stderr


async def test_an_answer_exits_0_with_only_itself_on_stdout(
    shell: Shell, server: FaultServer
) -> None:
    server.reply = SURE
    done = await shell.mull("ask", QUESTION, *on(server))
    assert (done.code, done.out) == (0, f"{SURE}\n")
    assert done.err.splitlines()[-1].startswith("stopped: answered")


async def test_json_prints_one_object_with_the_contracts_keys(
    shell: Shell, server: FaultServer
) -> None:
    server.reply = "Réponse 😀"
    done = await shell.mull("ask", QUESTION, "--json", *on(server), PYTHONIOENCODING="ascii")
    answer = json.loads(done.out)
    assert answer["answer"] == "Réponse 😀"
    assert set(answer) == {"answer", "output", "confidence", "depth", "difficulty"} | {
        "stopped",
        "usage",
        "budget",
        "thread",
        "pending",
        "trace",
    }


async def test_json_says_how_hard_the_question_was_how_deep_it_went_and_how_sure_it_is(
    inside: Inside, server: FaultServer
) -> None:
    server.reply = "Answer: Paris"
    done = await inside.mull("ask", "What is the capital of France?", "--json", *on(server))
    answer = json.loads(done.out)
    assert (answer["depth"], answer["difficulty"]["level"]) == ("direct", "easy")
    assert {"level", "p_direct", "source"} <= set(answer["difficulty"])
    assert 0.9 <= answer["confidence"] <= 1


async def test_an_effort_is_the_budget_of_the_run(inside: Inside, server: FaultServer) -> None:
    server.reply = SURE
    done = await inside.mull("ask", QUESTION, "--json", "--effort", "low", *on(server))
    assert json.loads(done.out)["budget"]["tokens"] == 4000


async def test_a_budget_that_is_given_wins_over_the_effort(
    inside: Inside, server: FaultServer
) -> None:
    server.reply = SURE
    given = ("--effort", "low", "--budget", "tokens=9000")
    done = await inside.mull("ask", QUESTION, "--json", *given, *on(server))
    budget = json.loads(done.out)["budget"]
    assert (budget["tokens"], budget["seconds"]) == (9000, None)


async def test_without_an_answer_json_still_prints_its_object(
    inside: Inside, server: FaultServer
) -> None:
    done = await inside.mull("ask", QUESTION, "--json", "--budget", "tokens=1", *on(server))
    assert done.code == 4
    assert json.loads(done.out)["stopped"] == "budget"


async def test_a_budget_that_ends_before_any_answer_exits_4_with_the_reason(
    shell: Shell, server: FaultServer
) -> None:
    done = await shell.mull("ask", QUESTION, "--budget", "tokens=1", *on(server))
    assert (done.code, done.out) == (4, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("mull: no answer: the budget (tokens=1) cannot pay another call")
    assert last.endswith("Raise its tokens")


async def test_an_answer_that_the_budget_cut_short_exits_0(
    inside: Inside, server: FaultServer
) -> None:
    server.reply = "so " * 5000
    done = await inside.mull("ask", QUESTION, "--budget", "tokens=900", *on(server))
    assert done.code == 0
    assert done.out.startswith("so so so")


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [("html", "instead of an event stream"), ("status_401", "Check the API key")],
)
async def test_a_backend_that_fails_exits_1_with_the_reason_on_one_line(
    inside: Inside, server: FaultServer, fault: str, complaint: str
) -> None:
    server.fault = fault
    done = await inside.mull("ask", QUESTION, *on(server))
    assert (done.code, done.out) == (1, "")
    told = [line for line in done.err.splitlines() if line.startswith("mull: ")]
    assert len(told) == 1
    assert complaint in told[0]


async def test_a_failure_exits_1(shell: Shell, server: FaultServer) -> None:
    server.fault = "status_400"
    done = await shell.mull("ask", QUESTION, *on(server))
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("mull: ")


async def test_wrong_usage_exits_2(shell: Shell) -> None:
    done = await shell.mull("ask", QUESTION, "--depth", "deep")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mull: there is no depth 'deep'")


async def test_an_unreachable_backend_exits_3(shell: Shell) -> None:
    done = await shell.mull("ask", QUESTION, "--model", "m", "--base-url", NOBODY)
    assert (done.code, done.out) == (3, "")
    assert done.err.splitlines()[-1].startswith("mull: no backend answers")


WRONG: list[tuple[list[str], int, str]] = [
    ([""], 2, "the question is empty"),
    ([" \n"], 2, "the question is empty"),
    ([QUESTION, "--depth", "deep"], 2, "no depth 'deep'"),
    ([QUESTION, "--tools", "python,hammer"], 2, "no tool 'hammer': known by name are python"),
    ([QUESTION, "--budget", "tokens"], 2, "'tokens' is not one of tokens=N"),
    ([QUESTION, "--budget", ""], 2, "is not one of tokens=N"),
    ([QUESTION, "--budget", "tokens=-5"], 2, "not negative"),
    ([QUESTION, "--trace", "no/such/folder/t"], 2, "--trace no/such/folder/t: No such file"),
    ([QUESTION, "--base-url", "localhost:8000"], 2, "give an http:// or https:// address"),
    ([QUESTION, "--base-url", NOBODY], 3, "no backend answers at http://127.0.0.1:9/v1"),
]


@pytest.mark.parametrize(("arguments", "code", "complaint"), WRONG)
async def test_wrong_usage_is_told_on_one_line_with_its_exit_code(
    inside: Inside, arguments: list[str], code: int, complaint: str
) -> None:
    done = await inside.mull("ask", "--model", "m", "--base-url", NOBODY, *arguments)
    assert (done.code, done.out) == (code, "")
    told = done.err.splitlines()[-1]
    assert told.startswith("mull: ")
    assert complaint in told


async def test_bytes_that_are_no_text_are_wrong_usage(inside: Inside) -> None:
    inside.typed = b"\xff"
    done = await inside.mull("ask", "-", "--base-url", NOBODY)
    assert done.code == 2
    assert done.err.startswith("mull: the question is not Unicode text")


async def test_no_model_exits_3_and_names_the_ways_to_configure_one(inside: Inside) -> None:
    done = await inside.mull("ask", QUESTION)
    assert done.code == 3
    (told,) = done.err.splitlines()
    for way in ("--base-url", "OPENAI_BASE_URL", "MULL_MODEL", "mull.toml", "doctor", "demo"):
        assert way in told


@pytest.mark.parametrize(
    "text", ['model = "m', "base_url = 5", 'price = "dear"', 'base_url = "localhost:8000"']
)
async def test_a_bad_mull_toml_is_wrong_usage_on_one_line(inside: Inside, text: str) -> None:
    inside.configure(text)
    done = await inside.mull("ask", QUESTION)
    assert done.code == 2
    (told,) = done.err.splitlines()
    assert told.startswith("mull: ")


def test_an_unknown_command_exits_2() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["answer", QUESTION])


# --- where the question and the model come from


async def test_a_dash_reads_the_question_from_stdin(inside: Inside, server: FaultServer) -> None:
    server.reply = SURE
    inside.typed = "Wie viele Äpfel?".encode()
    await inside.mull("ask", "-", "--depth", "reason", *on(server))
    assert server.requests[0].body["messages"][-1]["content"] == "Wie viele Äpfel?"


async def asked_model(inside: Inside, server: FaultServer, *more: str, **variables: str) -> Any:
    done = await inside.mull("ask", QUESTION, *more, **variables)
    assert done.code == 0, done.err
    return server.requests[-1].body["model"]


async def test_the_environment_names_the_model(inside: Inside, server: FaultServer) -> None:
    variables = {"MULL_MODEL": "from-env", "OPENAI_BASE_URL": server.base_url}
    assert await asked_model(inside, server, **variables) == "from-env"


async def test_a_mull_toml_names_the_model_and_its_key(inside: Inside, server: FaultServer) -> None:
    server.api_key = "secret"
    text = f'model = "from-file"\nbase_url = "{server.base_url}"\napi_key = "secret"\n'
    inside.configure(text)
    assert await asked_model(inside, server) == "from-file"


async def test_the_environment_wins_over_mull_toml(inside: Inside, server: FaultServer) -> None:
    inside.configure(f'model = "file"\nbase_url = "{server.base_url}"')
    assert await asked_model(inside, server, MULL_MODEL="from-env") == "from-env"


async def test_an_argument_wins_over_everything(inside: Inside, server: FaultServer) -> None:
    inside.configure(f'model = "file"\nbase_url = "{NOBODY}"')
    variables = {"MULL_MODEL": "from-env", "OPENAI_BASE_URL": NOBODY}
    assert await asked_model(inside, server, *on(server), **variables) == "m"


async def test_without_a_name_the_only_model_served_is_taken(
    inside: Inside, server: FaultServer
) -> None:
    server.models = ["the-only-one"]
    assert await asked_model(inside, server, "--base-url", server.base_url) == "the-only-one"


# --- the trace, and ends before the end


async def test_a_trace_is_json_lines_that_end_with_the_answer(
    inside: Inside, server: FaultServer
) -> None:
    server.reply = SURE
    await inside.mull("ask", QUESTION, "--trace", "trace.jsonl", *on(server))
    events = inside.traced()
    assert [event["event"] for event in events[:2]] == ["run", "depth_chosen"]
    assert (events[-1]["event"], events[-1]["answer"]) == ("answer", SURE)


async def test_a_run_that_fails_leaves_its_trace(inside: Inside, server: FaultServer) -> None:
    server.fault = "status_400"
    await inside.mull("ask", QUESTION, "--trace", "trace.jsonl", *on(server))
    assert [event["event"] for event in inside.traced()][:2] == ["run", "depth_chosen"]


async def test_ctrl_c_exits_130_and_closes_the_connection(
    shell: Shell, server: FaultServer
) -> None:
    server.fault = "hang_mid_stream"
    process = await shell.start("ask", QUESTION, *on(server))
    await until(lambda: server.active == 1, 20)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    await until(lambda: server.requests[0].aborted, 10)


async def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(
    shell: Shell,
) -> None:
    process = await shell.start("demo", "--budget", "tokens=3000")
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    err = await process.stderr.read()
    assert await process.wait() == 1
    assert b"Traceback" not in err


# --- approvals

SENDS = """
import fcntl, sys, termios
from pathlib import Path
from mull.cli import main
from mull.tools import as_tool, registry

def send(to: str) -> str:
    "Send a greeting."
    Path("sent").write_text(to)
    return f"sent to {to}"

fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Keys such as Ctrl-C become signals.
registry.BUILT_IN = {"send": lambda: as_tool(send, side_effects=True)}
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Terminal:
    """Runs `mull`, with a tool that has side effects, on a terminal of its own."""

    folder: Path
    shown: str = ""

    async def mull(self, server: FaultServer, *more: str, keys: Sequence[bytes] = ()) -> int:
        """The exit code of one question, with one key for each time that approval is asked for."""
        person, program = os.openpty()
        bare = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        given = ["ask", QUESTION, "--depth", "reason", "--tools", "send", *on(server), *more]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SENDS, *given),
            cwd=self.folder,
            env={**bare, "TERM": "xterm", "COLUMNS": "100"},
            stdin=program,
            stdout=program,
            stderr=program,
            start_new_session=True,
        )
        os.close(program)
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(person, self._read, person, over)
        try:
            for number, key in enumerate(keys, 1):
                await until(lambda n=number: self.shown.count("any other key") == n, 30)  # type: ignore[misc]
                await asyncio.sleep(0.1)  # Keys from before the question would not count.
                os.write(person, key)
            await over.wait()
            return await process.wait()
        finally:
            loop.remove_reader(person)
            os.close(person)

    def _read(self, person: int, over: asyncio.Event) -> None:
        try:
            self.shown += os.read(person, 65536).decode(errors="replace")
        except OSError:  # The program has closed its end.
            asyncio.get_running_loop().remove_reader(person)
            over.set()

    @property
    def sent(self) -> str | None:
        """To whom the tool has really sent something."""
        file = self.folder / "sent"
        return file.read_text() if file.exists() else None


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal with a person at it."""
    return Terminal(tmp_path)


def sends_to(server: FaultServer, *people: str) -> None:
    replies = [Reply(tool_calls=[("send", {"to": person})]) for person in people]
    server.reply = lambda body: replies.pop(0) if replies else SURE


def told_last(server: FaultServer) -> str:
    return str(server.requests[-1].body["messages"][-1]["content"])


async def test_on_a_terminal_one_key_approves_a_call(
    terminal: Terminal, server: FaultServer
) -> None:
    sends_to(server, "bob")
    assert await terminal.mull(server, keys=[b"y"]) == 0
    assert (terminal.sent, told_last(server)) == ("bob", "sent to bob")


@pytest.mark.parametrize("key", [b"n", b"\r", b"\x1b[A", b" "], ids=repr)
async def test_any_other_key_refuses_it(
    terminal: Terminal, server: FaultServer, key: bytes
) -> None:
    sends_to(server, "bob")
    assert await terminal.mull(server, keys=[key]) == 0
    assert terminal.sent is None
    assert told_last(server).endswith("was refused: the user said no")


async def test_each_call_is_asked_about(terminal: Terminal, server: FaultServer) -> None:
    sends_to(server, "bob", "ann")
    await terminal.mull(server, keys=[b"y", b"n"])
    assert terminal.sent == "bob"


async def test_a_question_shows_all_that_would_be_sent_and_no_control_characters(
    terminal: Terminal, server: FaultServer
) -> None:
    sends_to(server, "bob\x1b[8m and eve\u202e" + " x" * 500)
    await terminal.mull(server, keys=[b"n"])
    _, asked = terminal.shown.split("approve ")
    assert r"bob\u001b[8m and eve\u202e" in asked
    assert asked.split("any other key")[0].count(" x") == 500
    assert "\x1b[8m" not in terminal.shown


async def test_yes_approves_without_a_question(terminal: Terminal, server: FaultServer) -> None:
    sends_to(server, "bob")
    await terminal.mull(server, "--yes")
    assert terminal.sent == "bob"
    assert "any other key" not in terminal.shown


async def test_ctrl_c_at_a_question_ends_the_command_and_sends_nothing(
    terminal: Terminal, server: FaultServer
) -> None:
    sends_to(server, "bob")
    assert await terminal.mull(server, keys=[b"\x03"]) == 130
    assert "Traceback" not in terminal.shown
    assert terminal.sent is None


def with_a_tool_that_sends(inside: Inside) -> None:
    def send(to: str) -> str:
        """Send a greeting."""
        (inside.folder / "sent").write_text(to)
        return f"sent to {to}"

    built_in = {"send": lambda: as_tool(send, side_effects=True)}
    inside.monkeypatch.setattr("mull.tools.registry.BUILT_IN", built_in)


async def test_without_a_terminal_a_call_with_side_effects_is_refused(
    inside: Inside, server: FaultServer
) -> None:
    with_a_tool_that_sends(inside)
    sends_to(server, "bob")
    inside.typed = b"y\n"
    done = await inside.mull("ask", QUESTION, "--depth", "reason", "--tools", "send", *on(server))
    assert (done.code, done.out) == (0, f"{SURE}\n")
    assert not (inside.folder / "sent").exists()
    assert "refused: nobody is there to approve" in done.err


async def test_without_a_terminal_yes_approves(inside: Inside, server: FaultServer) -> None:
    with_a_tool_that_sends(inside)
    sends_to(server, "bob")
    arguments = ("--depth", "reason", "--tools", "send", "--yes")
    await inside.mull("ask", QUESTION, *arguments, "--trace", "trace.jsonl", *on(server))
    assert (inside.folder / "sent").read_text() == "bob"
    assert "approval_needed" in [event["event"] for event in inside.traced()]


# --- demo and doctor


async def test_the_demo_answers_all_its_problems(shell: Shell) -> None:
    done = await shell.mull("demo")
    assert done.code == 0
    assert "of 24 problems in every way" in done.out
    assert (shell.folder / "demo.html").exists()


async def test_the_demo_keeps_to_a_small_budget_in_a_pipe(inside: Inside) -> None:
    done = await inside.mull("demo", "--budget", "tokens=600")
    assert done.code == 0
    (account,) = [line for line in done.out.splitlines() if " of 600 tokens" in line]
    assert int(account.split()[2]) <= 600


async def test_a_demo_without_any_budget_exits_4(inside: Inside) -> None:
    assert (await inside.mull("demo", "--budget", "calls=0")).code == 4


async def test_the_doctor_finds_the_embedded_model(shell: Shell) -> None:
    done = await shell.mull("doctor", COLUMNS="200")
    assert done.code == 0
    assert any("ok" in line and "embedded model" in line for line in done.out.splitlines())


async def test_the_doctor_says_what_is_wrong_with_the_configured_model(inside: Inside) -> None:
    variables = {"MULL_MODEL": "m", "OPENAI_BASE_URL": NOBODY, "COLUMNS": "200"}
    done = await inside.mull("doctor", **variables)
    assert f"no backend answers at {NOBODY}" in done.out


async def test_the_doctor_says_what_is_wrong_with_a_mull_toml(inside: Inside) -> None:
    inside.configure("model = ")
    done = await inside.mull("doctor", COLUMNS="200")
    assert "mull.toml: Invalid value" in done.out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
async def test_a_full_disk_is_one_line_and_no_traceback(server: FaultServer) -> None:
    command = [sys.executable, "-m", "mull", "ask", QUESTION, *on(server)]
    full = os.open("/dev/full", os.O_WRONLY)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=full, stderr=asyncio.subprocess.PIPE
    )
    os.close(full)
    _, said = await process.communicate()
    assert (process.returncode, b"Traceback" in said) == (1, False)
    assert b"No space left on device" in said
