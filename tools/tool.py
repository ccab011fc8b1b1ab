"""What a tool is: the one protocol that everything a model may call satisfies."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from ..budgets import Ledger
from ..errors import MullError

T = TypeVar("T")


class ToolError(MullError):
    """A tool could not do what it was asked. The message is shown to the model in one line."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a tool made. The model is told of it in the text and does not see it."""

    name: str
    """A relative name, unique within the branch while the file stays as it is. Untrusted."""
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool hands back."""

    text: str
    """What the model reads. Untrusted: it may hold anything the tool met."""
    source: str = ""
    """Where the text comes from (an address, a file), for citation. Empty: the tool itself."""
    failed: bool = False
    """True when the call did not do what was asked; `text` then says why."""
    attachments: tuple[Attachment, ...] = ()


class Scope:
    """What one branch of one run lends to its tools: resources opened once, closed with the branch.

    Two branches never share a scope, so a tool that keeps state in it (a Python session) cannot
    leak it from one branch into another.
    """

    def __init__(self, branch: str = "main") -> None:
        self.branch = branch
        self.ledger: Ledger | None = None
        """Pays for what a tool itself asks of a model. Set for each call, by `paid_by`."""
        self.call_id = ""
        """Names the tool call: what it spends is journalled under ids that begin with it."""
        self._stack = AsyncExitStack()
        self._opened: dict[Hashable, object] = {}
        self._lock = asyncio.Lock()

    async def once(self, key: Hashable, opener: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """The resource under `key`, opened by the first call and closed with the scope.

        Raises whatever opening raises; a failed opening is tried again by the next call.
        """
        async with self._lock:
            if key not in self._opened:
                self._opened[key] = await self._stack.enter_async_context(opener())
            return cast(T, self._opened[key])

    def paid_by(self, ledger: Ledger, call_id: str) -> Scope:
        """This scope with its resources, as one tool call sees it: with who pays for it."""
        view = copy.copy(self)  # Stack, resources and lock stay shared.
        view.ledger, view.call_id = ledger, call_id
        return view

    async def aclose(self) -> None:
        """Close every resource, newest first. The scope may be used again afterwards."""
        self._opened.clear()
        await self._stack.aclose()


class Tool(Protocol):
    """Something a model may call. `tools.functions.as_tool` makes one of a plain typed function."""

    @property
    def name(self) -> str:
        """What the model calls it: letters, digits, `_` and `-`, at most 64."""

    @property
    def description(self) -> str:
        """What it does and when to use it, as the model reads it."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of the arguments object."""

    @property
    def pure(self) -> bool:
        """True when equal arguments give equal results within a run: repeats come from memory."""

    @property
    def side_effects(self) -> bool:
        """True when a call changes something outside the run."""

    @property
    def timeout(self) -> float:
        """Seconds one call may take before it is cancelled."""

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Do it. `arguments` have the declared names. Cancelled with its run.

        A tool that asks a model itself has `scope.ledger` pay for it, under `scope.call_id`.

        Raises `ToolError` for a failure the model should read about.
        """
