"""Plain functions and LangChain tools, as tools of ours."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from ..errors import WrongUsage
from .tool import Scope, Tool, ToolError, ToolOutput

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds that one call of a function may take."""


def as_tool(
    thing: Tool | BaseTool | Callable[..., Any],
    *,
    pure: bool = False,
    side_effects: bool = False,
    timeout: float = TIMEOUT,
) -> Tool:
    """A tool from a LangChain `BaseTool` or a typed function with a docstring; a tool as it is.

    A function's name, signature and docstring become the tool's name, parameters and description;
    it may be sync (it then runs in a thread of its own) or async.

    Args:
        pure: Equal arguments give equal results: repeats within a run come from memory.
        side_effects: A call changes something outside the run: it is never taken for a repeat.
        timeout: Seconds that one call may take.

    Raises `WrongUsage`.
    """
    if isinstance(thing, BaseTool):
        return LangChainTool(thing, timeout, pure, side_effects)
    if hasattr(thing, "call") and hasattr(thing, "parameters"):
        return cast(Tool, thing)
    if not callable(thing):
        raise WrongUsage(f"{thing!r} is not a tool: give a name, a function or a Tool")
    try:
        slow = inspect.iscoroutinefunction(thing)
        made = StructuredTool.from_function(
            func=None if slow else thing,
            coroutine=thing if slow else None,
            parse_docstring="Args:" in (thing.__doc__ or ""),
        )
        tool = LangChainTool(made, timeout, pure, side_effects)
        _ = tool.parameters
    except (ValueError, TypeError, AttributeError, NameError, PydanticUserError) as error:
        why = str(error).splitlines()[0]
        raise WrongUsage(f"{thing!r} cannot be a tool: {why}") from error
    return tool


@dataclass(frozen=True)
class LangChainTool:
    """A LangChain tool behind our protocol."""

    inner: BaseTool
    timeout: float = TIMEOUT
    pure: bool = False
    side_effects: bool = False

    @property
    def name(self) -> str:
        """The inner tool's name."""
        return self.inner.name

    @property
    def description(self) -> str:
        """The inner tool's description."""
        return self.inner.description

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema made from the inner tool's arguments."""
        parameters: Mapping[str, Any] = convert_to_openai_tool(self.inner)["function"]["parameters"]
        return parameters

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Run it. Raises `ToolError` where the arguments do not fit."""
        given = dict(arguments)
        try:
            if getattr(self.inner, "coroutine", None) is not None:
                result = await self.inner.ainvoke(given)
            elif isinstance(self.inner, StructuredTool):
                result = await in_thread(lambda: self.inner.invoke(given))
            else:
                result = await self.inner.ainvoke(given)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()
            )
            raise ToolError(f"wrong arguments: {wrong}") from error
        return ToolOutput(as_text(result))


def as_text(result: object) -> str:
    """A result as the model reads it: text as it is, plain data as JSON, anything else by `str`."""
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(result)


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that ends with the process: one that hangs cannot hold up an exit.

    Cancelling stops waiting for it; Python cannot stop the thread itself.
    """
    loop = asyncio.get_running_loop()
    # Not every exception can be set on a future (`StopIteration` cannot): it goes as a result.
    future: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((result, error))

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001 - handed to whoever awaits
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=run, name="mull-tool", daemon=True).start()
    result, error = await future
    if error is not None:
        raise error
    return cast(T, result)
