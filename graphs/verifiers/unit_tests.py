"""unit_tests: the candidate's code passes given tests, in the sandbox."""

from __future__ import annotations

import ast
import re
import secrets
from collections.abc import Sequence

from ...errors import WrongUsage
from ...tools.result import ToolResult
from .fences import defining_python
from .verifier import Candidate, Means, Verdict, not_run

TESTS_SHOWN = 3
"""Failed tests that the reasons name."""


class UnitTests:
    """Runs tests against the candidate's code: its last Python block that defines something.

    The code runs first and by itself; then the tests, in the same session. What the code does when
    it is loaded (leave, print, catch) cannot pass a test, because nothing of the tests is there
    yet: a pass is a mark that is drawn afterwards. One call that ends or hangs the session fails
    every test. It is not a defence against code that searches the interpreter for the mark while a
    test calls it, or that returns objects which claim to equal everything.

    Two tool calls each time. A pass settles the question.

    Args:
        tests: Python with asserts; several are scored one by one (`score` is the share that holds).
        seconds: That the code, and all tests together, may take.

    Raises `WrongUsage` for tests that are not Python.
    """

    name = "tests"
    decisive = True

    def __init__(self, tests: str | Sequence[str], *, seconds: float = 10.0) -> None:
        self.tests = (tests,) if isinstance(tests, str) else tuple(tests)
        self.seconds = seconds
        self._parsed = [_parsed(test) for test in self.tests]
        if not self.tests:
            raise WrongUsage("UnitTests needs at least one test")

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. Without a sandbox or the time to run, it cannot tell."""
        code = defining_python(candidate.text) or candidate.answer
        if not code:
            return self._verdict(0.0, False, "there is no code")
        mark = f"m{secrets.token_hex(16)}"
        cells = [code, _program(self._parsed, mark)]
        results = await means.cells(cells, "tests", seconds=self.seconds)
        last = results[-1]
        if not_run(last):
            return self._verdict(0.5, None, last.text)
        if len(results) == 1:
            return self._verdict(0.0, False, f"the code does not run: {last.text[-500:]}")
        return self._read(last, mark)

    def _read(self, result: ToolResult, mark: str) -> Verdict:
        """The verdict, from the line that the tests leave behind."""
        found = re.findall(rf"{mark}:((?:[0-9]+,)*);(.*)$", result.text, re.M)
        if result.failed or not found:
            return self._verdict(0.0, False, f"the tests did not end: {result.text[-500:]}")
        passed = {int(number) for number in found[-1][0].split(",") if number}
        failed = [n for n in range(len(self.tests)) if n not in passed]
        if not failed:
            return self._verdict(1.0, True, f"{_tests(len(passed))} passed")
        told = "; ".join(_last_line(self.tests[n]) for n in failed[:TESTS_SHOWN])
        raised = found[-1][1].strip().strip("'\"")[:500]
        reason = f"{len(failed)} of {_tests(len(self.tests))} failed: {told} ({raised})"
        return self._verdict(len(passed) / len(self.tests), False, reason)

    def _verdict(self, score: float, passed: bool | None, reasons: str) -> Verdict:
        return Verdict(score=score, passed=passed, reasons=reasons, verifier=self.name)


def _parsed(test: str) -> list[ast.stmt]:
    try:
        body = ast.parse(test).body
    except (SyntaxError, ValueError) as error:
        raise WrongUsage(f"the test {test[:80]!r} is not Python: {error}") from error
    if not body:
        raise WrongUsage(f"the test {test[:80]!r} has no statement in it")
    return body


def _program(tests: Sequence[list[ast.stmt]], mark: str) -> str:
    """Runs each test by itself, whatever it raises, and leaves behind which have passed.

    It calls nothing by name that the code before could have defined anew.
    """
    lines = [f"{mark}, {mark}_raised = '{mark}:', ''"]
    for number, body in enumerate(tests):
        module = ast.Module(body=body, type_ignores=[])
        held = ast.parse(f"try:\n    pass\nexcept BaseException as {mark}_error:\n    pass")
        block = held.body[0]
        assert isinstance(block, ast.Try)
        block.body = module.body
        block.handlers[0].body = ast.parse(
            f"{mark}_raised = {mark}_raised or f'{{{mark}_error!r}}'[:200]"
        ).body
        block.orelse = ast.parse(f"{mark} = {mark} + '{number},'").body
        lines.append(ast.unparse(ast.fix_missing_locations(held)))
    lines.append(f"{mark} + ';' + {mark}_raised")
    return "\n".join(lines)


def _tests(count: int) -> str:
    return f"{count} test{'s' * (count != 1)}"


def _last_line(test: str) -> str:
    return next((line.strip()[:200] for line in reversed(test.splitlines()) if line.strip()), "")
