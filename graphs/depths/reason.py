"""reason: think and act in turns until there is an answer, or land when the budget ends.

After ReAct (Yao et al., 2023), with parallel tool calls.
"""

from __future__ import annotations

from langgraph.graph import START, StateGraph

from ..nodes.act import act
from ..nodes.land import land
from ..nodes.think import think
from ..state import Context, Outcome, Question, State
from .depth import Depth

graph = (
    StateGraph(State, context_schema=Context, input_schema=Question, output_schema=Outcome)
    .add_node("think", think)
    .add_node("act", act)
    .add_node("land", land)
    .add_edge(START, "think")
    .add_edge("act", "think")
    .add_edge("land", "__end__")
    .compile(name="reason")
)

REASON = Depth("reason", graph, "think and use tools in turns", lambda tools: 3 if tools else 1)
