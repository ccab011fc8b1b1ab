"""A depth's graph works without an agent: alone, as a node, streamed, several at once."""

import asyncio
from typing import Any, TypedDict

import pytest
from fault_server import FaultServer, Reply
from langgraph.graph import END, START, StateGraph

from mull.graphs import DEPTHS, BudgetState, Context, Text, ToolFinished, ToolStarted
from mull.graphs.opening import RUNS
from mull.models import BackendError, NoBackend

ASKED: Any = {"question": "How many?"}
SURE = "Answer: 42"


def context(server: FaultServer, **more: Any) -> Context:
    return Context(model="m", base_url=server.base_url, **more)


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_depth_alone_answers_and_leaves_nothing(server: FaultServer, depth: str) -> None:
    server.reply = SURE
    outcome = await DEPTHS[depth].graph.ainvoke(ASKED, context=context(server))
    assert outcome["text"] == SURE
    assert not RUNS


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_depth_alone_keeps_to_its_budget(server: FaultServer, depth: str) -> None:
    server.reply = "so " * 5000
    given = context(server, budget="tokens=900")
    outcome = await DEPTHS[depth].graph.ainvoke(ASKED, context=given)
    assert outcome["stopped"] == "budget"
    assert server.spent_tokens <= 900


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_depth_alone_that_fails_leaves_nothing(server: FaultServer, depth: str) -> None:
    server.fault = "status_400"
    with pytest.raises(BackendError):
        await DEPTHS[depth].graph.ainvoke(ASKED, context=context(server))
    assert not RUNS


async def test_a_depth_alone_takes_built_in_tools_by_name(server: FaultServer) -> None:
    replies = [Reply(tool_calls=[("python", {"code": "6 * 7"})]), Reply(SURE)]
    server.reply = lambda body: replies.pop(0)
    await DEPTHS["reason"].graph.ainvoke(ASKED, context=context(server, tools=["python"]))
    assert server.requests[1].body["messages"][-1]["content"] == "42"


async def test_without_a_model_the_error_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("MULL_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoBackend, match=r"MULL_MODEL.*mull\.toml"):
        await DEPTHS["reason"].graph.ainvoke(ASKED)


class Mine(TypedDict, total=False):
    """The state of somebody's graph."""

    question: str
    text: str
    loud: str


async def test_a_depth_is_a_node_of_somebody_elses_graph(server: FaultServer) -> None:
    def shout(state: Mine) -> Mine:
        return {"loud": state["text"].upper()}

    graph = (
        StateGraph(Mine, context_schema=Context)
        .add_node("think", DEPTHS["reason"].graph)
        .add_node("shout", shout)
        .add_edge(START, "think")
        .add_edge("think", "shout")
        .add_edge("shout", END)
        .compile()
    )
    server.reply = SURE
    out = await graph.ainvoke(ASKED, context=context(server))
    assert out["loud"] == "ANSWER: 42"
    assert not RUNS


async def test_runs_at_the_same_time_do_not_mix(server: FaultServer) -> None:
    def add(body: Any) -> Reply | str:
        asked, last = body["messages"][1], body["messages"][-1]
        if last["role"] == "tool":
            return f"Answer: {asked['content']} {last['content']}"
        return Reply(tool_calls=[("python", {"code": f"x = {asked['content']}; x"})])

    server.reply, server.token_delay = add, 0.002
    given = context(server, tools=["python"])
    outcomes = await asyncio.gather(
        *(DEPTHS["reason"].graph.ainvoke({"question": str(n)}, context=given) for n in range(4))
    )
    assert [o["text"] for o in outcomes] == [f"Answer: {n} {n}" for n in range(4)]


async def test_the_state_holds_the_limits_after_the_first_node(server: FaultServer) -> None:
    server.reply = SURE
    given = context(server, budget="tokens=9000,cost=1.5")
    steps = [
        step
        async for step in DEPTHS["reason"].graph.astream(
            ASKED, context=given, stream_mode="updates"
        )
    ]
    limits = steps[0]["think"]["limits"]
    assert (limits["tokens"], limits["cost"], limits["calls"]) == (9000, "1.5", None)


async def test_streaming_custom_gives_our_events(server: FaultServer) -> None:
    replies = [Reply(tool_calls=[("python", {"code": "6 * 7"})]), Reply(SURE)]
    server.reply = lambda body: replies.pop(0)
    events: list[Any] = [
        event
        async for event in DEPTHS["reason"].graph.astream(
            ASKED, context=context(server, tools=["python"]), stream_mode="custom"
        )
    ]
    assert {type(e) for e in events} == {BudgetState, Text, ToolFinished, ToolStarted}
    assert "".join(e.text for e in events if isinstance(e, Text)) == SURE
