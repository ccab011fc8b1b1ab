"""A depth as one node of a LangGraph graph of your own, under a budget given in the context."""

import asyncio

from langgraph.graph import END, START, StateGraph

from mull import DEPTHS, Context
from mull.graphs import State


class Ticket(State, total=False):
    """The graph's own state: a depth's state and whatever else it needs."""

    reply: str


def write_reply(state: Ticket) -> Ticket:
    """A node of yours, after ours."""
    return {"reply": f"Dear customer: {state['text'].splitlines()[-1]}"}


graph = (
    StateGraph(Ticket, context_schema=Context)
    .add_node("reason", DEPTHS["reason"].graph)
    .add_node("write_reply", write_reply)
    .add_edge(START, "reason")
    .add_edge("reason", "write_reply")
    .add_edge("write_reply", END)
    .compile()
)


async def main() -> None:
    """Ask through the graph."""
    context = Context(model="demo", budget="tokens=2000,seconds=20", tools=["python"])
    question = "Ben has 36 stamps. Ben loses 5. How many stamps does Ben have?"
    result = await graph.ainvoke({"question": question}, context=context)
    print(result["reply"], f"({result['stopped']})")


asyncio.run(main())
