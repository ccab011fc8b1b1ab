"""The panels of the demo on a terminal: the chart, the account and the trace."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from .demo_chart import chart, mark_of
from .demo_figures import WAYS, Asked, Score, compared, scores
from .demo_run import AT_ONCE, PROBLEMS, Demo, ended_early, left_text
from .demo_trace import Branch, Step, grown
from .live import budget_text
from .printable import printable

WIDEST = 140
"""Columns that are used at most."""
BESIDE = 124
"""Columns from which the table stands beside the chart, and not below it."""
NARROWEST = 40
"""Columns of a chart that can be read."""
TABLE = 61
"""Columns of the table."""
CHART, CHART_LEAST = 16, 9
"""Lines of the chart, at most and at least."""
AROUND_BOTH, AROUND_CHART = 24, 12
"""Live lines around the chart: with the account as a panel, and as a line."""
BAR = 24
"""Columns of a bar."""
BRANCHES = 5
"""Branches of one branch that are shown."""


def chart_panel(demo: Demo, width: int, height: int) -> RenderableType:
    """What compute bought: the ways as points, and in figures."""
    done, inner = list(demo.done), max(width - 4, NARROWEST)
    table = scores(done)
    figures = _figures(table)
    if width >= BESIDE:
        both = Table.grid(padding=(0, 3, 0, 0))
        both.add_row(chart(table, inner - TABLE - 3, height), Group(Text(), figures))
    else:
        both = Table.grid()
        both.add_row(chart(table, inner, height))
        both.add_row(figures)
    about = f"1  What compute bought: {len(compared(done))} of {PROBLEMS} problems in every way"
    return Panel(both, title=about, title_align="left", width=width)


def _figures(table: list[Score]) -> RenderableType:
    if not table:
        return Text("No problem has been answered in every way.", "dim")
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    shown.add_column("")
    shown.add_column("way", no_wrap=True)
    for name in ("right", "95 %", "tokens each", "calls each"):
        shown.add_column(name, justify="right", no_wrap=True)
    for score in table:
        low, high = score.interval
        shown.add_row(
            Text(mark_of(score), f"bold reverse {score.way.style}"),
            Text(score.way.name, score.way.style),
            f"{score.right} of {score.count}",
            f"{100 * low:.0f}–{100 * high:.0f}",
            f"{score.tokens:,.0f}",
            f"{score.calls:.1f}",
        )
    return shown


def account_panel(demo: Demo, width: int) -> RenderableType:
    """What each way has spent of the one budget, and what is left."""
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    rows.add_column("way", no_wrap=True)
    for name in ("runs", "calls", "tokens"):
        rows.add_column(name, justify="right", no_wrap=True)
    rows.add_column("of the budget" if demo.budget.tokens else "of what is spent", no_wrap=True)
    total, done = demo.ledger.spent(), list(demo.done)
    whole = max(1, demo.budget.tokens or total.total_tokens)
    for way in WAYS:
        spent = demo.accounts[way.name].spent()
        rows.add_row(
            Text(way.name, way.style),
            str(sum(asked.way == way.name for asked in done)),
            str(spent.calls),
            f"{spent.total_tokens:,}",
            _bar(spent.total_tokens, whole),
        )
    rows.add_row("all", str(len(done)), str(total.calls), f"{total.total_tokens:,}", style="bold")
    lines = [
        Text.assemble(("spent  ", "dim"), budget_text(total.as_dict(), demo.budget.as_dict())),
        Text.assemble(("left   ", "dim"), left_text(demo)),
    ]
    if demo.over:
        lines.append(Text(ended_early(demo), "yellow"))
    title = "2  One budget for all, never exceeded"
    return Panel(Group(rows, *lines), title=title, title_align="left", width=width)


def _bar(part: int, whole: int) -> Text:
    """A bar of plain characters, and percent."""
    filled = round(BAR * part / whole)
    return Text.assemble("#" * filled, ("." * (BAR - filled), "dim"), f" {part / whole:>4.0%}")


def live_panels(demo: Demo, width: int, lines: int) -> RenderableType:
    """What is shown while it runs, within so many lines: on few, the account is one line."""
    height = lines - AROUND_BOTH if lines >= AROUND_BOTH + CHART_LEAST else lines - AROUND_CHART
    chosen = chart_panel(demo, width, max(CHART_LEAST, min(CHART, height)))
    if lines >= AROUND_BOTH + CHART_LEAST:
        return Group(progress(demo), chosen, account_panel(demo, width))
    spent = budget_text(demo.ledger.spent().as_dict(), demo.budget.as_dict())
    return Group(progress(demo), chosen, Text.assemble(("spent  ", "dim"), spent))


def progress(demo: Demo) -> RenderableType:
    """How far it is, and which ways are at work."""
    runs = PROBLEMS * len(WAYS)
    row = Table.grid(padding=(0, 1))
    row.add_row(
        ProgressBar(total=runs, completed=len(demo.done), width=BAR),
        Text(f"{len(demo.done)} of {runs} runs, {AT_ONCE} at once:", no_wrap=True),
        Text(" ".join(sorted(demo.running)), "dim", no_wrap=True, overflow="ellipsis"),
    )
    return row


def trace_panel(shown: Asked, width: int) -> RenderableType:
    """One run: its nodes, branches, verdicts and tokens."""
    tree = Tree(Text(shown.question, "bold"), guide_style="dim")
    _grow(tree, grown(shown.answer.trace))
    verdict = ("right", "green") if shown.right else (f"wrong: it is {shown.truth}", "red")
    spent = shown.answer.usage
    cost = f"  {spent.total_tokens:,} tokens, {spent.calls} calls"
    answer = printable(shown.answer.final[:40])
    tree.add(Text.assemble("answer ", (answer, "bold"), ", ", verdict, (cost, "dim")))
    title = f"3  One run: auto on problem {shown.number}"
    return Panel(tree, title=title, title_align="left", width=width)


def _grow(tree: Tree, branch: Branch) -> None:
    left = BRANCHES
    for item in branch.items:
        if isinstance(item, Step):
            tree.add(step_text(item))
        elif left:
            left -= 1
            below = tree.add(branch_text(item))
            if item.branches:
                _grow(below, item)
    if rest := branch.branches[BRANCHES:]:
        tokens = sum(item.tokens for item in rest)
        tree.add(Text(f"and {len(rest)} more branches  {tokens:,} tokens", "dim"))


def step_text(step: Step) -> Text:
    """A node on one line."""
    reason = _first(step.reason)
    cost = f"  {step.tokens:,} tokens" if step.tokens else ""
    text = Text.assemble((step.node, "cyan"), f"  {reason}", (cost, "dim"))
    return _one_line(text)


def branch_text(branch: Branch) -> Text:
    """A branch on one line: its answer, the last verdict on it, and its tokens."""
    text = Text.assemble((branch.name, "bold magenta"))
    if branch.answer:
        text.append(f"  {_first(branch.answer)}")
    text.append(f"  {branch.tokens:,} tokens", "dim")
    if (verdict := branch.verdict) is not None:
        word, style = VERDICTS[verdict.passed]
        text.append(f"  {word}", style)
        text.append(f" {_first(verdict.reason)}", "dim")
    return _one_line(text)


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _first(text: str) -> str:
    """The first line of foreign text."""
    return printable(text.strip().partition("\n")[0][:200])


VERDICTS = {True: ("passed", "green"), False: ("failed", "red"), None: ("no verdict", "yellow")}
