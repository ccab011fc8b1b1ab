"""The `python` tool: what the model reads after a call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from boundaries import e2b

from mull.budgets import Ledger
from mull.portal import run_blocking
from mull.tools import python
from mull.tools.python import ATTACHMENTS, TEXT_CHARACTERS, PythonTool
from mull.tools.sandbox import SandboxUnavailable, pool
from mull.tools.tool import Scope, Tool, ToolError
from mull.tools.toolbox import Toolbox


async def ask(code: str, tool: PythonTool | None = None, scope: Scope | None = None) -> str:
    own = scope or Scope()
    try:
        return (await (tool or PythonTool()).call({"code": code}, own)).text
    finally:
        if scope is None:
            await own.aclose()


def test_it_is_a_tool() -> None:
    tool: Tool = PythonTool(description="Evaluate an expression", timeout=3)
    assert tool.name == "python"
    assert tool.description == "Evaluate an expression"
    assert tool.parameters["required"] == ["code"]
    assert not tool.pure
    assert not tool.side_effects
    assert tool.timeout > 3


async def test_a_bare_expression_gives_its_value() -> None:
    assert await ask("2**10") == "1024"


async def test_output_comes_before_the_value() -> None:
    assert await ask("print('a')\n'b'") == "a\n'b'"


async def test_a_markdown_fence_is_taken_off() -> None:
    assert await ask("```python\nx = 1\nx + 1\n```") == "2"


async def test_an_error_says_what_and_where_and_counts_as_failed() -> None:
    scope = Scope()
    output = await PythonTool().call({"code": "print('before')\nx = 1\nx / 0"}, scope)
    await scope.aclose()
    assert output.failed
    assert output.text.startswith("before\n")
    assert "line 3" in output.text
    assert "ZeroDivisionError: division by zero" in output.text


async def test_silence_is_said() -> None:
    assert "No output" in await ask("x = 1")


async def test_each_branch_has_its_own_session_that_lasts() -> None:
    tool, one, other = PythonTool(), Scope("1"), Scope("2")
    await ask("x = 5", tool, one)
    assert await ask("x", tool, one) == "5"
    assert "NameError" in await ask("x", tool, other)
    await asyncio.gather(one.aclose(), other.aclose())


async def test_parallel_calls_of_one_branch_share_its_session() -> None:
    tool, scope = PythonTool(), Scope()
    await asyncio.gather(*(ask(f"x{n} = {n}", tool, scope) for n in range(4)))
    assert await ask("x0 + x1 + x2 + x3", tool, scope) == "6"
    await scope.aclose()


async def test_a_long_text_keeps_its_start_and_end() -> None:
    text = await ask("print('start' + '.' * 100_000 + 'end')")
    assert len(text) < TEXT_CHARACTERS + 100
    assert text.startswith("start")
    assert text.endswith("end")
    assert "left out" in text


async def test_a_lost_session_is_said() -> None:
    tool = PythonTool(timeout=0.3, require="monty")
    assert "variables of earlier calls are gone" in await ask("while True:\n    pass", tool)


async def test_what_a_subset_lacks_is_told_with_its_error() -> None:
    assert "no third-party packages" in await ask("import numpy", PythonTool(require="monty"))


@pytest.mark.parametrize("arguments", [{}, {"code": ""}, {"code": 3}])
async def test_a_call_without_code_is_told_what_is_needed(arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError, match="code"):
        await PythonTool().call(arguments, Scope())


async def test_files_given_are_in_every_session_and_the_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.csv"
    path.write_bytes(b"a,b\n")
    tool = PythonTool(require="sandlock", inputs={"data/in.csv": path, "b.bin": b"123"})
    assert "data/in.csv, b.bin" in tool.description
    for scope in (Scope("1"), Scope("2")):
        code = "open('data/in.csv').read() + open('b.bin').read()"
        assert await ask(code, tool, scope) == "'a,b\\n123'"
        await scope.aclose()


async def test_an_input_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"none\.txt"):
        await ask("1", PythonTool(require="sandlock", inputs={"a": tmp_path / "none.txt"}))


async def test_what_a_call_made_is_attached_and_named() -> None:
    tool, scope = PythonTool(require="sandlock", timeout=30), Scope()
    code = (
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
        "with open('table.csv', 'w') as f:\n    f.write('a,b')"
    )
    first = await tool.call({"code": code}, scope)
    assert [(a.name, a.media_type) for a in first.attachments] == [
        ("figure-1.png", "image/png"),
        ("table.csv", "text/csv"),
    ]
    assert first.attachments[1].data == b"a,b"
    assert "figure-1.png, table.csv" in first.text
    second = await tool.call({"code": "plt.plot([3])\nNone"}, scope)
    assert [a.name for a in second.attachments] == ["figure-2.png"]
    await scope.aclose()


async def test_more_files_than_are_kept_are_named_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "ATTACHED_BYTES", 10)
    scope = Scope()
    code = (
        "for n, size in (('a', 8), ('b', 8), ('c', 2)):\n"
        "    with open(n, 'w') as f:\n        f.write('x' * size)\n"
        "for n in range(40):\n    open(f'z{n:02}', 'w').close()"
    )
    output = await PythonTool(require="sandlock").call({"code": code}, scope)
    await scope.aclose()
    assert [a.name for a in output.attachments][:3] == ["a", "c", "z00"]
    assert len(output.attachments) == ATTACHMENTS
    assert "made and not kept: b, z14" in output.text
    assert "more]" in output.text


async def test_the_toolbox_hands_attachments_on_beside_the_text() -> None:
    scope = Scope()
    result = await Toolbox([PythonTool(require="sandlock")]).call(
        "python",
        json.dumps({"code": "with open('a.txt', 'w') as f:\n    f.write('secret text')"}),
        ledger=Ledger(),
        call_id="c",
        scope=scope,
        memory={},
    )
    await scope.aclose()
    assert [a.data for a in result.attachments] == [b"secret text"]
    assert "secret text" not in result.text


async def test_a_parked_session_is_told_at_its_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(pool, "local_places", lambda memory: 1)
    tool, one, other = PythonTool(require="sandlock"), Scope("1"), Scope("2")
    await ask("x = 5", tool, one)
    assert await ask("1 + 1", tool, other) == "2"
    text = await ask("x", tool, one)
    assert "NameError" in text
    assert "variables of earlier calls are gone" in text
    await asyncio.gather(one.aclose(), other.aclose())


async def test_a_notebooks_traceback_names_the_line() -> None:
    async with e2b():
        text = await ask("x = 1\nx / 0", PythonTool(require="e2b"))
    assert "line 2\n---> the line\nZeroDivisionError" in text


async def test_the_operators_boundary_holds_against_the_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULL_SANDBOX", "monty")
    with pytest.raises(SandboxUnavailable, match="operator"):
        await ask("1", PythonTool(require="sandlock"))
    assert "no third-party packages" in await ask("import numpy", PythonTool())


def test_it_works_for_synchronous_callers() -> None:
    assert run_blocking(lambda: ask("6 * 7")) == "42"
