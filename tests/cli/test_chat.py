"""`mull chat` as a program at the other end of a pipe sees it."""

import json
import re
import signal

import pytest
from chat_places import Pipe, says, sends_to
from fault_server import FaultServer
from leftovers import until

from mull.cli.chat_commands import COMMANDS
from mull.cli.chat_screen import read_whole
from mull.cli.chat_view import alone

NOBODY = "http://127.0.0.1:9/v1"


async def test_each_line_is_a_question_and_only_answers_are_on_stdout(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply = says("Four.", "Nine.")
    done = await pipe.chat("2+2?\n\n3*3?\n")
    assert (done.code, done.out) == (0, "Four.\nNine.\n")
    assert done.err.count("stopped: answered") == 2


async def test_a_question_comes_after_what_was_said_before(pipe: Pipe, server: FaultServer) -> None:
    server.reply = says("Four.", "Nine.")
    await pipe.chat("2+2?\n3*3?\n")
    assert pipe.asked() == ["2+2?", "Four.", "3*3?"]


async def test_after_an_answer_one_line_says_depth_difficulty_end_and_spend(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply = "Answer: Paris"
    done = await pipe.chat("What is the capital of France?\n", "--depth", "auto")
    last = done.err.splitlines()[-1]
    assert last.startswith("depth direct · easy 0.9")
    assert "(features) · stopped: answered · " in last
    assert " tokens · " in last


async def test_a_thread_is_remembered_by_the_next_start(pipe: Pipe, server: FaultServer) -> None:
    server.reply = "Four."
    await pipe.chat("2+2?\n", "--thread", "sums")
    done = await pipe.chat("and 3*3?\n", "--thread", "sums")
    assert pipe.asked() == ["2+2?", "Four.", "and 3*3?"]
    assert "thread sums · 1 turn" in done.err


async def test_without_a_name_a_thread_is_new(pipe: Pipe, server: FaultServer) -> None:
    server.reply = "Four."
    await pipe.chat("2+2?\n")
    await pipe.chat("3*3?\n")
    assert pipe.asked() == ["3*3?"]


async def test_a_line_that_ends_in_a_backslash_goes_on(pipe: Pipe, server: FaultServer) -> None:
    server.reply = "Four."
    await pipe.chat("2\\\n+\\\n2?\n")
    assert pipe.asked() == ["2\n+\n2?"]


async def test_a_question_that_fails_is_told_and_the_next_is_asked(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply, server.fault = "Nine.", ["status_400", "none"]
    done = await pipe.chat("2+2?\n3*3?\n")
    assert (done.code, done.out) == (0, "Nine.\n")
    assert "mull: " in done.err
    assert pipe.asked() == ["3*3?"]


async def test_the_exit_code_is_the_last_answers(pipe: Pipe, server: FaultServer) -> None:
    server.reply, server.fault = "Four.", ["none", "status_400"]
    assert (await pipe.chat("2+2?\n3*3?\n/history\n")).code == 1


async def test_a_budget_that_ends_before_an_answer_exits_4(pipe: Pipe, server: FaultServer) -> None:
    done = await pipe.chat("2+2?\n", "--budget", "tokens=1")
    assert (done.code, done.out) == (4, "")
    assert "mull: no answer: the budget (tokens=1) cannot pay another call" in done.err


async def test_an_unreachable_backend_exits_3(pipe: Pipe) -> None:
    done = await pipe.chat("2+2?\n", "--base-url", NOBODY)
    assert done.code == 3


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--thread", "a/b", "without /"),
        ("--effort", "huge", "huge"),
        ("--depth", "deep", "there is no depth 'deep'"),
        ("--budget", "much", "'much' is not one of tokens=N"),
        ("--thread-budget", "much", "'much' is not one of tokens=N"),
        ("--tools", "hammer", "there is no tool 'hammer'"),
    ],
)
async def test_a_wrong_option_exits_2_before_anything_is_asked(
    pipe: Pipe, server: FaultServer, option: str, value: str, complaint: str
) -> None:
    done = await pipe.chat("2+2?\n", option, value)
    assert (done.code, done.out, server.requests) == (2, "", [])
    assert complaint in done.err


async def test_the_threads_budget_holds_over_its_questions(pipe: Pipe, server: FaultServer) -> None:
    server.reply = "Four."
    done = await pipe.chat("2+2?\n3*3?\n", "--thread-budget", "calls=1")
    assert (done.code, done.out) == (4, "Four.\n")
    assert len(server.requests) == 1


async def test_an_unknown_command_is_told_and_changes_nothing(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply = "Four."
    done = await pipe.chat("/sing\n2+2?\n")
    assert (done.code, done.out) == (0, "Four.\n")
    assert "mull: there is no command /sing: /help lists them" in done.err


async def test_help_lists_every_command(pipe: Pipe) -> None:
    done = await pipe.chat("/help\n")
    assert re.findall(r"^/(\w+)", done.err, re.M) == list(COMMANDS)


async def test_undo_takes_the_last_turn_back(pipe: Pipe, server: FaultServer) -> None:
    server.reply = says("Four.", "Nine.")
    done = await pipe.chat("2+2?\n/undo\n3*3?\n")
    assert pipe.asked() == ["3*3?"]
    assert "taken back: 2+2?" in done.err


async def test_a_budget_is_of_each_answer_from_then_on(pipe: Pipe, server: FaultServer) -> None:
    server.reply = "Four."
    done = await pipe.chat("/budget tokens=1\n2+2?\n/budget none\n2+2?\n")
    assert (done.code, done.out) == (0, "Four.\n")
    assert "each answer: tokens=1" in done.err


@pytest.mark.parametrize("line", ["/budget much", "/depth deep", "/effort huge", "/quit now"])
async def test_a_command_with_what_it_cannot_take_is_wrong_usage(pipe: Pipe, line: str) -> None:
    done = await pipe.chat(f"{line}\n")
    assert done.code == 2
    assert "mull: " in done.err


async def test_an_effort_and_a_depth_hold_from_then_on(pipe: Pipe, server: FaultServer) -> None:
    server.reply = "Four."
    given = "/effort low\n/depth direct\n2+2?\n/effort none\n3*3?\n"
    done = await pipe.chat(given, "--effort", "high")
    first, second = (exchange.body for exchange in server.requests)
    assert (first["reasoning_effort"], second.get("reasoning_effort")) == ("low", None)
    assert done.err.count("depth direct · stopped: answered") == 2


async def test_export_writes_a_new_file_and_overwrites_none(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply = "Four."
    done = await pipe.chat("2+2?\n/export sums.json\n/export sums.json\n")
    kept = json.loads((pipe.folder / "sums.json").read_text())
    assert [turn["question"] for turn in kept["turns"]] == ["2+2?"]
    assert "mull: sums.json: File exists: name another file" in done.err


async def test_new_goes_to_another_thread(pipe: Pipe, server: FaultServer) -> None:
    server.reply = "Four."
    await pipe.chat("2+2?\n/new other\n3*3?\n", "--thread", "sums")
    assert pipe.asked() == ["3*3?"]
    await pipe.chat("/new sums\nagain?\n")
    assert pipe.asked() == ["2+2?", "Four.", "again?"]


async def test_quit_ends_before_the_input_does(pipe: Pipe, server: FaultServer) -> None:
    assert (await pipe.chat("/quit\n2+2?\n")).code == 0
    assert not server.requests


async def test_a_question_that_begins_with_a_slash_is_asked_after_a_space(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply = "A file."
    await pipe.chat(" /etc/passwd?\n")
    assert pipe.asked() == [" /etc/passwd?"]


async def test_bytes_that_are_no_text_are_wrong_usage(pipe: Pipe) -> None:
    done = await pipe.chat("\udcff\n")
    assert done.code == 2
    assert "mull: the question is not Unicode text" in done.err


async def test_a_call_that_nobody_can_approve_is_left_and_nothing_more_is_asked(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply = sends_to("bob")
    done = await pipe.chat("Greet Bob.\nGreet Ann.\n", "--tools", "send", "--thread", "mail")
    assert (done.code, done.out, pipe.sent) == (1, "", None)
    assert "a run waits for a decision on send: " in done.err
    assert "kept: mull chat --thread mail goes on" in done.err
    assert len(server.requests) == 1


async def test_a_thread_that_waits_answers_no_question_but_can_take_the_last_one_back(
    pipe: Pipe, server: FaultServer
) -> None:
    server.reply = sends_to("bob")
    await pipe.chat("Greet Bob.\n", "--tools", "send", "--thread", "mail")
    done = await pipe.chat("2+2?\n", "--tools", "send", "--thread", "mail")
    assert (done.code, len(server.requests)) == (1, 1)
    done = await pipe.chat("/undo\n2+2?\n", "--tools", "send", "--thread", "mail")
    assert (done.code, done.out, pipe.sent) == (0, "It is done.\n", None)
    assert pipe.asked() == ["2+2?"]


async def test_yes_approves_every_call(pipe: Pipe, server: FaultServer) -> None:
    server.reply = sends_to("bob")
    done = await pipe.chat("Greet Bob.\n", "--tools", "send", "--yes")
    assert (done.code, done.out, pipe.sent) == (0, "It is done.\n", "bob")


async def test_yes_approves_what_an_earlier_start_left(pipe: Pipe, server: FaultServer) -> None:
    server.reply = sends_to("bob")
    await pipe.chat("Greet Bob.\n", "--tools", "send", "--thread", "mail")
    done = await pipe.chat("", "--tools", "send", "--thread", "mail", "--yes")
    assert (done.out, pipe.sent) == ("It is done.\n", "bob")


async def test_ctrl_c_exits_130_and_closes_the_connection(pipe: Pipe, server: FaultServer) -> None:
    server.fault = "hang_mid_stream"
    process = await pipe.start((), stdin=-1, stdout=-1, stderr=-1)
    assert process.stdin is not None
    process.stdin.write(b"2+2?\n")
    await until(lambda: server.active == 1, 30)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    await until(lambda: server.requests[0].aborted, 10)


# --- parts


def test_an_input_that_ends_while_it_goes_on_is_what_there_is() -> None:
    lines = iter(["a\\", None])
    assert read_whole(lambda _: next(lines)) == "a"


@pytest.mark.parametrize(
    ("branch", "may"),
    [
        ("main", True),
        ("reflect/refine.2", True),
        ("vote/chain.0", False),
        ("reflect/critique.1", False),
        ("vote", False),
    ],
)
def test_only_a_branch_without_siblings_speaks_for_the_run(branch: str, may: bool) -> None:
    assert alone(branch) is may
