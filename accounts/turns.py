"""What was said and done in a run, branch by branch, as a part of a page. Pure."""

from __future__ import annotations

import json

from .markup import clean, note, pre
from .prompts import Prompts
from .steps import MAIN
from .story import Branch, Call, Called, Chosen, Judged, Said, Story, Turn

OPEN = 8
"""At most so many branches are shown unfolded."""


def said_and_done(story: Story) -> str:
    """Each branch, folded where there are many, with its turns."""
    unfolded, prompts = " open" if len(story.branches) <= OPEN else "", Prompts()
    told = (_branch(branch, unfolded, prompts) for branch in story.branches if branch.turns)
    return "\n".join(told)


def _branch(branch: Branch, unfolded: str, prompts: Prompts) -> str:
    facts = [branch.ended, *([] if branch.tokens is None else [f"{branch.tokens:,} tokens"])]
    facts += [branch.told] if branch.name != MAIN and branch.told else []
    return (
        f'<details{unfolded}><summary><b>{clean(branch.name)}</b> <span class="facts">'
        f"{clean(' · '.join(facts))}</span></summary>\n"
        + "\n".join(_turn(turn, prompts) for turn in branch.turns)
        + "\n</details>"
    )


def _turn(turn: Turn, prompts: Prompts) -> str:
    match turn:
        case Said():
            return _of_said(turn, prompts)
        case Called():
            return _told(f"tool call: {turn.tool}{_how(turn)}", "called", _call(turn))
        case Judged():
            passed = {True: "passed", False: "failed", None: "could not tell"}[turn.passed]
            told = f"verdict: {turn.verifier} {passed}, score {turn.score:.2f}"
            return _told(told, f"judged {passed.split()[0]}", pre(turn.reasons, "text"))
        case Chosen():
            return _told(f"depth: {turn.depth}", "chosen", pre(turn.reason, "text"))


def _of_said(said: Said, prompts: Prompts) -> str:
    if said.call is None:
        told = "reply, cut off and begun again" if said.broken else "reply"
        return _told(told, "said", "\n".join(_said(said)))
    anchor = prompts.anchor()
    parts = [prompts.prompt(said.call, anchor), *_said(said), *_rest(said.call)]
    return _told(_of_call(said.call), "said", "\n".join(parts), anchor)


def _said(said: Said) -> list[str]:
    parts = [pre(said.thinking, "thinking")] if said.thinking else []
    return parts + ([pre(said.text, "text")] if said.text else [])


def _of_call(call: Call) -> str:
    """What is told of a call in its heading."""
    told = [call.id, call.model, f"{call.began:.2f} to {call.ended:.2f} s"]
    return " · ".join([*told, *([f"{call.tokens:,} tokens"] if call.tokens else [])])


def _rest(call: Call) -> list[str]:
    """What a reply has beside its text: how it ended, tools that it calls, a reward's values."""
    replied, parts = call.replied, []
    if tools := replied.get("tool_calls"):
        names = ", ".join(str(tool.get("name")) for tool in tools if isinstance(tool, dict))
        parts.append(note(clean(f"It calls {names}.")))
    if replied.get("finish_reason") == "length":
        parts.append(note("It was cut at the most tokens it might have."))
    named = [name for name in ("refusal", "values") if name in replied]
    return parts + [pre(f"{name}: {replied[name]}", "text") for name in named]


def _told(title: str, kind: str, body: str, anchor: str = "") -> str:
    place = f' id="{anchor}"' if anchor else ""
    return f'<div class="turn {kind}"{place}><h3>{clean(title)}</h3>\n{body}</div>'


def _how(call: Called) -> str:
    if call.result is None:
        return ", did not end"
    how = "from memory" if call.remembered else f"{call.seconds:.2f} s"
    return f", {how}{', failed' if call.failed else ''}"


def _call(call: Called) -> str:
    asked = note("Approval was asked for.") if call.asked else ""
    result = "" if call.result is None else pre(call.result, "failed" if call.failed else "text")
    return pre(_readable(call.arguments), "arguments") + asked + result


def _readable(arguments: str) -> str:
    """The bare code where that is all that was given, else the arguments as written."""
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(given, dict) and set(given) == {"code"} and isinstance(given["code"], str):
        return given["code"]
    return arguments
