"""search: a tree over the steps of a solution, grown where it is promising, until one is verified.

AB-MCTS (Inoue et al., 2025) by default; Tree of Thoughts by breadth (Yao et al., 2023), which is a
guided beam search with a reward model; or plain MCTS.
"""

from __future__ import annotations

from langgraph.graph import START, StateGraph

from ..nodes.confirm import confirm
from ..nodes.expand import expand
from ..nodes.grow import grow
from ..nodes.land import land
from ..state import Context, Outcome, Question, State
from .depth import Depth

graph = (
    StateGraph(State, context_schema=Context, input_schema=Question, output_schema=Outcome)
    .add_node("grow", grow)
    .add_node("expand", expand)
    .add_node("confirm", confirm)
    .add_node("land", land)
    .add_edge(START, "grow")
    .add_edge("expand", "grow")
    .add_edge("confirm", "__end__")
    .add_edge("land", "__end__")
    .compile(name="search")
)

SEARCH = Depth("search", graph, "a tree of steps, for hard problems", lambda tools: 24)
