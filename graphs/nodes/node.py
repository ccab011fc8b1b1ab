"""What a node is, where one is made by a function that is given what it stands over."""

from __future__ import annotations

from typing import Protocol, TypeVar

from langgraph.runtime import Runtime

from ..state import Context

Given = TypeVar("Given", contravariant=True)
Made = TypeVar("Made", covariant=True)


class Node(Protocol[Given, Made]):
    """A node of a graph: the state it is given → its part of the state, or where to go."""

    async def __call__(self, state: Given, runtime: Runtime[Context]) -> Made:
        """Do the node's work."""
        ...
