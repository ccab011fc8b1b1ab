"""A script's run as one HTML page: no other files, no scripts, every text escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from .check import levels, needed
from .results import ScriptResult, StepResult
from .step import Step

WIDE, HIGH, GAP_X, GAP_Y, EDGE = 150, 44, 60, 18, 12
"""Pixels: a step's box, the space between boxes, and around the drawing."""


def report(title: str, steps: Sequence[Step], result: ScriptResult) -> str:
    """The page: the graph of the steps, what was spent, and every step with its text."""
    state = "complete" if result.ok else "not complete"
    usage = result.usage
    limits = escape(str(result.budget))
    head = (
        f"<p>{state} · {len(steps)} steps · {usage.calls} calls · {usage.total_tokens:,} tokens · "
        f"{usage.seconds:.1f} s · {escape(usage.as_dict()['cost'])} USD · budget {limits}</p>"
    )
    sections = "\n".join(_section(step, result.steps[step.id]) for step in steps)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<h1>{escape(title)}</h1>{head}\n{_drawing(steps, result)}\n{_table(steps, result)}\n"
        f"{sections}\n</body></html>\n"
    )


def _drawing(steps: Sequence[Step], result: ScriptResult) -> str:
    """The steps as boxes, one column for each level, with a line from each need."""
    columns = levels(steps)
    places = {
        step.id: (EDGE + column * (WIDE + GAP_X), EDGE + row * (HIGH + GAP_Y))
        for column, level in enumerate(columns)
        for row, step in enumerate(level)
    }
    lines = []
    for step in steps:
        x, y = places[step.id]
        for name in needed(step):
            from_x, from_y = places[name][0] + WIDE, places[name][1] + HIGH // 2
            to_y, bend = y + HIGH // 2, GAP_X // 2
            lines.append(
                f'<path d="M{from_x} {from_y} C{from_x + bend} {from_y} {x - bend} {to_y} '
                f'{x} {to_y}"/>'
            )
    boxes = []
    for step in steps:
        x, y = places[step.id]
        own = result.steps[step.id]
        name = step.id if len(step.id) <= 18 else f"{step.id[:17]}…"
        told = f"{own.state} · {len(own.items)} items" if own.items else own.state
        boxes.append(
            f'<a href="#{escape(step.id)}"><g class="{own.state}">'
            f"<title>{escape(step.id)}</title>"
            f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="6"/>'
            f'<text x="{x + 10}" y="{y + 19}">{escape(name)}</text>'
            f'<text class="small" x="{x + 10}" y="{y + 35}">{escape(told)}</text></g></a>'
        )
    width = 2 * EDGE + len(columns) * (WIDE + GAP_X) - GAP_X
    rows = max(len(level) for level in columns)
    height = 2 * EDGE + rows * (HIGH + GAP_Y) - GAP_Y
    return (
        f'<div class="wide"><svg role="img" aria-label="the steps and what they need" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"{''.join(lines)}{''.join(boxes)}</svg></div>"
    )


def _table(steps: Sequence[Step], result: ScriptResult) -> str:
    rows = []
    for step in steps:
        own = result.steps[step.id]
        paid = "stored" if own.stored else ""
        rows.append(
            f'<tr><td><a href="#{escape(step.id)}">{escape(step.id)}</a></td>'
            f'<td class="{own.state}">{own.state}</td><td>{own.usage.calls}</td>'
            f"<td>{own.usage.total_tokens:,}</td><td>{own.usage.seconds:.2f}</td><td>{paid}</td>"
            "</tr>"
        )
    head = "".join(
        f"<th>{name}</th>"
        for name in ("step", "state", "calls", "tokens", "seconds", "paid before")
    )
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _section(step: Step, result: StepResult) -> str:
    needs = ", ".join(needed(step)) or "nothing"
    about = f"{step.python or step.depth} · needs {needs} · {result.state}"
    parts = [f'<section id="{escape(step.id)}"><h2>{escape(step.id)}</h2><p>{escape(about)}</p>']
    if result.items:
        if result.error is not None:
            parts.append(f'<p class="failed">{escape(result.error)}</p>')
        for index, item in enumerate(result.items):
            parts.append(f"<h3>item {index}</h3>{_body(item)}")
    else:
        parts.append(_body(result))
    return "".join(parts) + "</section>"


def _body(result: StepResult) -> str:
    parts = []
    for name, text in (("question", result.question), ("text", result.text)):
        if text:
            parts.append(f"<h4>{name}</h4><pre>{escape(_plain(text))}</pre>")
    if result.state == "done":
        parts.append(f"<p>answer: <b>{escape(_plain(result.answer))}</b>{_sure(result)}</p>")
    if result.error is not None:
        parts.append(f'<p class="failed">{escape(result.error)}</p>')
    return "".join(parts)


def _sure(result: StepResult) -> str:
    stopped = f" · {escape(result.stopped)}" if result.stopped else ""
    return stopped if result.confidence is None else f"{stopped} · {result.confidence:.0%} sure"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--paper:#fff;--faint:#5f6770;--line:#c9ced4;
--fill:#f4f6f8;--good:#187741;--bad:#b42318;--warn:#8f5300}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#15181b;--faint:#9aa3ad;
--line:#3c444c;--fill:#1f2429;--good:#5cc98a;--bad:#ff8a7d;--warn:#e8b05c}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:60rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}h4{margin:.6rem 0 .2rem;color:var(--faint);font-weight:600}
a{color:inherit}.wide{overflow-x:auto}
table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.25rem .9rem .25rem 0;
border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--fill);padding:.6rem .8rem;
border-radius:6px;margin:0}
section{border-top:1px solid var(--line);margin-top:1.5rem}
svg path{fill:none;stroke:var(--faint)}svg rect{fill:var(--fill);stroke:var(--line);
stroke-width:1.5}svg text{fill:var(--ink);font-size:14px}svg text.small{fill:var(--faint);
font-size:12px}
g.done rect{stroke:var(--good)}g.failed rect{stroke:var(--bad)}g.blocked rect{stroke:var(--warn)}
g.skipped rect{stroke-dasharray:4 3}
p.failed,td.failed{color:var(--bad)}td.done{color:var(--good)}td.blocked{color:var(--warn)}
"""
