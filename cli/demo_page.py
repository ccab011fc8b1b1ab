"""The demo as one HTML page that needs nothing else: plot, figures, account and trace. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from .demo_figures import WAYS, Asked, Score, compared, scores
from .demo_plot import plot
from .demo_run import PROBLEMS, Demo, ended_early, left_text
from .demo_trace import Branch, Step, grown
from .live import budget_text

Cell = tuple[str, str]
"""A text and its class: `n` for a figure."""


def page(demo: Demo, shown: Asked | None, said: str) -> str:
    """The whole page. `shown` is the run whose trace is drawn, `said` the last sentence."""
    table = scores(demo.done)
    about = (
        f"A small language model answered word problems (seed {demo.seed}) in six ways, under one "
        f"budget: {demo.budget}."
    )
    parts = [
        f"<h1>mull demo</h1>\n<p>{escape(about)}</p>\n<p><strong>{escape(said)}</strong></p>",
        _compared(table, len(compared(demo.done))),
        _account(demo),
        "" if shown is None else _trace(shown),
    ]
    return PAGE.format(style=STYLE, body="\n".join(parts))


def _compared(table: list[Score], count: int) -> str:
    title = f"<h2>What compute bought: {count} of {PROBLEMS} problems in every way</h2>"
    if not table:
        return f"{title}\n<p>No problem has been answered in every way.</p>"
    rows = []
    for place, score in enumerate(table, 1):
        low, high = score.interval
        figures = (
            f"{score.right} of {score.count}",
            f"{100 * low:.0f}–{100 * high:.0f} %",
            f"{score.tokens:,.0f}",
            f"{score.calls:.1f}",
        )
        rows.append(_row((str(place), f"w{place}"), (score.way.name, ""), *_figures(*figures)))
    head = (*_words("", "way"), *_figures("right", "95 % interval", "tokens each", "calls each"))
    return f"{title}\n<figure>{plot(table)}</figure>\n{_table(head, rows)}"


def _account(demo: Demo) -> str:
    total = demo.ledger.spent()
    whole = max(1, demo.budget.tokens or total.total_tokens)
    rows = []
    for place, way in enumerate(WAYS, 1):
        spent = demo.accounts[way.name].spent()
        share = 100 * spent.total_tokens / whole
        runs = sum(asked.way == way.name for asked in demo.done)
        bar = f'<td><div class="bar w{place}" style="width:{share:.2f}%"></div></td>'
        figures = (str(runs), str(spent.calls), f"{spent.total_tokens:,}", f"{share:.0f} %")
        rows.append(f"<tr>{_cells(*_words(way.name), *_figures(*figures))}{bar}</tr>")
    share = 100 * total.total_tokens / whole
    figures = (str(len(demo.done)), str(total.calls), f"{total.total_tokens:,}", f"{share:.0f} %")
    rows.append(_row(*_words("all"), *_figures(*figures), *_words("")))
    of = "of the budget" if demo.budget.tokens else "of what is spent"
    head = (*_words("way"), *_figures("runs", "calls", "tokens", of), *_words(""))
    spent_text = budget_text(total.as_dict(), demo.budget.as_dict())
    early = f'<p class="early">{escape(ended_early(demo))}</p>' if demo.over else ""
    return (
        f"<h2>One budget for all, never exceeded</h2>\n{_table(head, rows)}\n"
        f"<p>Spent: {escape(spent_text)}. Left: {escape(left_text(demo))}.</p>\n{early}"
    )


def _trace(shown: Asked) -> str:
    usage = shown.answer.usage
    right = "right" if shown.right else f"wrong: it is {shown.truth}"
    end = (
        f"Answer {shown.answer.final}, {right}. {usage.total_tokens:,} tokens, {usage.calls} calls."
    )
    return (
        f"<h2>One run: auto on problem {shown.number}</h2>\n<p>{escape(shown.question)}</p>\n"
        f"{_items(grown(shown.answer.trace))}\n<p>{escape(end)}</p>"
    )


def _items(branch: Branch) -> str:
    items = (_step(item) if isinstance(item, Step) else _branch(item) for item in branch.items)
    return f'<ul class="trace">{"".join(items)}</ul>'


def _step(step: Step) -> str:
    kind = VERDICTS[step.passed] if step.judged else ""
    tokens = f" <small>{step.tokens:,} tokens</small>" if step.tokens else ""
    verdict = f" <b>{kind}</b>" if kind else ""
    return (
        f'<li class="{kind}"><code>{escape(step.node)}</code>{verdict} {escape(step.reason)}'
        f"{tokens}</li>"
    )


def _branch(branch: Branch) -> str:
    answer = f" {escape(branch.answer)}" if branch.answer else ""
    return (
        f"<li><details open><summary><b>{escape(branch.name)}</b>{answer} "
        f"<small>{branch.tokens:,} tokens</small></summary>{_items(branch)}</details></li>"
    )


def _table(head: Iterable[Cell], rows: list[str]) -> str:
    names = "".join(f'<th class="{kind}">{escape(name)}</th>' for name, kind in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _words(*texts: str) -> list[Cell]:
    return [(text, "") for text in texts]


def _figures(*texts: str) -> list[Cell]:
    return [(text, "n") for text in texts]


def _row(*cells: Cell) -> str:
    return f"<tr>{_cells(*cells)}</tr>"


def _cells(*cells: Cell) -> str:
    return "".join(f'<td class="{kind}">{escape(text)}</td>' for text, kind in cells)


VERDICTS = {True: "passed", False: "failed", None: "no verdict"}

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mull demo</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --faint: #667; --line: #d8dce2;
  --c1: #444b55; --c2: #0b7f8f; --c3: #2459c9; --c4: #a0349c; --c5: #a86400; --c6: #1b7f3b;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaee; --paper: #14171b; --faint: #9aa3ae; --line: #333a43;
    --c1: #c3cad3; --c2: #4fc3d3; --c3: #7fa6ff; --c4: #e08adc; --c5: #f0b04a; --c6: #6fd08c;
    --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2rem; font-size: 1.2rem; }
figure { margin: 0; }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--faint); } svg .grid { stroke: var(--line); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th { color: var(--faint); font-weight: 600; }
small { color: var(--faint); } .early { color: var(--c5); }
.bar { height: .8rem; background: currentColor; min-width: 1px; } td:has(.bar) { width: 35%; }
.w1 { color: var(--c1); } .w2 { color: var(--c2); } .w3 { color: var(--c3); }
.w4 { color: var(--c4); } .w5 { color: var(--c5); } .w6 { color: var(--c6); }
svg circle, svg text.name { fill: currentColor; } svg .spread { stroke: currentColor; opacity: .4; }
ul.trace { list-style: none; padding-left: 1rem; border-left: 1px solid var(--line);
  overflow-wrap: anywhere; }
li.passed b { color: var(--c6); } li.failed b { color: var(--bad); } summary { cursor: pointer; }
"""
