"""A vote as one node of a LangGraph graph of your own, with a verifier of yours, on one ledger."""

import asyncio
import re

from langgraph.graph import END, START, StateGraph

from mull import DEPTHS, Budget, Context, Ledger, Model, Settings, open_run
from mull.graphs import State
from mull.graphs.verifiers import FunctionVerifier
from mull.models import resolve_model


class Order(State, total=False):
    """The graph's own state: a depth's state and what else it needs."""

    quantity: int
    checked: str


def plausible(question: str, answer: str) -> bool:
    """A rule of yours: nobody has more than a thousand of anything."""
    return answer.isdigit() and int(answer) < 1000


def read_quantity(state: Order) -> Order:
    """A node of yours, after ours."""
    numbers = re.findall(r"\d+", state["text"])
    return {"quantity": int(numbers[-1]), "checked": f"{state['confidence']:.0%} sure"}


graph = (
    StateGraph(Order, context_schema=Context)
    .add_node("vote", DEPTHS["vote"].graph)
    .add_node("read_quantity", read_quantity)
    .add_edge(START, "vote")
    .add_edge("vote", "read_quantity")
    .add_edge("read_quantity", END)
    .compile()
)


async def main(model: Model) -> None:
    """Ask through the graph."""
    question = "Ben has 36 stamps. Ben loses 5. Ben finds 8 more. How many stamps does Ben have?"
    ledger = Ledger(Budget(tokens=2000, seconds=20))
    # It only weighs votes: an answer that is plausible need not be right.
    verifier = FunctionVerifier(plausible, decisive=False)
    settings = Settings(samples=8, seed=1)
    async with open_run(model, ledger, settings=settings, verifier=verifier) as run:
        result = await graph.ainvoke({"question": question}, context=Context(run=run.key))
    print(result["quantity"], result["checked"], f"({ledger.spent().total_tokens} tokens)")


asyncio.run(main(resolve_model("demo")))
