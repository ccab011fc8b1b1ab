"""reflect: draft, critique, refine, until it passes or nothing improves; the best is kept."""

from __future__ import annotations

from langgraph.graph import START, StateGraph

from ..nodes.critique import critique_over
from ..nodes.draft import draft_over
from ..nodes.land import land
from ..nodes.refine import refine_over
from ..state import Context, Outcome, Question, State
from .depth import Depth
from .reason import REASON

graph = (
    StateGraph(State, context_schema=Context, input_schema=Question, output_schema=Outcome)
    .add_node("draft", draft_over(REASON.graph))
    .add_node("critique", critique_over(REASON.graph))
    .add_node("refine", refine_over(REASON.graph))
    .add_node("land", land)
    .add_edge(START, "draft")
    .add_edge("land", "__end__")
    .compile(name="reflect")
)

REFLECT = Depth(
    "reflect",
    graph,
    "draft, critique and refine until it passes",
    lambda tools: 9 if tools else 4,
)
