"""Agent: the three ways to run it agree, wrong use is told at once, nothing is left behind."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import until

from mull import (
    DEPTHS,
    Agent,
    Answer,
    Answered,
    Budget,
    BudgetExhausted,
    Event,
    Ledger,
    Model,
    Price,
    WrongUsage,
)
from mull.graphs import Settings
from mull.models import system, user

SURE = "It is clear.\nAnswer: 42"
QUESTION = "How many?"


def in_turn(*replies: Reply | str) -> Callable[[Any], Reply | str]:
    rest = list(replies)
    return lambda body: rest.pop(0)


def agent_on(server: FaultServer, **more: Any) -> Agent:
    return Agent("m", base_url=server.base_url, **{"depth": "reason", **more})


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def events_of(agent: Agent, **more: Any) -> list[Event]:
    return [event async for event in agent.astream(QUESTION, **more)]


def same(answer: Answer) -> dict[str, Any]:
    """An answer without what differs from run to run: the seconds."""
    plain = answer.as_dict()
    plain["usage"].pop("seconds")
    for step in plain["trace"]:
        step.pop("seconds", None)
    return plain


# --- run, arun, astream


async def test_run_arun_and_astream_give_the_same_answer(server: FaultServer) -> None:
    def reply(body: Any) -> Reply:
        done = body["messages"][-1]["role"] == "tool"
        return Reply(SURE) if done else Reply(tool_calls=[("add", {"a": 40, "b": 2})])

    server.reply = reply
    agent = agent_on(server, tools=[add], budget="tokens=9000")
    awaited = await agent.arun(QUESTION)
    waited = await asyncio.to_thread(agent.run, QUESTION)
    *_, last = await events_of(agent)
    assert isinstance(last, Answered)
    assert same(awaited) == same(waited) == same(last.answer)
    assert awaited.final == "42"


def test_run_works_without_an_event_loop(demo_url: str) -> None:
    assert Agent("demo", budget="tokens=500").run("Tom has 3 pens. Tom gets another 4.").text


async def test_run_works_inside_a_running_event_loop_as_in_a_notebook(demo_url: str) -> None:
    agent = Agent("demo", budget="tokens=500")
    assert agent.run("Tom has 3 pens. Tom gets another 4.").text


async def test_run_works_in_many_threads_at_once(server: FaultServer) -> None:
    server.reply = SURE
    agent = agent_on(server)
    runs = [asyncio.to_thread(agent.run, QUESTION) for _ in range(6)]
    assert {answer.text for answer in await asyncio.gather(*runs)} == {SURE}


async def test_run_from_an_async_tool_says_to_use_arun(server: FaultServer) -> None:
    inner = agent_on(server)

    async def ask_another(question: str) -> str:
        """Ask another agent."""
        return inner.run(question).text

    server.reply = in_turn(Reply(tool_calls=[("ask_another", {"question": "x"})]), SURE)
    outer = agent_on(server, tools=[ask_another])
    await asyncio.to_thread(outer.run, QUESTION)
    told = server.requests[1].body["messages"][-1]["content"]
    assert told.startswith("error: WrongUsage")
    assert "await agent.arun" in told


async def test_a_sync_tool_may_run_another_agent(server: FaultServer) -> None:
    inner = agent_on(server)

    def ask_another(question: str) -> str:
        """Ask another agent."""
        return inner.run(question).text

    call = Reply(tool_calls=[("ask_another", {"question": "x"})])
    server.reply = in_turn(call, "six", SURE)
    outer = agent_on(server, tools=[ask_another])
    answer = await asyncio.to_thread(outer.run, QUESTION)
    assert answer.text == SURE
    assert server.requests[2].body["messages"][-1]["content"] == "six"


INTERRUPTED = """
import sys
from mull import Agent
try:
    Agent("m", base_url=sys.argv[1]).run("How many?")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""


async def test_ctrl_c_cancels_the_run_and_closes_its_connection(server: FaultServer) -> None:
    server.fault = "hang_mid_stream"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        INTERRUPTED,
        server.base_url,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    await until(lambda: server.active == 1, 20)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"interrupted\n"
    await until(lambda: server.requests[0].aborted, 10)  # while the process still lives
    await process.communicate(b"\n")
    assert process.returncode == 0


async def test_leaving_a_stream_early_leaves_no_task_and_no_connection_open(
    server: FaultServer,
) -> None:
    server.reply, server.token_delay = "so " * 500, 0.01
    before = asyncio.all_tasks()
    agent = agent_on(server)
    async with aclosing(agent.astream(QUESTION)) as events:
        async for event in events:
            if event.kind == "text":
                break
    await until(lambda: server.requests[0].aborted)
    await agent.aclose()
    await until(lambda: asyncio.all_tasks() <= before)


async def test_cancelling_arun_closes_its_connection(server: FaultServer) -> None:
    server.fault = "hang_mid_stream"
    run = asyncio.create_task(agent_on(server).arun(QUESTION))
    await until(lambda: server.active == 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: server.requests[0].aborted)


# --- settings


async def test_a_call_may_choose_another_depth(server: FaultServer) -> None:
    server.reply = SURE
    answer = await agent_on(server, depth="reason").arun(QUESTION, depth="direct")
    assert answer.depth == "direct"


async def test_a_calls_budget_replaces_the_agents_limit_by_limit(server: FaultServer) -> None:
    server.reply = SURE
    agent = agent_on(server, budget="tokens=9000,calls=5")
    answer = await agent.arun(QUESTION, budget="tokens=7000,seconds=30")
    assert answer.budget == Budget(tokens=7000, calls=5, seconds=30)


async def test_a_calls_budget_changes_nothing_for_the_next_call(server: FaultServer) -> None:
    server.reply = SURE
    agent = agent_on(server, budget="tokens=9000")
    await agent.arun(QUESTION, budget=Budget(tokens=7000))
    assert (await agent.arun(QUESTION)).budget == Budget(tokens=9000)


async def test_history_is_sent_before_the_question(server: FaultServer) -> None:
    server.reply = SURE
    await agent_on(server).arun(QUESTION, history=[user("Hello"), system("Hi")])
    sent = [m["content"] for m in server.requests[0].body["messages"]]
    assert sent[-3:] == ["Hello", "Hi", QUESTION]


@pytest.mark.parametrize("question", ["", "  \n", "half a \ud800 pair"])
async def test_a_question_that_is_no_text_is_wrong_usage(
    server: FaultServer, question: str
) -> None:
    with pytest.raises(WrongUsage, match=r"\Athe question is .*\Z"):
        await agent_on(server).arun(question)
    assert not server.requests


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"depth": "deep"}, "no depth 'deep'"),
        ({"tools": ["hammer"]}, "no tool 'hammer': known by name are python"),
        ({"tools": [add, add]}, "two tools are called 'add'"),
        ({"tools": [lambda x: x]}, "cannot be a tool"),
        ({"budget": "tokens"}, "'tokens' is not one of tokens=N"),
        ({"budget": "tokens=many"}, "tokens=many: give a number"),
        ({"budget": "tokens=-1"}, "not negative"),
        ({"base_url": "localhost:8000"}, "give an http:// or https:// address"),
    ],
)
def test_a_wrong_setting_is_told_on_one_line(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        Agent("m", **{"base_url": "http://localhost:1/v1", **settings})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"depth": "deep"}, {"budget": "tokens=-1"}])
async def test_a_wrong_setting_of_a_call_is_wrong_usage_and_spends_nothing(
    server: FaultServer, settings: dict[str, Any]
) -> None:
    with pytest.raises(WrongUsage):
        await agent_on(server).arun(QUESTION, **settings)
    assert not server.requests


# --- the budget's end


@pytest.mark.parametrize("depth", ["direct", "reason"])
@pytest.mark.parametrize("budget", ["tokens=1", "tokens=0", "calls=0", "tokens=20,calls=1"])
async def test_a_budget_too_small_for_any_call_is_an_answer_without_text(
    server: FaultServer, budget: str, depth: str
) -> None:
    answer = await agent_on(server, budget=budget, depth=depth).arun(QUESTION)
    assert (answer.text, answer.stopped) == ("", "budget")
    assert not server.requests


@pytest.mark.parametrize("depth", ["direct", "reason"])
async def test_a_deadline_gives_what_had_been_written(server: FaultServer, depth: str) -> None:
    server.fault, server.reply, server.fault_after = "hang_mid_stream", "one two three four", 2
    answer = await agent_on(server, budget="seconds=0.4", depth=depth).arun(QUESTION)
    assert (answer.text, answer.stopped) == ("one two", "deadline")


EXHAUSTING = [
    ("tokens=1", "none", "tokens"),
    ("tokens=900", "none", "tokens"),
    ("seconds=0.2", "hang_mid_stream", "seconds"),
    ("calls=0", "none", "calls"),
]


@pytest.mark.parametrize(("budget", "fault", "dimension"), EXHAUSTING)
async def test_on_exhausted_raise_raises_and_names_what_ended(
    server: FaultServer, budget: str, fault: str, dimension: str
) -> None:
    server.fault, server.reply = fault, "so " * 5000
    agent = agent_on(server, budget=budget, on_exhausted="raise", depth="direct")
    with pytest.raises(BudgetExhausted, match=f"Raise its {dimension}") as caught:
        await agent.arun(QUESTION)
    assert caught.value.dimension == dimension


async def test_on_exhausted_raise_gives_an_answer_that_no_budget_cut_short(
    server: FaultServer,
) -> None:
    server.reply = SURE
    agent = agent_on(server, budget="tokens=9000", on_exhausted="raise")
    assert (await agent.arun(QUESTION)).text == SURE


async def test_a_tenants_ledger_is_charged_by_every_run(server: FaultServer) -> None:
    server.reply = SURE
    tenant = Ledger(Budget(tokens=9000), key="tenant")
    agent = agent_on(server, ledger=tenant)
    answers = [await agent.arun(QUESTION) for _ in range(3)]
    assert tenant.spent().total_tokens == sum(a.usage.total_tokens for a in answers)
    assert tenant.spent().calls == 3


async def test_two_agents_that_share_a_ledger_share_its_limit(server: FaultServer) -> None:
    server.reply = "so " * 5000
    tenant = Ledger(Budget(tokens=4000), key="tenant")
    agents = [agent_on(server, ledger=tenant, depth="direct") for _ in range(2)]
    answers = await asyncio.gather(*(agent.arun(QUESTION) for agent in agents for _ in range(3)))
    assert server.spent_tokens <= 4000
    assert {answer.stopped for answer in answers} == {"budget"}


# --- the contract's forms


KEYS = {"answer", "output", "confidence", "depth", "difficulty", "stopped", "usage"} | {
    "budget",
    "thread",
    "pending",
    "trace",
}
USAGE = {"calls", "tool_calls", "input_tokens", "output_tokens", "reasoning_tokens"} | {
    "cached_tokens",
    "wasted_tokens",
    "total_tokens",
    "seconds",
    "cost",
}


@pytest.mark.parametrize("budget", ["tokens=9000,calls=5", "tokens=1"])
async def test_an_answer_as_a_dict_has_the_contracts_keys_and_is_json(
    server: FaultServer, budget: str
) -> None:
    server.reply = SURE
    plain = (await agent_on(server, budget=budget).arun(QUESTION)).as_dict()
    assert set(plain) == KEYS
    assert set(plain["usage"]) == USAGE
    assert json.loads(json.dumps(plain)) == plain


async def test_every_event_is_json_and_of_a_kind_in_the_contract(server: FaultServer) -> None:
    call = Reply("Adding.", "Let me think.", [("add", {"a": 40, "b": 2})])
    server.reply = in_turn(call, SURE)
    events = [e.as_dict() for e in await events_of(agent_on(server, tools=[add]))]
    assert json.loads(json.dumps(events)) == events
    assert {e["event"] for e in events} == {"depth_chosen", "thinking", "text", "answer"} | {
        "tool_started",
        "tool_finished",
        "budget",
    }
    assert [events[0]["event"], events[-1]["event"]] == ["depth_chosen", "answer"]


async def test_the_events_text_is_the_models_text(server: FaultServer) -> None:
    server.reply = SURE
    events = [event.as_dict() for event in await events_of(agent_on(server))]
    assert "".join(e["text"] for e in events if e["event"] == "text") == SURE


# --- estimate


def test_an_estimate_spends_nothing_and_knows_every_depth() -> None:
    agent = Agent("m", base_url="http://localhost:1/v1")  # nobody is there
    assert set(agent.estimate(QUESTION)) == set(DEPTHS)


async def test_an_estimate_gets_closer_with_the_replies_seen(server: FaultServer) -> None:
    server.reply = SURE
    agent = agent_on(server, depth="direct")
    before = agent.estimate(QUESTION)["direct"].tokens
    spent = (await agent.arun(QUESTION)).usage.total_tokens
    after = agent.estimate(QUESTION)["direct"].tokens
    assert abs(after - spent) < abs(before - spent)


def test_an_estimate_says_whether_the_budget_would_do() -> None:
    agent = Agent("m", base_url="http://localhost:1/v1", budget="tokens=50")
    assert not agent.estimate(QUESTION)["reason"].fits


def test_an_estimate_of_an_empty_question_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage):
        Agent("m", base_url="http://localhost:1/v1").estimate(" ")


async def test_a_limit_in_dollars_without_a_price_is_refused(server: FaultServer) -> None:
    with pytest.raises(WrongUsage, match="needs a price"):
        await agent_on(server, budget="cost=1").arun(QUESTION)


async def test_a_limit_in_dollars_holds(server: FaultServer) -> None:
    price = Price(input=1000, output=1000)  # type: ignore[arg-type]
    agent = Agent(Model("m", server.base_url, price=price), depth="direct", budget="cost=1")
    answers = [await agent.arun(QUESTION) for _ in range(2)]
    assert all(0 < answer.usage.cost <= 1 for answer in answers)


async def test_a_slow_tool_leaves_time_for_the_final_answer(server: FaultServer) -> None:
    async def wait() -> str:
        """Wait for long."""
        await asyncio.sleep(60)
        return "done"

    server.reply = in_turn(Reply(tool_calls=[("wait", {})]), SURE)
    agent = agent_on(server, tools=[wait], budget="seconds=2")
    answer = await agent.arun(QUESTION, depth="reason")
    assert answer.final == "42"


@pytest.mark.parametrize(
    "wrong",
    [{"on_exhausted": "explode"}, {"tools": "python"}, {"price": 5}],
)
def test_a_setting_of_the_wrong_kind_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage):
        Agent("m", base_url="http://127.0.0.1:9/v1", **wrong)


@pytest.mark.parametrize("depth", ["reason", "vote"])
async def test_a_file_that_code_makes_comes_back_with_the_answer(
    server: FaultServer, depth: str
) -> None:
    def reply(body: Any) -> Reply:
        code = "open('table.csv', 'w').write('a,b')"
        done = body["messages"][-1]["role"] == "tool"
        return Reply(SURE) if done else Reply(tool_calls=[("python", {"code": code})])

    server.reply = reply
    agent = agent_on(server, tools=["python"], depth=depth, settings=Settings(samples=1))
    (file,) = (await agent.arun(QUESTION)).attachments
    assert (file.name, file.data) == ("table.csv", b"a,b")
