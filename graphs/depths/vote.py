"""vote: independent chains in waves, until the leading answer is settled.

Self-consistency (Wang et al., 2022), stopped early by a Bayesian rule and weighted by verifier and
confidence. With a verifier it is best-of-N.
"""

from __future__ import annotations

from langgraph.graph import START, StateGraph

from ..nodes.chain import chain_over
from ..nodes.choose import choose
from ..nodes.confirm import confirm
from ..nodes.draw import draw
from ..nodes.land import land
from ..state import Context, Outcome, Question, State
from .depth import Depth
from .direct import DIRECT
from .reason import REASON

graph = (
    StateGraph(State, context_schema=Context, input_schema=Question, output_schema=Outcome)
    .add_node("draw", draw)
    .add_node("chain", chain_over(DIRECT.graph, REASON.graph))
    .add_node("choose", choose)
    .add_node("confirm", confirm)
    .add_node("land", land)
    .add_edge(START, "draw")
    .add_edge("chain", "draw")
    .add_edge("confirm", "__end__")
    .add_edge("land", "__end__")
    .compile(name="vote")
)

VOTE = Depth(
    "vote",
    graph,
    "many chains, stopped when the leading answer is settled",
    lambda tools: 15 if tools else 5,
)
