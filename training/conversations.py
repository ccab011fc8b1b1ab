"""What the model learns from: conversations as each node of the framework holds them. Pure.

Every prompt is the framework's default, imported from the node that asks it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mull.graphs.difficulty.estimate import ESTIMATE
from mull.graphs.history import HEAD, NOTED
from mull.graphs.nodes.answer import SYSTEM as DIRECT
from mull.graphs.nodes.critique import CRITIQUE
from mull.graphs.nodes.expand import SYSTEM as EXPAND
from mull.graphs.nodes.land import FINISH, NOTES
from mull.graphs.nodes.refine import REFINE
from mull.graphs.nodes.think import SYSTEM as THINK
from mull.graphs.values import VALUE
from mull.models import Message, system, user
from mull.models.demo.problems import FAMILIES, Problem, stated
from mull.models.demo.problems.countdown import moves, reachable
from mull.models.demo.problems.problem import apply, operations
from mull.tools.python import PythonTool

OWN = 0.7
"""Share of the attempts that are the model's own, where there are any."""
NO_EVIDENCE = "(no tools were used)"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, of which the assistant's are learned, and the tools that were offered."""

    messages: list[Message]
    tools: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where problems and mistakes come from."""

    rng: random.Random
    progress: float
    """How far the training has come, from 0 to 1: the problems grow with it."""
    own: Mapping[str, Sequence[tuple[Problem, str]]] = field(default_factory=dict)
    """The model's own replies to training problems, by family."""
    rates: Mapping[str, int] = field(default_factory=dict)
    """Percent of them that are right, by family and steps."""

    def problem(self, families: Sequence[str] = ("words", "words", "chains")) -> Problem:
        """A training problem: short ones first, all lengths from a third of the way on."""
        name = self.rng.choice(families)
        family = FAMILIES[name]
        most = 1 + int(15 * self.progress)
        steps = [count for count in family.steps if count <= most] or family.steps[:1]
        while True:
            problem = family.make(self.rng, self.rng.choice(steps))
            if problem.split == "train":
                return problem

    def attempt(self) -> tuple[Problem, str]:
        """A problem and a reply to it, right half of the time: the model's own where there are."""
        right = self.rng.random() < 0.5
        family = self.rng.choice(("words", "chains"))
        # The model seldom slips in arithmetic: a part is spoiled on purpose, to be recomputed.
        for _ in range(40 if self.own.get(family) and self.rng.random() < OWN else 0):
            problem, text = self.rng.choice(self.own[family])
            if problem.solved_by(text) is right and operations(text):
                return problem, text
        problem = self.problem((family,))
        return problem, problem.solution if right else spoiled(problem, self.rng)


def spoiled(problem: Problem, rng: random.Random) -> str:
    """The solution with one result wrong, and all that follows from it."""
    for _ in range(20):
        lines = _spoiled_at(rng.randrange(len(problem.lines)), problem, rng)
        if lines is not None:
            break
    else:
        lines = _spoiled_at(len(problem.lines) - 1, problem, rng) or []
    return "\n".join([*lines, f"Answer: {operations(lines[-1])[0][3]}"])


def _spoiled_at(bad: int, problem: Problem, rng: random.Random) -> list[str] | None:
    """The lines with that one wrong; None where what follows cannot be computed."""
    lines: list[str] = []
    changed: dict[int, int] = {}
    for number, line in enumerate(problem.lines):
        a, sign, b, result = operations(line)[0]
        a, b = changed.get(a, a), changed.get(b, b)
        value = apply(a, sign, b)
        if value is None:
            return None
        if number == bad:
            value = _near(value, rng)
        changed[result] = value
        lines.append(f"{a}{sign}{b}={value}")
    return lines


def _near(value: int, rng: random.Random) -> int:
    while True:
        wrong = value + rng.choice([-10, -10, -2, -1, -1, 1, 1, 2, 10, 10, rng.randint(-30, 30)])
        if wrong != value and wrong >= 0:
            return wrong


def direct(source: Source) -> Conversation:
    """`answer`: the question, under the prompt of `direct`. A vote's chains without tools."""
    problem = source.problem(ALL)
    return Conversation([system(DIRECT), user(problem.question), said(problem.solution)])


def plain(source: Source) -> Conversation:
    """The question and nothing else: `BudgetedChatModel`, and nodes of other people's graphs."""
    problem = source.problem(ALL)
    return Conversation([user(problem.question), said(problem.solution)])


def think(source: Source) -> Conversation:
    """`think` without tools: what reflections draft with."""
    problem = source.problem(ALL)
    return Conversation([system(THINK), user(problem.question), said(problem.solution)])


def expand(source: Source) -> Conversation:
    """`expand`: the steps of a search."""
    problem = source.problem(ALL)
    return Conversation([system(EXPAND), user(problem.question), said(problem.solution)])


def chat(source: Source) -> Conversation:
    """A question of a thread: earlier turns, or the notes of them, stand before it."""
    rng = source.rng
    earlier: list[Message] = []
    if rng.random() < 0.3:
        known = source.problem(ALL)
        facts = f"Facts:\n{known.question} {known.answer}\nOpen questions:\nnone"
        earlier += [user(f"{HEAD}\n{facts}"), said(NOTED)]
    for _ in range(rng.randint(0 if earlier else 1, 3)):
        before = source.problem(ALL)
        earlier += [user(before.question), said(before.solution)]
    problem = source.problem(ALL)
    messages = [system(rng.choice((DIRECT, THINK))), *earlier, user(problem.question)]
    return Conversation([*messages, said(problem.solution)])


def tool(source: Source) -> Conversation:
    """`think` with the `python` tool: a call, its result, the answer."""
    problem = source.problem(("words", "chains"))
    code = json.dumps({"code": problem.code})
    call: Message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "python", "arguments": code}}
        ],
    }
    result: Message = {"role": "tool", "tool_call_id": "1", "content": str(problem.answer)}
    messages = [system(THINK), user(problem.question), call, result]
    return Conversation([*messages, said(f"Answer: {problem.answer}")], [PYTHON])


def tool_unused(source: Source) -> Conversation:
    """Countdown with the `python` tool at hand: it is of no use, and is not called."""
    problem = source.problem(COUNTDOWN)
    messages = [system(THINK), user(problem.question), said(problem.solution)]
    return Conversation(messages, [PYTHON])


def critique(source: Source) -> Conversation:
    """`critique`: a walk through the proposed lines, up to the first mistake."""
    problem, text = source.attempt()
    words = CRITIQUE.format(question=problem.question, evidence=NO_EVIDENCE, text=text)
    return Conversation([system(THINK), user(words), said(verdict_on(problem, text))])


def refine(source: Source) -> Conversation:
    """`refine`: the right solution, after a wrong one and what was said against it."""
    problem, text = source.attempt()
    objection = verdict_on(problem, text)
    words = REFINE.format(
        question=problem.question, evidence=NO_EVIDENCE, text=text, reasons=objection
    )
    # A search mends without a system prompt, a reflection with one.
    head = [system(THINK)] if source.rng.random() < 0.7 else []
    return Conversation([*head, user(words), said(problem.solution)])


def value(source: Source) -> Conversation:
    """`expand`'s question for the worth of some first steps."""
    rng = source.rng
    problem = source.problem(ALL)
    if problem.numbers:
        left = list(problem.numbers)
        lines: list[str] = []
        for line in problem.lines[: rng.randint(1, max(1, len(problem.lines) - 1))]:
            lines.append(line)
            left = [int(number) for number in line.partition(" left ")[2].split()]
        if rng.random() < 0.5:
            lines, left = _astray(problem, rng)
        good = reachable(left, problem.answer)
    else:
        good = rng.random() < 0.5
        text = problem.solution if good else spoiled(problem, rng)
        lines = text.splitlines()[:-1]
    words = VALUE.format(question=problem.question, steps="\n".join(lines))
    return Conversation([user(words), said(f"Answer: {'sure' if good else 'impossible'}")])


def _astray(problem: Problem, rng: random.Random) -> tuple[list[str], list[int]]:
    """A first step of Countdown, taken at random."""
    line, left = rng.choice(list(moves(list(problem.numbers))))
    return [line], left


def difficulty(source: Source) -> Conversation:
    """The classifier's question. The answer is how often the model itself was right."""
    problem = source.problem()
    known = source.rates.get(f"{problem.family} {problem.steps}")
    guess = max(5, 100 - 12 * problem.steps) if known is None else known
    words = ESTIMATE.format(question=problem.question)
    return Conversation([user(words), said(f"Answer: {guess}")])


def land(source: Source) -> Conversation:
    """`land`: the answer at the end of the budget, from what was worked out so far."""
    problem = source.problem()
    notes = "\n".join(problem.lines)
    words = "\n\n".join([problem.question, NOTES, notes, FINISH])
    return Conversation([user(words), said(f"Answer: {problem.answer}")])


def verdict_on(problem: Problem, text: str) -> str:
    """What a good critic says: each line as it should be, up to the first that is not so."""
    written = text.splitlines()
    checked: list[str] = []
    for number, line in enumerate(problem.lines):
        found = written[number] if number < len(written) else ""
        if found != line:
            return "\n".join([*checked, f"{line} and not {found or 'nothing'}", "Answer: fail"])
        checked.append(f"{line} holds")
    right = stated(text) == problem.answer and len(written) == len(problem.lines) + 1
    return "\n".join([*checked, "Answer: pass" if right else "Answer: fail"])


def said(text: str) -> Message:
    """The assistant's message."""
    return {"role": "assistant", "content": text}


_tool = PythonTool()
PYTHON: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": _tool.name,
        "description": _tool.description,
        "parameters": _tool.parameters,
    },
}
COUNTDOWN = ("countdown-3", "countdown-4")
ALL = ("words",) * 3 + ("chains",) + ("countdown-3",) * 3 + ("countdown-4",) * 3

Make = Callable[[Source], Conversation]

MIX: Sequence[tuple[Make, int]] = (
    (direct, 26),
    (plain, 3),
    (think, 6),
    (expand, 14),
    (tool, 10),
    (tool_unused, 1),
    (critique, 22),
    (refine, 10),
    (value, 5),
    (difficulty, 1),
    (land, 2),
    (chat, 10),
)
"""Each kind of conversation, and its weight among the steps."""
