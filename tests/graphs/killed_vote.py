"""A durable vote for a test to kill and to start again: URL, FOLDER, TOOLS (0 or 1).

Prints the outcome as JSON when it is over.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph

from mull.budgets import Budget, Ledger, SQLiteStore
from mull.graphs import DEPTHS, Context, Sample, Settings, open_run
from mull.models import Model, Profile
from mull.tools import as_tool
from mull.tools.toolbox import Toolbox


class Mine(TypedDict, total=False):
    """The state of the graph that the vote is a node of."""

    question: str
    text: str
    stopped: str
    samples: list[Sample]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def main(url: str, folder: Path, *, tools: bool) -> None:
    built = StateGraph(Mine, context_schema=Context).add_node("vote", DEPTHS["vote"].graph)
    model = Model("m", url, profile=Profile(max_tokens=300))
    config: Any = {"configurable": {"thread_id": "1"}}
    with closing(SQLiteStore(folder / "ledger.db")) as store:
        ledger = Ledger(Budget(tokens=20_000), key="run", store=store)
        async with (
            AsyncSqliteSaver.from_conn_string(str(folder / "graph.db")) as saver,
            open_run(
                model,
                ledger,
                Toolbox([as_tool(add)] if tools else []),
                settings=Settings(samples=8, at_once=4),
            ) as run,
        ):
            graph = built.add_edge(START, "vote").compile(checkpointer=saver)
            begun = (await graph.aget_state(config)).next
            given: Any = None if begun else {"question": "How many?"}
            context = Context(run=run.key)
            outcome = await graph.ainvoke(given, config, context=context, durability="sync")
        await model.aclose()
    print(json.dumps(outcome))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), tools=sys.argv[3] == "1"))
