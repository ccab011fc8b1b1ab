"""One run as a page that stands alone: no script, no other file, all foreign text escaped. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .markup import clean, folded, note, pre
from .steps import NodeSpend, node_spend, stretches
from .story import Story
from .style import STYLE
from .timeline import timeline
from .turns import said_and_done

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for the page: nothing, and its own style."""
LONG, SHOWN = 1000, 200
"""Characters of a question that is not folded, and of a folded one that are shown."""
SHORT = 36
"""Characters of a step's reason in its box; a pointer that rests there sees all of it."""


MEASURED = (
    "A bar reaches from a branch's first call to its end: in its upper half are the calls of the "
    "model, in its lower half those of tools, each from its start to its end."
)
GUESSED = (
    "Times are those of the budget events, which follow each call. A bar begins where the last "
    "call before it had ended; the upright marks are ends of calls."
)


def page(story: Story) -> str:
    """The whole page."""
    sections = [
        _head(story),
        _section("Time line", _times(story)),
        _section("Spend by node", _spend(story)),
        _section("Graph walked", _walks(story)),
        _section("What was said and done", said_and_done(story)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>mull: trace of a run</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>"


def _head(story: Story) -> str:
    answer = story.answer
    parts = ["<header>\n<h1>Trace of a run</h1>"]
    if story.question:
        parts.append(_question(story.question))
    if story.torn:
        parts.append(note("The last event in the file is only half written, and is left out."))
    if answer is None:
        parts.append(note("The run did not end: there is no answer among its events."))
    else:
        parts.append(pre(answer["answer"] or "(no answer)", "answer"))
    parts.append(_figures(_facts(story)))
    return "\n".join([*parts, "</header>"])


def _question(question: str) -> str:
    whole = pre(question, "question")
    return whole if len(question) <= LONG else folded(f"{question[:SHOWN]}…", whole)


def _facts(story: Story) -> list[tuple[str, str]]:
    """What is known of the whole run, in words and figures."""
    answer, spent = story.answer or {}, story.spent or {}
    budget = answer.get("budget") or {}
    facts: list[tuple[str, str]] = []
    facts += [(name, str(answer[name])) for name in ("depth", "stopped") if name in answer]
    if isinstance(confidence := answer.get("confidence"), int | float):
        facts.append(("confidence", f"{confidence:.2f}"))
    if isinstance(difficulty := answer.get("difficulty"), dict):
        facts.append(("difficulty", str(difficulty.get("level", ""))))
    for name, used in (
        ("tokens", "total_tokens"),
        ("calls", "calls"),
        ("tool_calls", "tool_calls"),
        ("seconds", "seconds"),
        ("cost", "cost"),
    ):
        if used in spent:
            value = spent[used]
            said = value if isinstance(value, str) else f"{value:,}"
            limit = budget.get(name)
            facts.append(
                (name.replace("_", " "), said if limit is None else f"{said} of {_limit(limit)}")
            )
    return facts


def _limit(limit: Any) -> str:
    if isinstance(limit, float):
        return f"{limit:g}"
    return f"{limit:,}" if isinstance(limit, int) else str(limit)


def _figures(facts: Iterable[tuple[str, str]]) -> str:
    items = [f"<div><dt>{name}</dt><dd>{clean(value)}</dd></div>" for name, value in facts]
    return f'<dl class="figures">{"".join(items)}</dl>'


def _walks(story: Story) -> str:
    """The steps as they followed each other."""
    if not story.steps:
        return note("The events hold no steps: only an answer tells them.")
    lines = []
    for stretch in stretches(story.steps):
        boxes = "".join(_step(step) for step in stretch.steps)
        lines.append(
            f'<li class="walk"><span class="where">{clean(stretch.branch)}</span>'
            f"<ol>{boxes}</ol></li>"
        )
    return '<ol class="walks">\n' + "\n".join(lines) + "\n</ol>"


def _step(step: dict[str, Any]) -> str:
    spent = [f"{step['tokens']:,} tokens"] if step.get("tokens") else []
    spent += [f"{step['seconds']} s"] if step.get("seconds") else []
    name = step["node"] + (f" {step['tool']}" if step.get("tool") else "")
    return (
        f'<li class="step" title="{clean(step["reason"])}"><b>{clean(name)}</b>'
        f"<i>{clean(', '.join(spent) or _short(step['reason']))}</i></li>"
    )


def _short(reason: str) -> str:
    return reason if len(reason) <= SHORT else f"{reason[: SHORT - 1]}…"


def _times(story: Story) -> str:
    if story.seconds <= 0:
        return note("The events hold no times.")
    return (
        f'<div class="wide">{timeline(story)}</div>\n'
        '<ul class="legend"><li class="whole">whole</li><li class="cut">cut by the budget</li>'
        '<li class="weak">weak</li><li class="cancelled">cancelled</li>'
        '<li class="failed">failed</li><li class="open">did not end</li>'
        '<li class="call">calls of the model</li><li class="tool">tool calls</li></ul>\n'
        + note(MEASURED if story.timed else GUESSED)
    )


def _spend(story: Story) -> str:
    spends = node_spend(story.steps)
    if not spends:
        return note("The events hold no steps: only an answer tells them.")
    total = max(1, int((story.spent or {}).get("total_tokens", 0)))
    rest = total - sum(spend.tokens for spend in spends)
    rows = [_spend_row(spend, total) for spend in spends]
    if rest > 0:
        rows.append(_spend_row(NodeSpend("in no step", 0, rest, 0.0), total))
    return (
        '<div class="wide"><table><thead><tr><th>node</th><th>steps</th><th>tokens</th>'
        '<th class="share">share</th><th>seconds</th></tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _spend_row(spend: NodeSpend, total: int) -> str:
    share = min(100.0, 100 * spend.tokens / total)
    bar = f'<span style="width:{share:.1f}%"></span>{share:.0f} %' if spend.tokens else ""
    return (
        f"<tr><th>{clean(spend.node)}</th><td>{spend.steps or ''}</td><td>{spend.tokens:,}</td>"
        f'<td class="share">{bar}</td>'
        f"<td>{f'{spend.seconds:.2f}' if spend.seconds else ''}</td></tr>"
    )
