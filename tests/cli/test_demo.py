"""`mull demo`: fair figures, one budget, a chart that fits, and a page that needs nothing else."""

import argparse
import asyncio
import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fault_server import FaultServer
from hypothesis import given
from hypothesis import strategies as st
from leftovers import until
from rich.console import Console

from mull.agents import Answer
from mull.budgets import Budget, Usage
from mull.cli.demo import run
from mull.cli.demo_chart import chart
from mull.cli.demo_figures import WAYS, Asked, Score, compared, lesson, scores
from mull.cli.demo_page import page
from mull.cli.demo_panels import live_panels
from mull.cli.demo_plot import plot
from mull.cli.demo_run import Demo
from mull.cli.demo_trace import grown, telling
from mull.errors import WrongUsage
from mull.models import BackendError

NASTY = "<script>alert('&')</script>"
OUTSIDE = ("http://", "https://", "src=", "url(", "@import", "<link", "<script")


def asked(
    way: str,
    number: int = 1,
    *,
    right: bool = True,
    tokens: int = 100,
    cut: bool = False,
    question: str = "How many?",
    trace: tuple[dict[str, object], ...] = (),
) -> Asked:
    answer = Answer(
        text="Answer: 7",
        depth=way,
        stopped="budget" if cut else "answered",
        usage=Usage(calls=1, input_tokens=tokens),
        budget=Budget(),
        trace=trace,
    )
    return Asked(way, number, question, 7, answer, right, cut)


def in_every_way(number: int, right: tuple[str, ...] = (), tokens: int = 100) -> list[Asked]:
    """One problem; the named ways have it right."""
    return [asked(way.name, number, right=way.name in right, tokens=tokens) for way in WAYS]


# --- the figures


def test_only_problems_that_every_way_has_answered_are_compared() -> None:
    assert compared([*in_every_way(1), *in_every_way(2)[:-1]]) == [1]


def test_no_problem_after_the_first_that_the_budget_cut_is_compared() -> None:
    cut = [*in_every_way(2)[:-1], asked("auto", 2, cut=True)]
    assert compared([*in_every_way(1), *cut, *in_every_way(3)]) == [1]


def test_a_way_is_scored_on_the_compared_problems_alone() -> None:
    done = [*in_every_way(1, ("vote",)), asked("vote", 2, right=False, tokens=9000)]
    vote = scores(done)[1]
    assert (vote.right, vote.count, vote.tokens, vote.calls) == (1, 1, 100, 1)


@given(count=st.integers(1, 500), data=st.data())
def test_an_interval_holds_its_share_and_is_a_share(count: int, data: st.DataObject) -> None:
    score = Score(WAYS[0], data.draw(st.integers(0, count)), count, 1, 1)
    low, high = score.interval
    assert 0 <= low <= score.share + 1e-9
    assert score.share - 1e-9 <= high <= 1


def test_the_lesson_says_what_more_compute_bought_and_for_how_much() -> None:
    done = [result for n in range(1, 13) for result in in_every_way(n, ("vote",))]
    done = [
        asked(d.way, d.number, right=d.right, tokens=400) if d.way == "vote" else d for d in done
    ]
    said = lesson(done)
    assert "12 more right answers: vote got 12 of 12 and direct 0, for 4.0 times" in said
    assert "gained 12 and lost 0, more than chance explains" in said


def test_the_lesson_does_not_make_much_of_one_problem() -> None:
    assert "may still be chance" in lesson(in_every_way(1, ("search",)))


def test_the_lesson_says_when_more_compute_bought_nothing() -> None:
    said = lesson([*in_every_way(1, ("direct",)), *in_every_way(2, ("auto",))])
    assert said.startswith("No way got more right than direct (1 of 2)")


def test_the_lesson_says_when_there_is_nothing_to_compare() -> None:
    assert "nothing to compare" in lesson([asked("direct")])


# --- the chart


@st.composite
def tables(draw: st.DrawFn) -> list[Score]:
    """Scores of all ways."""
    count = draw(st.integers(1, 24))
    right, tokens = st.integers(0, count), st.floats(0, 50_000)
    return [Score(way, draw(right), count, draw(tokens), 1.0) for way in WAYS]


@given(table=tables(), width=st.integers(40, 140), height=st.integers(9, 20))
def test_the_chart_fits_and_is_drawn_with_plain_characters(
    table: list[Score], width: int, height: int
) -> None:
    lines = chart(table, width, height).plain.split("\n")
    assert len(lines) == height
    assert all(len(line) <= width and line.isascii() for line in lines)


def test_a_point_is_higher_for_more_right_and_further_right_for_more_tokens() -> None:
    table = [Score(WAYS[0], 2, 8, 100, 1), Score(WAYS[1], 7, 8, 900, 6)]
    lines = chart(table, 76, 16).plain.split("\n")
    (direct,) = [line for line in lines if "direct" in line]
    (vote,) = [line for line in lines if "vote" in line]
    assert lines.index(vote) < lines.index(direct)
    assert vote.index("2") > direct.index("1")


def test_ways_at_the_same_place_are_named_together() -> None:
    table = [Score(way, 4, 8, 100, 1) for way in WAYS[1:3]]
    assert "2 vote, 3 vote+equations" in chart(table, 76, 16).plain


@given(table=tables())
def test_the_plot_shows_every_way(table: list[Score]) -> None:
    drawn = plot(table)
    assert all(f">{n} {way.name}</text>" in drawn for n, way in enumerate(WAYS, 1))


@pytest.mark.parametrize(("width", "lines"), [(80, 24), (80, 50), (140, 24), (140, 50)])
def test_what_is_live_fits_the_terminal(width: int, lines: int) -> None:
    demo = Demo(7, Budget.parse("tokens=60000,seconds=55"))
    demo.done += [result for n in range(1, 25) for result in in_every_way(n)]
    console = Console(file=io.StringIO(), width=width, height=lines, force_terminal=True)
    drawn = console.render_lines(live_panels(demo, width, lines))
    assert len(drawn) <= lines


# --- the trace

TRACE: tuple[dict[str, object], ...] = (
    {"node": "route", "reason": "hard", "depth": "vote"},
    {"branch": "vote/chain.0", "node": "answer", "reason": "stop", "tokens": 90},
    {"branch": "vote/chain.0", "node": "verify", "reason": NASTY, "passed": False, "tokens": 5},
    {"branch": "vote", "node": "choose", "reason": "all agree", "answer": "n:7"},
    {"branch": "reflect", "node": "draft", "reason": "again", "tokens": 20},
)


def test_a_trace_becomes_the_tree_of_its_branches() -> None:
    root = grown(TRACE)
    vote, reflect = root.branches
    (chain,) = vote.branches
    assert [step.node for step in root.steps] == ["route → vote"]
    assert (vote.name, vote.answer, reflect.name) == ("vote", "7", "reflect")
    assert chain.verdict is not None
    assert chain.verdict.passed is False


def test_a_branch_has_spent_what_all_below_it_have() -> None:
    root = grown(TRACE)
    assert (root.tokens, root.branches[0].tokens) == (115, 95)


def test_the_run_that_is_shown_is_right_and_went_deeper() -> None:
    shallow = asked("auto", 1, trace=TRACE[:1])
    wrong = asked("auto", 2, trace=TRACE, right=False)
    deeper = asked("auto", 3, trace=TRACE)
    assert telling([shallow, wrong, deeper]) is deeper


# --- the page


class Tags(HTMLParser):
    """Checks that every tag that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it, unless it has no end."""
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must end what was opened last."""
        assert self.open.pop() == tag


def a_page() -> str:
    demo = Demo(7, Budget(tokens=1000))
    demo.done += in_every_way(1)
    shown = asked("auto", question=NASTY, trace=TRACE)
    return page(demo, shown, f"said {NASTY}")


def test_all_text_on_the_page_is_escaped() -> None:
    assert NASTY not in a_page()
    assert a_page().count("&lt;script&gt;alert(&#x27;&amp;&#x27;)") == 3


def test_the_page_needs_no_other_file_and_is_light_and_dark() -> None:
    written = a_page()
    assert not [mark for mark in OUTSIDE if mark in written]
    assert "prefers-color-scheme: dark" in written


def test_the_page_closes_what_it_opens() -> None:
    assert Tags(a_page()).open == []


# --- the command


def given_arguments(folder: Path, budget: str, html: str = "demo.html") -> argparse.Namespace:
    return argparse.Namespace(seed=7, budget=budget, html=str(folder / html))


def test_in_a_pipe_only_the_final_chart_is_printed_and_the_last_line_is_the_lesson(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given_arguments(tmp_path, "tokens=15000")) == 0
    out = capsys.readouterr().out
    assert out.count("What compute bought") == 1
    assert "The budget ended early" in out
    assert "than direct" in out.splitlines()[-1] or "and direct" in out.splitlines()[-1]
    assert str(tmp_path / "demo.html") in out
    assert "<svg" in (tmp_path / "demo.html").read_text()


def test_the_ways_accounts_add_up_to_the_one_that_is_never_exceeded() -> None:
    demo = Demo(7, Budget(tokens=9000))
    asyncio.run(demo.run())
    spent = demo.ledger.spent().total_tokens
    assert 0 < spent <= 9000
    assert sum(way.spent().total_tokens for way in demo.accounts.values()) == spent
    assert demo.over


async def test_a_run_that_fails_ends_the_demo_with_its_own_error(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fault = "status_400"
    monkeypatch.setattr("mull.models.resolve.demo_url", lambda: server.base_url)
    with pytest.raises(BackendError):
        await Demo(7, Budget(tokens=9000)).run()


async def test_a_reply_cut_by_the_models_own_limit_does_not_end_the_demo(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reply = "so " * 500
    monkeypatch.setattr("mull.models.resolve.demo_url", lambda: server.base_url)
    demo = Demo(7, Budget(calls=400))
    work = asyncio.create_task(demo.run())
    await until(lambda: any(asked.answer.stopped == "budget" for asked in demo.done), 30)
    work.cancel()
    await asyncio.wait([work])
    assert not demo.over


def test_a_demo_that_may_call_nothing_exits_4_and_says_so_on_the_page(tmp_path: Path) -> None:
    assert run(given_arguments(tmp_path, "calls=0")) == 4
    assert "No problem has been answered in every way" in (tmp_path / "demo.html").read_text()


@pytest.mark.parametrize("html", ["no/such/folder.html", "."])
def test_a_page_that_cannot_be_written_is_wrong_usage_before_anything_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], html: str
) -> None:
    with pytest.raises(WrongUsage, match="--html"):
        run(given_arguments(tmp_path, "tokens=900", html))
    assert capsys.readouterr().out == ""
