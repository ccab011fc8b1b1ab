"""auto: assess, run a depth, weigh the answer, and finish or go deeper while that may pay."""

from __future__ import annotations

from langgraph.graph import START, StateGraph

from ..nodes.assess import assess
from ..nodes.confirm import confirm
from ..nodes.land import land
from ..nodes.route import route
from ..nodes.stage import stage_over
from ..state import Context, Outcome, Question, State
from .depth import Depth
from .direct import DIRECT
from .reason import REASON
from .reflect import REFLECT
from .search import SEARCH
from .vote import VOTE

STAGES = (DIRECT, REASON, REFLECT, VOTE, SEARCH)

graph = (
    StateGraph(State, context_schema=Context, input_schema=Question, output_schema=Outcome)
    .add_node("assess", assess)
    .add_node("route", route)
    .add_node("stage", stage_over({depth.name: depth.graph for depth in STAGES}))
    .add_node("confirm", confirm)
    .add_node("land", land)
    .add_edge(START, "assess")
    .add_edge("assess", "route")
    .add_edge("stage", "route")
    .add_edge("confirm", "__end__")
    .add_edge("land", "__end__")
    .compile(name="auto")
)

AUTO = Depth(
    "auto",
    graph,
    "goes as deep as the question needs",
    lambda tools: 6 if tools else 3,
)
