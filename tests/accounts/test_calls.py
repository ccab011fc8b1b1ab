"""The calls of a run in its trace and on its page: each prompt and reply, once, in its place."""

import asyncio
import json
import os
import stat

import pytest
from fault_server import FaultServer, Reply
from traces import (
    QUESTION,
    SURE,
    Desk,
    Event,
    call,
    called,
    finished,
    message,
    paid,
    returned,
    run_line,
    said,
    started,
    tool_call,
    turns_of,
)

from mull.accounts import TraceRecorder, read_trace, tell
from mull.accounts.story import Called, Said
from mull.budgets import Ledger
from mull.cli import main
from mull.errors import WrongUsage
from mull.models import Model, Request, user

# ---- a real run


async def test_the_trace_of_a_real_vote_becomes_a_page_with_all_that_was_said_and_paid(
    desk: Desk, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)

    def reply(request: Event) -> Reply:
        if any(message["role"] == "tool" for message in request["messages"]):
            return Reply(SURE, reasoning="six sevens")
        return Reply(tool_calls=[("python", {"code": "print(6 * 7)"})])

    server.reply = reply
    arguments = ["ask", QUESTION, "--depth", "vote", "--tools", "python", "--samples", "3"]
    on = ["--model", "m", "--base-url", server.base_url, "--trace", str(desk.events)]
    assert await asyncio.to_thread(main, [*arguments, *on]) == 0
    events = [json.loads(line) for line in desk.events.read_text().splitlines()]
    answer = events[-1]
    seen = desk.made()
    for told in ("chain.0", "print(6 * 7)", "six sevens", SURE, "think", "act python"):
        assert told in seen.text
    assert f"{answer['usage']['total_tokens']:,}" in seen.text
    assert (events[0]["event"], events[0]["question"]) == ("run", QUESTION)
    story = tell(read_trace(desk.events))
    calls = [turn.call for turn in turns_of(story) if isinstance(turn, Said) and turn.call]
    assert len(calls) == answer["usage"]["calls"] > 3
    assert all(call.asked["messages"][1]["content"] == QUESTION for call in calls)
    tools = [turn for turn in turns_of(story) if isinstance(turn, Called)]
    assert [turn.result for turn in tools] == ["42"] * answer["usage"]["tool_calls"]
    assert not [turn for turn in turns_of(story) if isinstance(turn, Said) and not turn.call]


async def test_the_trace_of_the_demo_model_has_each_prompt_and_reply_in_its_place(
    desk: Desk, demo_url: str
) -> None:
    on = ["--model", "demo", "--base-url", demo_url, "--trace", str(desk.events)]
    question = "Using the numbers 3, 5 and 8, each exactly once, make 16."
    assert await asyncio.to_thread(main, ["ask", question, "--depth", "reflect", *on]) == 0
    story = tell(read_trace(desk.events))
    said = [turn for turn in turns_of(story) if isinstance(turn, Said)]
    assert said
    for turn in said:
        assert turn.call is not None
        assert 0 <= turn.call.began < turn.call.ended <= story.seconds
        assert question in json.dumps(turn.call.asked["messages"])
    assert story.answer is not None
    assert (
        sum(turn.call.tokens for turn in said if turn.call) == story.answer["usage"]["total_tokens"]
    )


async def test_a_trace_costs_no_call_more_and_leaves_out_logprobs(
    desk: Desk, server: FaultServer
) -> None:
    server.reply = SURE
    with TraceRecorder(desk.events) as recorder:
        ledger = Ledger(recorder=recorder)
        model = Model("m", server.base_url)
        child = ledger.child("run")
        for number in range(2):  # The second is not recalled.
            request = Request(messages=[user(QUESTION)], logprobs=True)
            reply = await model.ask(request, ledger=child, call_id=f"think#{number}")
            assert reply.logprobs
        await model.aclose()
    lines = [json.loads(line) for line in desk.events.read_text().splitlines()]
    assert [line["call_id"] for line in lines] == ["think#0", "think#1"]
    assert [line["replied"]["text"] for line in lines] == [SURE, SURE]
    assert "logprobs" not in lines[0]["replied"]
    assert ledger.spent().calls == len(server.requests) == 2


def test_a_trace_is_its_owners_alone(desk: Desk) -> None:
    umask = os.umask(0)
    try:
        with TraceRecorder(desk.events):
            assert stat.S_IMODE(desk.events.stat().st_mode) == 0o600
    finally:
        os.umask(umask)


def test_a_trace_that_cannot_be_written_is_told(desk: Desk) -> None:
    with pytest.raises(WrongUsage, match=r"--trace .*: Is a directory"):
        TraceRecorder(desk.folder).__enter__()


# ---- the calls


def test_the_last_pieces_of_a_reply_may_stand_below_its_call(desk: Desk) -> None:
    story = desk.story(
        *(run_line(), said("a", branch="x"), call("x/think.1", "abc"), started("x")),
        *(said("bc", branch="x"), paid(1.0, branch="x"), called("1", branch="x")),
    )
    first, second = story.branches[1].turns
    assert isinstance(first, Said)
    assert isinstance(second, Called)
    assert (first.text, first.call and first.call.id) == ("abc", "x/think.1")


def test_a_reply_that_went_on_in_several_calls_is_told_call_by_call(desk: Desk) -> None:
    calls = (call("think.1", "one"), call("think.1/1", " two", reasoning="hm"))
    story = desk.story(run_line(), said("one"), *calls, said(" two"), paid(1.0), said("three"))
    told = [(turn.text, turn.thinking) for turn in turns_of(story) if isinstance(turn, Said)]
    assert told == [("one", ""), (" two", "hm"), ("three", "")]


def test_a_reply_that_only_calls_a_tool_stands_before_the_tool(desk: Desk) -> None:
    story = desk.story(
        *(run_line(), call("think.1", tool_calls=[{"id": "1", "name": "python"}]), paid(1.0)),
        *(called("1", '{"code": "1"}'), tool_call("act.1.0", {"code": "1"}, "1")),
        *(returned("1", "1"), paid(2.0), call("think.2", "one"), said("one"), paid(3.0)),
    )
    assert [type(turn) for turn in turns_of(story)] == [Said, Called, Said]


def test_the_calls_of_a_judge_and_its_tools_stand_in_the_branch_that_it_judges(
    desk: Desk,
) -> None:
    story = desk.story(
        *(run_line(), started("a"), call("a/think.1", "42"), said("42", branch="a")),
        *(paid(1.0, branch="a"), call("a/verify/code.ask", "print(6 * 7)")),
        *(tool_call("a/verify/code.run.1", {"code": "print(6 * 7)"}, "42"), finished("a")),
    )
    first, second, third = story.branches[1].turns
    assert isinstance(first, Said)
    assert isinstance(second, Said)
    assert isinstance(third, Called)
    assert (first.text, second.text, third.result) == ("42", "print(6 * 7)", "42")


def test_calls_stand_on_the_time_line_from_their_starts_to_their_ends(desk: Desk) -> None:
    story = desk.story(
        *(run_line(), started("a"), call("a/think.1", "x", began=1.0, seconds=2.0)),
        *(
            paid(3.1, branch="a"),
            called("1", branch="a"),
            tool_call("a/act.1.0", {}, "", began=3.5),
        ),
        *(returned("1", "", branch="a"), paid(4.1, branch="a"), finished("a")),
    )
    branch = story.branches[1]
    assert (branch.began, branch.until) == (1.0, 4.1)
    assert (branch.calls, branch.tools) == ([(1.0, 3.0)], [(3.5, 4.0)])


def test_each_message_of_prompts_that_grow_stands_in_the_page_once(desk: Desk) -> None:
    messages = [message(f"message {number};") for number in range(30)]
    calls = [call(f"think.{n}", "yes", messages=messages[:n]) for n in range(1, 31)]
    seen = desk.page(run_line("q"), *calls, call("x/think.1", messages=messages))
    for number in range(30):
        assert seen.text.count(f"message {number};") == 1
    assert "prompt: 30 messages, 1 new" in seen.text
    assert "prompt: 30 messages, 0 new" in seen.text


def test_the_rest_of_a_prompt_is_a_link_to_the_call_it_stands_with(desk: Desk) -> None:
    messages = [message("one"), message("two")]
    seen = desk.page(run_line(), call("a", messages=messages[:1]), call("b", messages=messages))
    assert "1 message as in a." in seen.text
    assert set(seen.links) <= {f"#{place}" for place in seen.places}
    assert len(seen.links) == 1


def test_a_run_that_was_killed_has_the_steps_that_its_calls_tell(desk: Desk) -> None:
    story = desk.story(
        *(run_line(), call("think.1", "x", usage={"input_tokens": 7, "output_tokens": 3})),
        tool_call("act.1.0", {}, "", began=1.0),
    )
    told = [(step["node"], step.get("tool"), step.get("tokens")) for step in story.steps]
    assert told == [("think", None, 10), ("act", "python", None)]


def test_a_call_that_was_not_answered_leaves_what_had_been_said(desk: Desk) -> None:
    story = desk.story(run_line(), said("so f"), paid(1.0))
    assert turns_of(story) == [Said(text="so f")]


def test_without_a_first_line_a_run_begins_with_its_first_call(desk: Desk) -> None:
    story = desk.story(call("b", began=1.0, seconds=1.0), call("a", seconds=3.0))
    assert story.branches[0].calls == [(1.0, 2.0), (0.0, 3.0)]
    assert story.seconds == 3.0
