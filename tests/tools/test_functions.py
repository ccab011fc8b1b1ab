"""Functions and LangChain tools as tools of ours."""

import asyncio
import functools
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools import tool as langchain_tool

from mull import WrongUsage
from mull.tools import Scope, Tool, ToolError, as_tool


async def result(thing: Any, /, **arguments: Any) -> str:
    """What one call of a tool gives."""
    return (await as_tool(thing).call(arguments, Scope())).text


def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def test_a_functions_name_signature_and_docstring_become_the_tools() -> None:
    tool = as_tool(add)
    assert (tool.name, tool.description) == ("add", "Add two numbers.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "The first."},
            "b": {"type": "integer", "description": "The second.", "default": 1},
        },
        "required": ["a"],
    }


async def test_a_sync_function_runs_in_a_thread() -> None:
    def where() -> str:
        """Tell the thread."""
        return threading.current_thread().name

    assert await result(where) == "mull-tool"


async def test_a_sync_function_that_hangs_does_not_block_the_loop() -> None:
    release = threading.Event()

    def hang() -> str:
        """Hang."""
        release.wait(30)
        return "released"

    call = asyncio.create_task(result(hang))
    await asyncio.sleep(0.05)
    assert not call.done()
    release.set()
    assert await call == "released"


HANGS = """
import asyncio, threading
from mull.tools import Scope, as_tool

def hang() -> str:
    "Hang."
    threading.Event().wait()

async def main():
    try:
        await asyncio.wait_for(as_tool(hang).call({}, Scope()), 0.1)
    except TimeoutError:
        print("left")

asyncio.run(main())
"""


def test_a_sync_function_that_hangs_does_not_hold_up_the_exit() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"left\n", b"")


async def test_an_async_function_runs_on_the_loop() -> None:
    loop = asyncio.get_running_loop()

    async def same() -> bool:
        """Tell whether it is the same loop."""
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is loop

    assert await result(same) == "true"


async def test_a_langchain_tool_is_a_tool() -> None:
    assert await result(langchain_tool(add), a=2) == "3"


class Shout(BaseTool):
    """A LangChain tool as a class."""

    name: str = "shout"
    description: str = "Say it loudly"

    def _run(self, text: str) -> str:
        return text.upper()


async def test_a_langchain_tool_class_is_a_tool() -> None:
    assert await result(Shout(), text="so") == "SO"


def test_a_tool_of_ours_is_taken_as_it_is() -> None:
    tool = as_tool(add)
    assert as_tool(tool) is tool


class Opaque:
    """No model can write one."""


def undocumented(a: int) -> int:
    return a


def opaque(it: Opaque) -> int:
    """Take something that is no JSON."""
    return 1


def unknown(it: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
    """Take something of an unknown type."""
    return 1


def misdocumented(a: int) -> int:
    """Take a number.

    Args:
        b: There is none.
    """
    return a


@pytest.mark.parametrize(
    "thing",
    [undocumented, opaque, unknown, misdocumented, functools.partial(add, 1), int, 5, None],
    ids=str,
)
def test_what_cannot_be_a_tool_is_wrong_usage_on_one_line(thing: Any) -> None:
    with pytest.raises(WrongUsage) as caught:
        as_tool(thing)
    assert "tool" in str(caught.value)
    assert "\n" not in str(caught.value)


def both(a: int, b: list[int]) -> int:
    """Take a number and some more."""
    return a + sum(b)


async def test_arguments_of_wrong_types_are_told_field_by_field() -> None:
    with pytest.raises(ToolError) as caught:
        await result(both, a="one", b=[1, "two"])
    assert "a: Input should be a valid integer" in str(caught.value)
    assert "b.1: Input should be a valid integer" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        ("Äpfel", "Äpfel"),
        (None, "null"),
        (Opaque, str(Opaque)),
        ({1, 2}, "{1, 2}"),
    ],
    ids=str,
)
async def test_a_result_is_text_or_json_or_else_its_str(value: object, text: str) -> None:
    def give() -> object:
        """Give it."""
        return value

    assert await result(give) == text


async def test_a_result_that_holds_itself_is_its_str() -> None:
    ring: list[Any] = []
    ring.append(ring)

    def give() -> Any:
        """Give it."""
        return ring

    assert await result(give) == "[[...]]"


def raising(error: BaseException) -> Callable[[], str]:
    def fail() -> str:
        """Fail."""
        raise error

    return fail


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("k"), ToolException("bad")], ids=str)
async def test_what_a_function_raises_reaches_the_caller(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await result(raising(error))
    assert caught.value is error


async def test_a_stop_iteration_does_not_leave_the_caller_waiting() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(result(raising(StopIteration())), 20)


def test_a_functions_own_signature_is_left_alone() -> None:
    before = inspect.signature(add)
    as_tool(add)
    assert inspect.signature(add) == before
    assert isinstance(as_tool(add).timeout, float)


def test_a_function_tool_satisfies_the_protocol() -> None:
    tool: Tool = as_tool(add)
    assert not tool.side_effects
