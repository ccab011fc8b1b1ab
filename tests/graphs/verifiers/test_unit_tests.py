"""UnitTests: the candidate's code against tests, in a real sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mull.agents.artifacts import Artifacts
from mull.budgets import Budget, BudgetExhausted, Ledger, SQLiteStore
from mull.errors import WrongUsage
from mull.graphs.verifiers import Candidate, Means, UnitTests, Verdict, Verifier
from mull.models import Model
from mull.tools.sandbox import SandboxUnavailable, choose, open_sandbox

GOOD = "def double(x):\n    return 2 * x"
TESTS = ("assert double(2) == 4", "assert double(0) == 0", "assert double(-1) == -2")


async def check(
    code: str, means: Means, tests: str | Sequence[str] = TESTS, seconds: float = 10.0
) -> Verdict:
    candidate = Candidate(question="Write double.", text=f"Here:\n```python\n{code}\n```\nDone.")
    return await UnitTests(tests, seconds=seconds).verify(candidate, means)


def test_a_pass_settles_the_question() -> None:
    verifier: Verifier = UnitTests("assert True")
    assert verifier.decisive


async def test_code_that_passes_every_test_passes(sandbox: Means) -> None:
    verdict = await check(GOOD, sandbox)
    assert (verdict.passed, verdict.score) == (True, 1.0)


async def test_the_score_is_the_share_of_tests_that_hold(sandbox: Means) -> None:
    verdict = await check("def double(x):\n    return abs(2 * x)", sandbox)
    assert verdict.passed is False
    assert verdict.score == pytest.approx(2 / 3)
    assert "assert double(-1) == -2" in verdict.reasons
    assert "AssertionError" in verdict.reasons


async def test_code_that_does_not_run_fails(sandbox: Means) -> None:
    verdict = await check("def double(x:", sandbox)
    assert (verdict.passed, verdict.score) == (False, 0.0)
    assert "SyntaxError" in verdict.reasons


async def test_the_answer_itself_is_the_code_where_there_is_no_block(sandbox: Means) -> None:
    candidate = Candidate(question="", text=GOOD)
    assert (await UnitTests(TESTS).verify(candidate, sandbox)).passed is True


async def test_a_block_that_only_shows_a_call_is_not_taken_for_the_code(sandbox: Means) -> None:
    text = f"```python\n{GOOD}\n```\nFor example:\n```python\ndouble(3)\n```"
    candidate = Candidate(question="", text=text)
    assert (await UnitTests(TESTS).verify(candidate, sandbox)).passed is True


async def test_a_candidate_is_judged_alike_in_each_life_of_a_run(tmp_path: Path) -> None:
    store, records = SQLiteStore(tmp_path / "ledger"), Artifacts(tmp_path / "records")
    for _ in range(2):
        ledger = Ledger(key="run", store=store, recorder=records.of("x"))
        means = Means(ledger=ledger, model=Model("m", "http://127.0.0.1:9/v1"))
        assert (await check(GOOD, means)).passed is True
    records.close()
    store.close()


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(0)",
        "raise SystemExit(0)",
        "import os\nos._exit(0)",
        "def double(x):\n    raise SystemExit(0)",
        "import os\ndef double(x):\n    os._exit(0)",
        "print('3 tests passed')\nprint('0,1,2,')",
        "AssertionError = type('A', (), {})\ndef double(x):\n    return 5",
        "__debug__x = False\nprint = lambda *a: None\ndef double(x):\n    return None",
        "import builtins\nbuiltins.AssertionError = ValueError\ndef double(x):\n    return 5",
        "import sys\nsys.excepthook = lambda *a: None\ndef double(x):\n    return 5",
        "import atexit\natexit.register(print, 'passed')\ndef double(x):\n    return 5",
        "def double(x):\n    return 5\nif False:\n    '''",
        "while True:\n    pass",
    ],
)
async def test_code_that_cheats_fails(code: str, sandbox: Means) -> None:
    verdict = await check(code, sandbox, seconds=2)
    assert (verdict.passed, verdict.score) == (False, 0.0)


async def test_code_that_prints_a_lot_may_still_pass(sandbox: Means) -> None:
    code = "def double(x):\n    print('x' * 100_000)\n    return 2 * x"
    assert (await check(code, sandbox)).passed is True


async def test_code_that_redefines_print_and_repr_may_still_pass(sandbox: Means) -> None:
    assert (await check(f"print = repr = str = None\n{GOOD}", sandbox)).passed is True


async def test_a_test_may_be_many_lines_with_strings_of_many_lines(sandbox: Means) -> None:
    test = "def helper():\n    return '''a\n  b'''\nassert helper() == 'a\\n  b'"
    assert (await check(GOOD, sandbox, test)).passed is True


async def test_code_that_runs_out_of_time_fails(sandbox: Means) -> None:
    verdict = await check("def double(x):\n    while True: pass", sandbox, seconds=1)
    assert verdict.passed is False
    assert "longer than 1 s" in verdict.reasons


async def test_a_run_that_is_out_of_time_says_nothing_of_the_code(sandbox: Means) -> None:
    short = Means(ledger=sandbox.ledger, model=sandbox.model, seconds=0.3)
    verdict = await check("import time\ntime.sleep(5)", short)
    assert verdict.passed is None


async def test_without_a_sandbox_it_cannot_tell(
    sandbox: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "BOUNDARIES", ())
    with pytest.raises(SandboxUnavailable):
        async with open_sandbox():
            pass
    verdict = await check(GOOD, sandbox)
    assert verdict.passed is None
    assert "SandboxUnavailable" in verdict.reasons


async def test_each_run_is_two_tool_calls_in_the_ledger(sandbox: Means) -> None:
    await check(GOOD, sandbox)
    assert sandbox.ledger.spent().tool_calls == 2
    assert sandbox.ledger.held().tool_calls == 0


async def test_nothing_runs_that_the_budget_cannot_pay(sandbox: Means) -> None:
    poor = Means(ledger=Ledger(Budget(tool_calls=0)), model=sandbox.model)
    with pytest.raises(BudgetExhausted):
        await check(GOOD, poor)


@pytest.mark.parametrize("tests", ["assert (", "", "# nothing", ()])
def test_tests_that_are_not_python_are_refused(tests: str | tuple[str, ...]) -> None:
    with pytest.raises(WrongUsage):
        UnitTests(tests)
