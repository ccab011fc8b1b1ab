"""BudgetedChatModel: LangChain and LangGraph code that spends from a ledger, on the real model."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from leftovers import until

from mull.budgets import Budget, BudgetExhausted, Ledger
from mull.graphs.nodes.think import SYSTEM as THINK
from mull.models import Model, resolve_model
from mull.models.chat_model import BudgetedChatModel
from mull.tools.python import PythonTool

QUESTION = "Tom has 3 pens. Tom gets another 4. How many pens does Tom have?"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def chat(demo_url: str) -> BudgetedChatModel:
    """The embedded model with a budget."""
    return BudgetedChatModel(model=resolve_model("demo"), ledger=Ledger(Budget(tokens=2000)))


@pytest.fixture
async def scripted(server: FaultServer) -> AsyncIterator[BudgetedChatModel]:
    """A model on the scripted server, without a budget."""
    model = Model("m", server.base_url)
    yield BudgetedChatModel(model=model, ledger=Ledger())
    await model.aclose()


@pytest.fixture
async def poor(server: FaultServer) -> AsyncIterator[BudgetedChatModel]:
    """The same, with a budget for nothing."""
    model = Model("m", server.base_url)
    yield BudgetedChatModel(model=model, ledger=Ledger(Budget(tokens=10)))
    await model.aclose()


def text(message: BaseMessage) -> str:
    assert isinstance(message.content, str)
    return message.content


async def test_ainvoke_answers_and_spends_from_the_ledger(chat: BudgetedChatModel) -> None:
    reply = await chat.ainvoke(QUESTION)
    assert "7" in text(reply)
    assert reply.usage_metadata is not None
    assert chat.ledger.spent().total_tokens == reply.usage_metadata["total_tokens"] > 0
    assert chat.ledger.spent().calls == 1


def test_invoke_answers_as_ainvoke_does(chat: BudgetedChatModel) -> None:
    assert text(chat.invoke(QUESTION)) == text(asyncio.run(chat.ainvoke(QUESTION)))


async def test_astream_gives_the_text_in_pieces_and_then_the_usage(
    chat: BudgetedChatModel,
) -> None:
    pieces = [piece async for piece in chat.astream(QUESTION)]
    assert len(pieces) > 2
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    assert isinstance(whole, AIMessageChunk)
    assert text(whole) == text(await chat.ainvoke(QUESTION))
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0


async def test_bound_tools_are_called_by_the_model(chat: BudgetedChatModel) -> None:
    python = PythonTool()
    spec = {"name": "python", "description": python.description, "parameters": python.parameters}
    asked = [SystemMessage(THINK), HumanMessage(QUESTION)]
    reply = await chat.bind_tools([{"type": "function", "function": spec}]).ainvoke(asked)
    (call,) = reply.tool_calls
    assert (call["name"], set(call["args"])) == ("python", {"code"})


async def test_a_streamed_tool_call_is_whole_at_the_end(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    server.reply = lambda body: Reply(tool_calls=[("add", {"a": 1, "b": 2})])
    pieces = [piece async for piece in scripted.bind_tools([add]).astream("1 + 2?")]
    whole: Any = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    (call,) = whole.tool_calls
    assert (call["name"], call["args"]) == ("add", {"a": 1, "b": 2})


async def test_arguments_that_are_no_json_are_an_invalid_tool_call(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    server.reply = lambda body: Reply(tool_calls=[("add", '{"a": 1,')])
    reply = await scripted.bind_tools([add]).ainvoke("1 + 2?")
    assert not reply.tool_calls
    assert reply.invalid_tool_calls[0]["args"] == '{"a": 1,'


async def test_arguments_that_are_no_object_are_an_invalid_tool_call(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    server.reply = lambda body: Reply(tool_calls=[("add", "[1, 2]")])
    reply = await scripted.bind_tools([add]).ainvoke("1 + 2?")
    assert not reply.tool_calls
    assert reply.invalid_tool_calls[0]["args"] == "[1, 2]"


async def test_reasoning_is_kept_beside_the_text(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    server.reply = lambda body: Reply("42", "Let me think.")
    reply = await scripted.ainvoke("?")
    assert (text(reply), reply.additional_kwargs["reasoning_content"]) == ("42", "Let me think.")


async def test_settings_of_a_call_reach_the_backend(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    await scripted.bind(temperature=0.5, seed=7).ainvoke("?", stop=["\n\n"], max_tokens=9)
    body = server.requests[0].body
    assert {name: body[name] for name in ("temperature", "seed", "stop", "max_tokens")} == {
        "temperature": 0.5,
        "seed": 7,
        "stop": ["\n\n"],
        "max_tokens": 9,
    }


async def streamed(chat: BudgetedChatModel) -> None:
    async for _ in chat.astream(QUESTION):
        pass


async def waited(chat: BudgetedChatModel) -> None:
    await asyncio.to_thread(chat.invoke, QUESTION)


async def awaited(chat: BudgetedChatModel) -> None:
    await chat.ainvoke(QUESTION)


@pytest.mark.parametrize("way", [waited, awaited, streamed])
async def test_a_call_that_cannot_be_paid_raises_and_sends_nothing(
    server: FaultServer,
    poor: BudgetedChatModel,
    way: Callable[[BudgetedChatModel], Awaitable[None]],
) -> None:
    with pytest.raises(BudgetExhausted):
        await way(poor)
    assert not server.requests


async def test_leaving_a_stream_early_closes_the_connection(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    server.reply, server.token_delay = "so " * 500, 0.01
    stream = scripted.astream(QUESTION)
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    await until(lambda: server.requests[0].aborted)


async def test_it_works_in_a_langgraph_loop_with_tools(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    replies = [Reply(tool_calls=[("add", {"a": 3, "b": 4})]), Reply("Answer: 7")]
    server.reply = lambda body: replies.pop(0)
    bound = scripted.bind_tools([add])

    async def ask(state: MessagesState) -> MessagesState:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    graph = (
        StateGraph(MessagesState)
        .add_node("ask", ask)
        .add_node("tools", ToolNode([add]))
        .add_edge(START, "ask")
        .add_conditional_edges("ask", tools_condition, ["tools", END])
        .add_edge("tools", "ask")
        .compile()
    )
    out = await graph.ainvoke({"messages": [HumanMessage(QUESTION)]})
    assert [type(m).__name__ for m in out["messages"]] == [
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "AIMessage",
    ]
    assert text(out["messages"][-1]) == "Answer: 7"
    assert server.requests[1].body["messages"][-1]["content"] == "7"
    assert scripted.ledger.spent().calls == 2


async def test_its_tokens_stream_out_of_a_langgraph_node(
    server: FaultServer, scripted: BudgetedChatModel
) -> None:
    server.reply = "one two three"

    async def ask(state: MessagesState) -> MessagesState:
        return {"messages": [await scripted.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile()
    given: Any = {"messages": [HumanMessage(QUESTION)]}
    pieces = [
        text(message)
        async for message, _ in graph.astream(given, stream_mode="messages")
        if isinstance(message, AIMessage)
    ]
    assert "".join(pieces) == "one two three"
    assert len(pieces) >= 3
