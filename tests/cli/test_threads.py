"""`mull threads`: what is kept of conversations, without a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_places import sends_to
from fault_server import FaultServer

from mull import Agent
from mull.cli import main
from mull.tools import as_tool

Threads = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the threads are, and nothing else."""
    monkeypatch.setenv("MULL_THREADS", str(tmp_path / "threads"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "threads"


@pytest.fixture
def threads(folder: Path, capsys: pytest.CaptureFixture[str]) -> Threads:
    """Runs the command: its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["threads", *arguments])
        return code, *capsys.readouterr()

    return run


async def ask(server: FaultServer, folder: Path, thread: str, *questions: str) -> None:
    def send(to: str) -> str:
        """Send a greeting."""
        return f"sent to {to}"

    agent = Agent(
        "m",
        base_url=server.base_url,
        tools=[as_tool(send, side_effects=True)],
        approve="ask",
        depth="reason",
        threads=folder,
    )
    for question in questions:
        await agent.thread(thread).arun(question)
    await agent.aclose()
    agent.threads.close()


async def test_list_names_every_thread_the_one_used_last_first(
    threads: Threads, server: FaultServer, folder: Path
) -> None:
    server.reply = "Four."
    await ask(server, folder, "old", "2+2?", "3*3?")
    await ask(server, folder, "new", "4+4?")
    code, out, _ = threads("list")
    heading, new, old = out.splitlines()
    assert (code, heading.split()[0]) == (0, "thread")
    assert new.startswith("new ")
    assert new.endswith("4+4?")
    assert old.split()[0] == "old"
    assert old.split()[3] == "2"


async def test_json_lists_them_as_objects(
    threads: Threads, server: FaultServer, folder: Path
) -> None:
    server.reply = "Four."
    await ask(server, folder, "sums", "2+2?")
    (listed,) = json.loads(threads("list", "--json")[1])
    assert {"id", "title", "turns", "waiting", "updated", "tokens"} == set(listed)
    assert (listed["id"], listed["title"], listed["turns"]) == ("sums", "2+2?", 1)
    assert listed["tokens"] == server.spent_tokens


def test_no_threads_are_an_empty_output_and_a_word_on_stderr(threads: Threads) -> None:
    code, out, err = threads("list")
    assert (code, out) == (0, "")
    assert err.startswith("mull: none in ")
    assert threads("list", "--json")[1] == "[]\n"


async def test_show_prints_questions_and_answers(
    threads: Threads, server: FaultServer, folder: Path
) -> None:
    server.reply = "Four."
    await ask(server, folder, "sums", "2+2?")
    assert threads("show", "sums")[1] == "> 2+2?\nFour.\n\n"


async def test_what_a_model_said_cannot_steer_the_terminal(
    threads: Threads, server: FaultServer, folder: Path
) -> None:
    server.reply = "It is \x1b[8m hidden."
    await ask(server, folder, "sums", "2\x1b[2J?")
    for shown in (threads("show", "sums")[1], threads("list")[1], threads("export", "sums")[1]):
        assert "\x1b" not in shown


async def test_export_and_show_as_json_are_the_turns_and_what_was_spent(
    threads: Threads, server: FaultServer, folder: Path
) -> None:
    server.reply = "Four."
    await ask(server, folder, "sums", "2+2?")
    exported: Any = json.loads(threads("export", "sums")[1])
    assert exported == json.loads(threads("show", "sums", "--json")[1])
    assert exported["thread"] == "sums"
    assert [turn["text"] for turn in exported["turns"]] == ["Four."]
    assert exported["spent"]["total_tokens"] == server.spent_tokens


async def test_export_to_a_file_overwrites_none(
    threads: Threads, server: FaultServer, folder: Path
) -> None:
    server.reply = "Four."
    await ask(server, folder, "sums", "2+2?")
    assert threads("export", "sums", "sums.json")[:2] == (0, "")
    assert json.loads((folder.parent / "sums.json").read_text())["thread"] == "sums"
    code, _, err = threads("export", "sums", "sums.json")
    assert (code, err) == (2, "mull: sums.json: File exists: name another file\n")


async def test_delete_forgets_a_thread(threads: Threads, server: FaultServer, folder: Path) -> None:
    server.reply = "Four."
    await ask(server, folder, "sums", "2+2?")
    await ask(server, folder, "other", "2+2?")
    assert threads("delete", "sums")[0] == 0
    assert [thread["id"] for thread in json.loads(threads("list", "--json")[1])] == ["other"]


@pytest.mark.parametrize("action", ["show", "export", "delete"])
def test_an_unknown_thread_is_wrong_usage(threads: Threads, action: str) -> None:
    code, out, err = threads(action, "sums")
    assert (code, out) == (2, "")
    assert err.startswith("mull: there is no thread 'sums' in ")


async def test_pending_tells_each_decision_that_is_waited_for(
    threads: Threads, server: FaultServer, folder: Path
) -> None:
    server.reply = sends_to("bob")
    await ask(server, folder, "mail", "Greet Bob.")
    server.reply = "Four."
    await ask(server, folder, "sums", "2+2?")
    (waiting,) = json.loads(threads("pending", "--json")[1])
    assert (waiting["thread"], waiting["kind"], waiting["tool"]) == ("mail", "approval", "send")
    [line] = threads("pending")[1].splitlines()
    assert line.startswith("mail  approval  send {")
    assert f"waits: {line}" in threads("show", "mail")[1]
