"""What is wrong with a script, told before anything is spent; and the order of its steps. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .results import FIELDS
from .source import Place
from .step import Step
from .templates import Uses, uses

EXPRESSIONS = ("foreach", "when")
OF_AN_ITEM = ("question", "output")
"""Texts that are filled in once for each item of a `foreach`."""
ITEM_NAMES = frozenset({"item", "index"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem, at a place of the script; `line` is one of that text's lines, from 1."""

    place: Place
    what: str
    line: int = 1


def texts(step: Step) -> dict[str, Uses]:
    """The templates and expressions of a step, and what they name."""
    found = {}
    for name in (*EXPRESSIONS, *OF_AN_ITEM):
        text = getattr(step, name)
        if isinstance(text, str):
            found[name] = uses(text, expression=name in EXPRESSIONS)
    return found


def needed(step: Step) -> tuple[str, ...]:
    """The steps that must end before this one: its `needs`, and those its templates name."""
    named = [
        reference.name
        for text in texts(step).values()
        for reference in text.references
        if reference.root == "steps"
    ]
    return tuple(dict.fromkeys((*step.needs, *named)))


def levels(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in order: those of one level need none of each other, only earlier levels.

    Steps of a circle, and those that need them, are left out.
    """
    rest, done, found = list(steps), set[str](), []
    while ready := [step for step in rest if done.issuperset(needed(step))]:
        found.append(ready)
        done.update(step.id for step in ready)
        rest = [step for step in rest if step.id not in done]
    return found


def faults(
    steps: Sequence[Step], inputs: Mapping[str, Any], tools: frozenset[str]
) -> Iterator[Fault]:
    """All that is wrong with the names, the order and the shares.

    Args:
        inputs: Those that the script declares.
        tools: The names of the tools there are.
    """
    ids = [step.id for step in steps]
    for number, step in enumerate(steps):
        place: Place = ("steps", number)
        if step.id in ids[:number]:
            yield Fault((*place, "id"), f"there is a step {step.id!r} already")
        for index, name in enumerate(step.needs):
            if name not in ids:
                told = f"step {step.id!r} needs {name!r}: {_unknown('step', name, ids)}"
                yield Fault((*place, "needs", index), told)
        for index, name in enumerate(step.tools):
            if name not in tools:
                yield Fault((*place, "tools", index), _unknown("tool", name, sorted(tools)))
        for slot, text in texts(step).items():
            yield from _text_faults(step, (*place, slot), text, ids, inputs)
            yield from _type_faults((*place, slot), text, steps)
        yield from _output_faults(step, place)
    yield from _share_faults(steps)
    if len(set(ids)) == len(ids) and all(set(needed(step)) <= set(ids) for step in steps):
        yield from _circle_faults(steps)


def _text_faults(
    step: Step, place: Place, text: Uses, ids: Sequence[str], inputs: Mapping[str, Any]
) -> Iterator[Fault]:
    for line, what in text.faults:
        yield Fault(place, what, line)
    slot = place[-1]
    allowed = ITEM_NAMES if step.foreach is not None and slot in OF_AN_ITEM else frozenset()
    for name in sorted(text.others - allowed):
        if name in ITEM_NAMES:
            told = f"{name!r} is known only in the question and output of a step with foreach"
        else:
            told = f"there is no {name!r} here: write inputs.{name} or steps.{name}.answer"
        yield Fault(place, told)
    for use in text.references:
        if use.root == "inputs":
            if use.name not in inputs:
                yield Fault(place, _unknown("input", use.name, list(inputs)), use.line)
        elif use.name not in ids:
            yield Fault(place, _unknown("step", use.name, ids), use.line)
        elif use.field not in FIELDS:
            has = f"a step has {', '.join(FIELDS)}"
            told = f"steps.{use.name}" + (f".{use.field}" if use.field else " without a field")
            yield Fault(place, f"{told}: {has}", use.line)


def _type_faults(place: Place, text: Uses, steps: Sequence[Step]) -> Iterator[Fault]:
    untyped = {step.id for step in steps if step.output_type is None}
    for use in text.references:
        if use.root == "steps" and use.field == "output" and use.name in untyped:
            told = f"steps.{use.name}.output: step {use.name!r} has no output_type"
            yield Fault(place, told, use.line)


def _output_faults(step: Step, place: Place) -> Iterator[Fault]:
    used = texts(step).get("output")
    if step.foreach is not None and used is not None and not used.others & ITEM_NAMES:
        told = "every item would write to the same file: use {{ index }} or {{ item }} in its name"
        yield Fault((*place, "output"), told)


def _share_faults(steps: Sequence[Step]) -> Iterator[Fault]:
    total = sum(step.share or 0 for step in steps)
    if total > 1 + 1e-9:
        yield Fault(("steps",), f"the shares add up to {total:g}: more than the whole budget")


def _circle_faults(steps: Sequence[Step]) -> Iterator[Fault]:
    placed = {step.id for level in levels(steps) for step in level}
    rest = {step.id: step for step in steps if step.id not in placed}
    if not rest:
        return
    # Whoever is left has a need that is left: walking along them must come round.
    walk = [next(iter(rest))]
    while walk[-1] not in walk[:-1]:
        walk.append(next(name for name in needed(rest[walk[-1]]) if name in rest))
    circle = walk[walk.index(walk[-1]) :]
    number = next(place for place, step in enumerate(steps) if step.id == circle[0])
    yield Fault(("steps", number), f"a circle: {' needs '.join(circle)}")


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known) or 'none'}"
    return f"there is no {kind} {name!r}: {hint}"
