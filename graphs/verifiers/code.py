"""code: a program gives the same answer. The candidate's own, else one that the model writes.

After Program-of-Thoughts (Chen et al., 2022), used as a check of reasoning in words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...models import Message, Model, Request, user
from ..answers import comparable
from ..comparison import canonical, same
from .fences import last_python
from .verifier import Candidate, Means, Verdict

LONGEST_CODE = 20_000
"""Characters of code that is run."""
OUTPUT_READ = 2_000
"""Characters of what it prints, from the end."""


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """Runs the candidate's last Python in a fresh sandbox, and compares what it says last.

    Where the candidate has no code, the model is asked for a program, once, and is shown only the
    question. Agreement weighs, but does not settle the question: both may be wrong in one way.

    Args:
        model: Writes the program; None: the run's model.
        seconds: That the code may take.
    """

    model: Model | None = None
    seconds: float = 10.0

    name = "code"
    decisive = False

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. One tool call, and one model call where there is no code."""
        stated = comparable(candidate.text)
        if stated is None or canonical(stated, candidate.question) is None:
            return _verdict(0.5, None, "no answer is stated that a program could be compared with")
        code = own_code(candidate)
        whose = "the candidate's code"
        if code is None:
            code = await self._written(candidate, means)
            whose = "a program that the model wrote"
        if not code:
            return _verdict(0.5, None, "there is no code, and the model wrote none")
        result = await means.python(code[:LONGEST_CODE], "code.run", seconds=self.seconds)
        if result.failed:
            return _verdict(0.5, None, f"{whose} did not run: {result.text[-300:]}")
        return _compared(candidate, result.text, whose)

    async def _written(self, candidate: Candidate, means: Means) -> str | None:
        means = means if self.model is None else replace(means, model=self.model)
        words = means.prompt("code.user", CODE)
        if not words:
            return None
        request = Request(messages=[user(words.format(question=candidate.question))])
        reply = await means.ask(request, "code.ask")
        return last_python(reply.text) or reply.text.strip()


def own_code(candidate: Candidate) -> str | None:
    """The program that the candidate rests on; None without one, or where it computes nothing."""
    code = last_python(candidate.text) or _evidence(candidate.evidence)
    return code if code and not _PRINTS_A_CONSTANT.fullmatch(code.strip()) else None


def _evidence(turns: Sequence[Message]) -> str | None:
    """The calls of the `python` tool that worked, joined: they shared a session."""
    failed = {
        turn.get("tool_call_id")
        for turn in turns
        if turn["role"] == "tool" and turn["content"].startswith("error:")
    }
    codes = [
        code
        for turn in turns
        for call in turn.get("tool_calls", ())
        if call["function"]["name"] == "python" and call["id"] not in failed
        if (code := _argument(call["function"]["arguments"]))
    ]
    return "\n".join(codes) or None


def _argument(arguments: str) -> str:
    try:
        given: Any = json.loads(arguments)
    except (ValueError, RecursionError):
        return ""
    code = given.get("code") if isinstance(given, dict) else None
    return (last_python(code) or code) if isinstance(code, str) else ""


def _compared(candidate: Candidate, output: str, whose: str) -> Verdict:
    """Whether the output's last line says what the candidate says."""
    last = next((line for line in reversed(output[-OUTPUT_READ:].splitlines()) if line.strip()), "")
    said = list(dict.fromkeys(_readings(last)))
    told = repr(last.strip()[:200])
    if any(same(reading, candidate.answer, candidate.question) for reading in said):
        return _verdict(0.85, True, f"{whose} gives the same: {told}")
    numeric = any(map(_NUMBER.fullmatch, said)), bool(_NUMBER.search(candidate.answer))
    if all(numeric) or (not any(numeric) and canonical(said[0], candidate.question) is not None):
        answer = repr(candidate.answer[:200])
        return _verdict(0.15, False, f"{whose} gives {told}, and the answer is {answer}")
    return _verdict(0.5, None, f"{whose} says {told}, which cannot be compared")


def _readings(line: str) -> list[str]:
    """What a line may give as its result: all of it, what follows `:` or `=`, its last number."""
    line = line.strip().strip("'\"")
    tail = re.split(r"[:=]", line)[-1].strip()
    numbers = _NUMBER.findall(line)
    return [line, tail, *numbers[-1:]]


def _verdict(score: float, passed: bool | None, reasons: str) -> Verdict:
    return Verdict(score=score, passed=passed, reasons=reasons, verifier="code")


_NUMBER = re.compile(r"[-+]?[0-9][0-9,]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_PRINTS_A_CONSTANT = re.compile(
    r"""(?:print\s*\(\s*)?[rf]?["']?[\w .,:$%-]*["']?\s*\)?""",
)
"""`print("Answer: 51")` computes nothing."""

CODE = """\
{question}

Write a short Python program that works out the answer from scratch and prints the answer alone on \
its last line. Reply with the program only, in one ```python block."""
