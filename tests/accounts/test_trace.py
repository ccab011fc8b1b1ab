"""A run as a page: what it tells, that it stands alone, and that foreign text stays text."""

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traces import (
    Desk,
    Event,
    Seen,
    answered,
    call,
    called,
    cancelled,
    finished,
    judged,
    message,
    paid,
    returned,
    run_line,
    said,
    spent,
    started,
    tool_call,
)

from mull.accounts import page, read_trace
from mull.accounts.steps import node_spend, stretches
from mull.accounts.story import Called, Judged, Said
from mull.accounts.timeline import ticks, timeline
from mull.errors import WrongUsage

# ---- it stands alone, and foreign text is text

HOSTILE = "</pre></svg></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&lt;"
EVERYWHERE: list[Event] = [
    run_line(HOSTILE),
    call(HOSTILE, HOSTILE, messages=[message(HOSTILE, HOSTILE)], refusal=HOSTILE, values=[HOSTILE])
    | {"name": HOSTILE},
    tool_call(HOSTILE, {HOSTILE: HOSTILE}, HOSTILE) | {"name": HOSTILE},
    {"event": "depth_chosen", "branch": HOSTILE, "depth": HOSTILE, "reason": HOSTILE},
    said(HOSTILE, branch=HOSTILE),
    called(HOSTILE, HOSTILE, branch=HOSTILE),
    returned(HOSTILE, HOSTILE, branch=HOSTILE),
    paid(1.0, branch=HOSTILE),
    judged(HOSTILE) | {"verifier": HOSTILE, "branch": HOSTILE},
    finished(HOSTILE, HOSTILE) | {"answer": HOSTILE},
    answered(
        HOSTILE,
        [{"node": HOSTILE, "reason": HOSTILE, "tool": HOSTILE, "branch": HOSTILE}],
    )
    | {
        "depth": HOSTILE,
        "stopped": HOSTILE,
        "difficulty": {"level": HOSTILE},
        "budget": {"tokens": HOSTILE},
        "usage": spent(2.0) | {"cost": HOSTILE},
    },
]


def test_no_text_of_a_run_becomes_markup_wherever_it_stands(desk: Desk) -> None:
    hostile = desk.page(*EVERYWHERE)
    harmless = desk.page(*json.loads(json.dumps(EVERYWHERE).replace("<", "(")))
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert not {"script", "img", "link", "iframe"} & set(hostile.tags)


def test_a_page_loads_nothing_and_runs_nothing(desk: Desk) -> None:
    seen = desk.page(said("x"), paid(1.0), answered("x", [{"node": "think", "reason": "stop"}]))
    assert not {"src", "srcset", "data", "action"} & set(seen.attributes)
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert "url(" not in seen.raw
    assert "@import" not in seen.raw
    assert "default-src 'none'; style-src 'unsafe-inline'" in seen.raw


def test_a_page_has_a_light_and_a_dark_look(desk: Desk) -> None:
    raw = desk.page(said("x")).raw
    assert "color-scheme: light dark" in raw
    assert "prefers-color-scheme: dark" in raw


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("\u202e", r"\u202e"),
        ("\x00", r"\x00"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_written_out(desk: Desk, hidden: str, shown: str) -> None:
    assert f"a{shown}b" in desk.page(said(f"a{hidden}b")).text


def test_letters_of_all_writings_stay_as_they_are(desk: Desk) -> None:
    text = "naïve 数学\u3000עברית\u00a0👩\u200d💻\n\tend"
    assert text in desk.page(said(text)).text


# ---- the story


def test_the_pieces_of_one_call_are_one_reply_and_a_budget_event_ends_it(desk: Desk) -> None:
    story = desk.story(said("a"), said("b"), paid(1.0), said("c"))
    assert story.branches[0].turns == [Said(text="ab"), Said(text="c")]


def test_a_stream_that_broke_is_kept_beside_its_second_attempt(desk: Desk) -> None:
    story = desk.story(said("lost"), said("kept", attempt=2))
    assert story.branches[0].turns == [Said(text="lost", broken=True), Said(text="kept", attempt=2)]


def test_replies_of_branches_at_work_together_do_not_mix(desk: Desk) -> None:
    story = desk.story(said("a", branch="x"), said("b", branch="y"), said("c", branch="x"))
    told = {branch.name: branch.turns for branch in story.branches}
    assert told == {"main": [], "x": [Said(text="ac")], "y": [Said(text="b")]}


def test_a_tool_call_and_its_result_are_one_turn_even_where_an_id_comes_again(desk: Desk) -> None:
    story = desk.story(called("1"), returned("1", "one"), called("1"), returned("1", "two"))
    turns = story.branches[0].turns
    assert [turn.result for turn in turns if isinstance(turn, Called)] == ["one", "two"]


def test_a_call_that_waited_for_approval_or_never_ended_says_so(desk: Desk) -> None:
    needed = {"event": "approval_needed", "branch": "main", "id": "1"}
    text = desk.page(called("1"), needed).text
    assert "Approval was asked for." in text
    assert "tool call: python, did not end" in text


def test_code_is_shown_bare_and_other_arguments_as_they_were_written(desk: Desk) -> None:
    code = json.dumps({"code": "for i in range(3):\n    print(i)"})
    text = desk.page(called("1", code), called("2", '{"a":  1}'), called("3", "{not json")).text
    for told in ("for i in range(3):\n    print(i)", '{"a":  1}', "{not json"):
        assert told in text


def test_a_verdict_is_told_with_its_reasons(desk: Desk) -> None:
    story = desk.story(judged("6 * 7 is 42"))
    assert story.branches[0].turns == [Judged("judge", 0.25, False, "6 * 7 is 42")]
    assert "verdict: judge failed, score 0.25" in Seen.of(page(story)).text


def test_a_branch_tells_how_it_ended_and_what_it_cost(desk: Desk) -> None:
    text = desk.page(
        said("x", branch="a"), finished("a"), said("y", branch="b"), cancelled("b", "settled")
    ).text
    assert "whole · 1,234 tokens · 42" in text
    assert "cancelled · 77 tokens · settled" in text


def test_branches_have_the_times_of_the_budget_events_around_them(desk: Desk) -> None:
    run = (
        *(paid(1.0), started("a"), called("1", branch="a"), returned("1", "x", branch="a")),
        *(paid(1.75, branch="a"), said("y", branch="a"), paid(3.0, branch="a"), finished("a")),
    )
    branch = desk.story(*run).branches[1]
    assert (branch.began, branch.until) == (1.0, 3.0)
    assert (branch.tools, branch.calls) == ([(1.25, 1.75)], [(3.0, 3.0)])


def test_a_run_that_was_killed_shows_what_it_did(desk: Desk) -> None:
    desk.write(said("so far"), paid(1.5), started("a"), rest='{"event": "te')
    seen = desk.made()
    for told in ("so far", "The run did not end", "only half written", "The events hold no steps"):
        assert told in seen.text


def test_events_of_kinds_that_are_not_known_are_passed_over(desk: Desk) -> None:
    assert "seen" in desk.page({"event": "new", "branch": "main", "x": []}, said("seen")).text


# ---- the steps


def test_steps_of_branches_side_by_side_are_a_stretch_each() -> None:
    def at(*names: str) -> list[Event]:
        return [{"branch": name, "node": "n", "reason": ""} for name in names]

    walked = stretches(at("main", "v", "v/1", "v/2", "v/1", "v", "v/10", "v/1", "main"))
    told = [(stretch.branch, len(stretch.steps)) for stretch in walked]
    assert told == [
        *(("main", 1), ("v", 1), ("v/1", 2), ("v/2", 1)),
        *(("v", 1), ("v/10", 1), ("v/1", 1), ("main", 1)),
    ]


def test_spend_is_summed_by_node_and_the_rest_is_told(desk: Desk) -> None:
    steps: list[Event] = [
        {"node": "act", "reason": "called", "seconds": 0.5},
        {"node": "think", "reason": "stop", "tokens": 300, "seconds": 1.0},
        {"node": "think", "reason": "stop", "tokens": 450, "seconds": 0.25},
    ]
    sums = [(s.node, s.steps, s.tokens, s.seconds) for s in node_spend(steps)]
    assert sums == [("think", 2, 750, 1.25), ("act", 1, 0, 0.5)]
    text = desk.page(answered("x", steps)).text
    assert "75 %" in text
    assert "in no step25025 %" in text


# ---- the time line


def test_the_time_line_is_well_formed_and_every_bar_lies_within_it(desk: Desk) -> None:
    story = desk.story(
        *(paid(0.5), started("a<b>"), started("c"), paid(1.5, branch="a<b>"), finished("a<b>")),
        answered("x", seconds=4.0),
    )
    picture = ET.fromstring(timeline(story))
    bars = [e for e in picture.iter("rect") if e.get("class", "").startswith("bar")]
    assert [bar.get("class") for bar in bars] == ["bar whole", "bar whole", "bar open"]
    for bar in bars:
        left, wide = float(bar.get("x", "")), float(bar.get("width", ""))
        assert 180 <= left <= left + wide <= 1000


@given(st.floats(1e-6, 1e9))
def test_the_axis_has_a_few_round_times_up_to_the_end(end: float) -> None:
    times = ticks(end)
    assert times[0] == 0.0
    assert 3 <= len(times) <= 9
    assert times[-1] <= end


# ---- which files


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("not json", "Expecting value"),
        ("[]", "is no JSON object"),
        ('{"branch": "main"}', "event is missing"),
        ('{"event": "text", "branch": "main", "text": 1, "attempt": 1}', "text is 1"),
        ('{"event": "budget", "branch": "main", "spent": {"calls": 1}}', "tool_calls is missing"),
        (json.dumps(paid(float("inf"))), "seconds is inf"),
        (json.dumps(paid(float("nan"))), "seconds is nan"),
        (json.dumps(answered("x", [{"node": "n", "reason": "", "tokens": "1"}])), "tokens is '1'"),
        (json.dumps(answered("x", [{"node": "n"}])), "reason is missing"),
        (json.dumps(run_line() | {"at": None}), "at is None"),
        (json.dumps(call("a") | {"replied": {"text": 1}}), "text is 1"),
        (json.dumps(call("a", usage={"input_tokens": "1"})), "input_tokens is '1'"),
        (json.dumps(call("a", messages=[{}])), "role is missing"),
    ],
)
def test_a_line_that_is_no_event_is_refused_by_its_number(desk: Desk, line: str, why: str) -> None:
    desk.write(said("x"), rest=f"{line}\n")
    with pytest.raises(WrongUsage, match=f"line 2: not an event of a run: .*{why}"):
        read_trace(desk.events)


def test_files_without_events_or_that_cannot_be_opened_are_refused(desk: Desk) -> None:
    desk.write()
    with pytest.raises(WrongUsage, match="no events"):
        read_trace(desk.events)
    with pytest.raises(WrongUsage, match="Is a directory"):
        read_trace(desk.folder)


def test_the_trace_itself_is_not_overwritten(desk: Desk) -> None:
    desk.write(said("x"))
    before = desk.events.read_text()
    with pytest.raises(WrongUsage, match="that is the trace itself"):
        desk.made(name="events.jsonl")
    assert desk.events.read_text() == before


def test_a_page_that_cannot_be_written_is_told(desk: Desk) -> None:
    desk.write(said("x"))
    with pytest.raises(WrongUsage, match=r"--html .*: No such file"):
        desk.made(name="no/such/folder.html")
