"""The `python` tool: what the model reads after a call."""

from __future__ import annotations

import asyncio

import pytest

from mull.tools.python import TEXT_CHARACTERS, PythonTool
from mull.tools.tool import Scope, Tool, ToolError


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
