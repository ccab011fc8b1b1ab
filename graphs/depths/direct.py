"""direct: one call. For questions that need no more."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph

from ..nodes.answer import answer
from ..state import Context, Outcome, Question, State
from .depth import Depth

graph = (
    StateGraph(State, context_schema=Context, input_schema=Question, output_schema=Outcome)
    .add_node("answer", answer)
    .add_edge(START, "answer")
    .add_edge("answer", END)
    .compile(name="direct")
)

DIRECT = Depth("direct", graph, "one call, no tools", lambda tools: 1)
