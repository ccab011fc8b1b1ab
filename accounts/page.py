"""One run as a page that stands alone: no script, no other file, all foreign text escaped. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .markup import clean
from .steps import MAIN, NodeSpend, node_spend, stretches
from .story import Branch, Called, Chosen, Judged, Said, Story, Turn
from .style import STYLE
from .timeline import timeline

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for the page: nothing, and its own style."""
OPEN = 8
"""At most so many branches are shown unfolded."""
SHORT = 36
"""Characters of a step's reason in its box; a pointer that rests there sees all of it."""


def page(story: Story) -> str:
    """The whole page."""
    sections = [
        _head(story),
        _section("Graph walked", _walks(story)),
        _section("Time line", _times(story)),
        _section("Spend by node", _spend(story)),
        _section("What was said and done", _branches(story)),
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


def _note(text: str) -> str:
    return f'<p class="note">{text}</p>'


def _pre(text: str, kind: str) -> str:
    return f'<pre class="{kind}" dir="auto">{clean(text)}</pre>'


def _head(story: Story) -> str:
    answer = story.answer
    parts = ["<header>\n<h1>Trace of a run</h1>"]
    if story.torn:
        parts.append(_note("The last event in the file is only half written, and is left out."))
    if answer is None:
        parts.append(_note("The run did not end: there is no answer among its events."))
    else:
        parts.append(_pre(answer["answer"] or "(no answer)", "answer"))
    parts.append(_figures(_facts(story)))
    return "\n".join([*parts, "</header>"])


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
        return _note("The events hold no steps: only an answer tells them.")
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
        return _note("The events hold no times.")
    return (
        f'<div class="wide">{timeline(story)}</div>\n'
        '<ul class="legend"><li class="whole">whole</li><li class="cut">cut by the budget</li>'
        '<li class="weak">weak</li><li class="cancelled">cancelled</li>'
        '<li class="failed">failed</li><li class="open">did not end</li>'
        '<li class="tool">tool calls</li></ul>\n'
        + _note(
            "Times are those of the budget events, which follow each call. A bar begins where the "
            "last call before it had ended; the upright marks are ends of calls."
        )
    )


def _spend(story: Story) -> str:
    spends = node_spend(story.steps)
    if not spends:
        return _note("The events hold no steps: only an answer tells them.")
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


def _branches(story: Story) -> str:
    unfolded = " open" if len(story.branches) <= OPEN else ""
    return "\n".join(_branch(branch, unfolded) for branch in story.branches if branch.turns)


def _branch(branch: Branch, unfolded: str) -> str:
    facts = [branch.ended, *([] if branch.tokens is None else [f"{branch.tokens:,} tokens"])]
    facts += [branch.told] if branch.name != MAIN and branch.told else []
    return (
        f'<details{unfolded}><summary><b>{clean(branch.name)}</b> <span class="facts">'
        f"{clean(' · '.join(facts))}</span></summary>\n"
        + "\n".join(_turn(turn) for turn in branch.turns)
        + "\n</details>"
    )


def _turn(turn: Turn) -> str:
    match turn:
        case Said():
            told = "reply, cut off and begun again" if turn.broken else "reply"
            parts = [_pre(turn.thinking, "thinking")] if turn.thinking else []
            parts += [_pre(turn.text, "text")] if turn.text else []
            return _told(told, "said", "\n".join(parts))
        case Called():
            return _told(f"tool call: {turn.tool}{_how(turn)}", "called", _call(turn))
        case Judged():
            passed = {True: "passed", False: "failed", None: "could not tell"}[turn.passed]
            told = f"verdict: {turn.verifier} {passed}, score {turn.score:.2f}"
            return _told(told, f"judged {passed.split()[0]}", _pre(turn.reasons, "text"))
        case Chosen():
            return _told(f"depth: {turn.depth}", "chosen", _pre(turn.reason, "text"))


def _told(title: str, kind: str, body: str) -> str:
    return f'<div class="turn {kind}"><h3>{clean(title)}</h3>\n{body}</div>'


def _how(call: Called) -> str:
    if call.result is None:
        return ", did not end"
    how = "from memory" if call.remembered else f"{call.seconds:.2f} s"
    return f", {how}{', failed' if call.failed else ''}"


def _call(call: Called) -> str:
    asked = _note("Approval was asked for.") if call.asked else ""
    result = "" if call.result is None else _pre(call.result, "failed" if call.failed else "text")
    return _pre(_readable(call.arguments), "arguments") + asked + result


def _readable(arguments: str) -> str:
    """The bare code where that is all that was given, else the arguments as written."""
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(given, dict) and set(given) == {"code"} and isinstance(given["code"], str):
        return given["code"]
    return arguments
