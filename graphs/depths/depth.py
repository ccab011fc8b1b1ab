"""Depth: a way to work on a question, as a compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from langgraph.graph.state import CompiledStateGraph

from ..state import Context, Outcome, Question, State

Graph = CompiledStateGraph[State, Context, Question, Outcome]


@dataclass(frozen=True, slots=True)
class Depth:
    """One depth."""

    name: str
    graph: Graph
    """Usable alone, and as a node of someone else's graph."""
    about: str
    """One line, for help texts."""
    likely_calls: Callable[[bool], int]
    """Model calls of a usual run, with tools or without; for estimates."""
