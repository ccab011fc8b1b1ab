"""output_type: a validated output from every depth, on backends with and without schemas."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fault_server import FaultServer, Refused, Reply
from pydantic import BaseModel

from mull import DEPTHS, Agent, Model, WrongUsage
from mull.graphs import InvalidOutput, Settings
from mull.models import Profile

QUESTION = "How many?"


class Count(BaseModel):
    number: int
    unit: str


@dataclass
class Total:
    total: int


class Pair(BaseModel):
    before: int
    after: int


SEVEN = Count(number=7, unit="m")
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}, "unit": {"type": "string"}},
    "required": ["number", "unit"],
    "additionalProperties": False,
}
STATED = 'It is clear.\nAnswer: {"number": 7, "unit": "m"}'
WRONG = "It is clear.\nAnswer: seven metres"

Say = Callable[[dict[str, Any]], Reply | str]


def members(body: dict[str, Any]) -> list[str]:
    """What the object must have that a request wants its reply to be; empty: it may be text."""
    form = body.get("response_format")
    return [] if form is None else list(form["json_schema"]["schema"]["properties"])


def typed(value: object, text: str = STATED) -> Say:
    """A backend that is held to the schema where a request has one, and says `text` elsewhere."""

    def say(body: dict[str, Any]) -> str:
        parts = {"reasoning": "It is clear.", "output": value}
        wanted = members(body)
        return json.dumps({name: parts[name] for name in wanted}) if wanted else text

    return say


def in_turn(*said: Reply | str) -> Say:
    rest: Iterator[Reply | str] = itertools.chain(said, itertools.repeat(said[-1]))
    return lambda body: next(rest)


def agent_on(server: FaultServer, **more: Any) -> Agent:
    return Agent("m", base_url=server.base_url, **{"depth": "direct", **more})


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize("depth", DEPTHS)
async def test_every_depth_hands_back_a_validated_output(server: FaultServer, depth: str) -> None:
    server.reply = typed(SEVEN.model_dump())
    settings = Settings(samples=3, expansions=4)
    agent = agent_on(server, depth=depth, budget="tokens=60000", settings=settings)
    answer = await agent.arun(QUESTION, output_type=Count)
    assert (answer.output, answer.stopped) == (SEVEN, "answered")


async def test_a_json_schema_gives_a_plain_dict(server: FaultServer) -> None:
    server.reply = typed(SEVEN.model_dump())
    answer = await agent_on(server).arun(QUESTION, output_type=SCHEMA)
    assert answer.output == {"number": 7, "unit": "m"}


async def test_the_backend_is_sent_the_schema_with_room_to_reason(server: FaultServer) -> None:
    server.reply = typed(SEVEN.model_dump())
    answer = await agent_on(server).arun(QUESTION, output_type=Count)
    (request,) = server.requests
    assert members(request.body) == ["reasoning", "output"]
    assert request.body["response_format"]["json_schema"]["strict"] is True
    assert answer.text == 'It is clear.\n\nAnswer: {"number": 7, "unit": "m"}'


async def test_beside_tools_the_schema_is_only_told(server: FaultServer) -> None:
    server.reply = typed(SEVEN.model_dump())
    answer = await agent_on(server, depth="reason", tools=[add]).arun(QUESTION, output_type=Count)
    (request,) = server.requests
    assert "response_format" not in request.body
    assert '"number"' in request.body["messages"][0]["content"]
    assert answer.output == SEVEN


async def test_a_backend_that_refuses_schemas_is_asked_without_and_remembered(
    server: FaultServer,
) -> None:
    server.unsupported = ["response_format"]
    server.reply = STATED
    agent = agent_on(server)
    for _ in range(2):
        assert (await agent.arun(QUESTION, output_type=Count)).output == SEVEN
    assert [request.status for request in server.requests] == [400, 200, 200]


@pytest.mark.parametrize(
    "said",
    [
        "Invalid schema for response_format 'Count': 'default' is not permitted.",
        "JSON schema conversion failed:\nUnrecognized schema",
        "failed to parse grammar",
        "The request has guided decoding, which this engine was started without.",
    ],
)
async def test_a_schema_that_is_turned_down_is_left_out(server: FaultServer, said: str) -> None:
    def say(body: dict[str, Any]) -> str:
        if members(body):
            raise Refused(400, said)
        return STATED

    server.reply = say
    assert (await agent_on(server).arun(QUESTION, output_type=Count)).output == SEVEN


async def test_an_answer_of_another_form_is_repaired_and_paid_for(server: FaultServer) -> None:
    server.reply = in_turn(WRONG, json.dumps({"output": SEVEN.model_dump()}))
    answer = await agent_on(server).arun(QUESTION, output_type=Count)
    _, repair = server.requests
    shown = repair.body["messages"][-1]["content"]
    assert answer.output == SEVEN
    assert members(repair.body) == ["output"]
    assert "seven metres" in shown
    assert answer.usage.calls == 2
    assert answer.usage.total_tokens == server.spent_tokens


async def test_the_reasons_of_a_repaired_answer_stay_in_its_text(server: FaultServer) -> None:
    server.reply = in_turn(WRONG, json.dumps({"output": SEVEN.model_dump()}))
    answer = await agent_on(server).arun(QUESTION, output_type=Count)
    assert answer.text.startswith("It is clear.")
    assert answer.final == '{"number": 7, "unit": "m"}'


async def test_a_repair_is_told_what_is_wrong(server: FaultServer) -> None:
    server.reply = in_turn('Answer: {"number": "many", "unit": "m"}', STATED)
    await agent_on(server).arun(QUESTION, output_type=Count)
    shown = server.requests[1].body["messages"][-1]["content"]
    assert "number: Input should be a valid integer" in shown


@pytest.mark.parametrize("depth", ["direct", "reason", "reflect", "vote", "search", "auto"])
async def test_an_answer_that_never_validates_is_an_error(server: FaultServer, depth: str) -> None:
    server.reply = WRONG
    settings = Settings(samples=2, expansions=2, deepest="vote")
    with pytest.raises(InvalidOutput, match="no valid Count") as raised:
        await agent_on(server, depth=depth, settings=settings).arun(QUESTION, output_type=Count)
    assert raised.value.text == WRONG


async def test_an_answer_is_repaired_twice_at_most(server: FaultServer) -> None:
    server.reply = WRONG
    with pytest.raises(InvalidOutput):
        await agent_on(server).arun(QUESTION, output_type=Count)
    assert len(server.requests) == 3


async def test_a_budget_that_cannot_pay_a_repair_leaves_no_output(server: FaultServer) -> None:
    server.reply = WRONG
    answer = await agent_on(server, budget="calls=1").arun(QUESTION, output_type=Count)
    assert (answer.output, answer.stopped, answer.text) == (None, "budget", WRONG)
    assert len(server.requests) == 1


async def test_a_vote_repairs_inside_its_branches(server: FaultServer) -> None:
    def say(body: dict[str, Any]) -> str:
        if "not in the form" in body["messages"][-1]["content"]:
            return json.dumps({"output": SEVEN.model_dump()})
        return WRONG

    server.reply = say
    agent = agent_on(server, depth="vote", settings=Settings(samples=3))
    answer = await agent.arun(QUESTION, output_type=Count)
    branches = {step.get("branch") for step in answer.trace if step["node"] == "repair"}
    assert answer.output == SEVEN
    assert len(branches) >= 2
    assert None not in branches


async def test_votes_are_counted_field_by_field(server: FaultServer) -> None:
    said = [
        {"number": 8, "unit": "m"},
        {"unit": "m", "number": 7},
        {"number": 7.0, "unit": " M "},
        {"number": 8, "unit": "km"},
    ]
    server.reply = in_turn(*(f"Answer: {json.dumps(one)}" for one in said))
    settings = Settings(samples=4, at_once=4)
    agent = agent_on(server, depth="vote", settings=settings)
    answer = await agent.arun(QUESTION, output_type=Count)
    assert answer.output.number == 7


async def test_a_branch_without_an_output_does_not_lose_the_others(server: FaultServer) -> None:
    replies = itertools.count()

    def say(body: dict[str, Any]) -> str:
        repair = "not in the form" in body["messages"][-1]["content"]
        return WRONG if repair or next(replies) == 0 else STATED

    server.reply = say
    agent = agent_on(server, depth="vote", settings=Settings(samples=4, at_once=1))
    assert (await agent.arun(QUESTION, output_type=Count)).output == SEVEN


async def test_a_critic_is_not_held_to_the_type(server: FaultServer) -> None:
    def say(body: dict[str, Any]) -> str:
        critic = "Check a proposed answer" in body["messages"][-1]["content"]
        return "It is right.\nAnswer: pass" if critic else typed(SEVEN.model_dump())(body)  # type: ignore[return-value]

    server.reply = say
    answer = await agent_on(server, depth="reflect").arun(QUESTION, output_type=Count)
    critic = next(
        request.body
        for request in server.requests
        if "Check a proposed answer" in request.body["messages"][-1]["content"]
    )
    assert "response_format" not in critic
    assert answer.output == SEVEN


async def test_a_landing_hands_back_an_output(server: FaultServer) -> None:
    def say(body: dict[str, Any]) -> Reply | str:
        if body.get("tools"):
            return Reply(tool_calls=[("add", {"a": 1, "b": len(server.requests)})])
        return typed(SEVEN.model_dump())(body)

    server.reply = say
    agent = agent_on(server, depth="reason", tools=[add], budget="tokens=9000")
    answer = await agent.arun(QUESTION, output_type=Count)
    assert (answer.output, answer.stopped) == (SEVEN, "budget")


async def test_a_refusal_has_no_output(server: FaultServer) -> None:
    server.reply = lambda body: Reply("I cannot help.", finish_reason="content_filter")
    answer = await agent_on(server).arun(QUESTION, output_type=str)
    assert (answer.output, answer.stopped) == (None, "refused")


async def test_a_model_that_cannot_reason_in_json_is_asked_for_text(server: FaultServer) -> None:
    server.reply = STATED
    model = Model("m", server.base_url, profile=Profile(reasons_in_json=False))
    answer = await Agent(model, depth="direct").arun(QUESTION, output_type=Count)
    assert "response_format" not in server.requests[0].body
    assert answer.output == SEVEN


async def test_what_is_no_type_is_said_before_anything_is_spent(server: FaultServer) -> None:
    with pytest.raises(WrongUsage, match="output_type"):
        await agent_on(server).arun(QUESTION, output_type="Count")
    assert not server.requests


@pytest.mark.parametrize(
    ("wanted", "plain"),
    [
        (Count, {"number": 7, "unit": "m"}),
        (list[Count], [{"number": 7, "unit": "m"}]),
        (Total, {"total": 7}),
        (SCHEMA, {"number": 7, "unit": "m"}),
        (datetime.date, "2026-11-24"),
    ],
)
async def test_an_output_is_plain_in_the_answers_dict(
    server: FaultServer, wanted: Any, plain: object
) -> None:
    server.reply = typed(plain)
    answer = await agent_on(server).arun(QUESTION, output_type=wanted)
    assert json.loads(json.dumps(answer.as_dict()))["output"] == plain


@pytest.mark.parametrize("verifier", ["equations", "code", "judge"])
async def test_verifiers_read_the_text_of_a_typed_answer(
    server: FaultServer, verifier: str
) -> None:
    server.reply = typed(SEVEN.model_dump())
    agent = agent_on(server, depth="vote", settings=Settings(samples=2), verifier=verifier)
    assert (await agent.arun(QUESTION, output_type=Count)).output == SEVEN


@pytest.mark.usefixtures("demo_url")
@pytest.mark.parametrize("depth", ["direct", "vote", "auto"])
def test_the_embedded_model_gives_a_typed_answer(depth: str) -> None:
    question = "Ana has 9 balls. Ana buys 20 more. How many balls does Ana have?"
    agent = Agent("demo", depth=depth, budget="tokens=8000", settings=Settings(seed=1))
    assert agent.run(question, output_type=Total).output == Total(29)


@pytest.mark.usefixtures("demo_url")
def test_llama_cpp_holds_a_repair_to_the_schema() -> None:
    question = "Ana has 9 balls. Ana buys 20 more. How many balls does Ana have?"
    agent = Agent("demo", depth="direct", budget="tokens=8000")
    answer = agent.run(question, output_type=Pair)
    assert answer.usage.calls == 2
    assert isinstance(answer.output, Pair)
