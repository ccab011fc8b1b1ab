"""The embedded model follows the framework's default prompts, in every node that asks a model."""

from __future__ import annotations

import pytest

from mull import Agent, Ledger
from mull.graphs import Settings
from mull.graphs.difficulty import Cascade
from mull.graphs.nodes.critique import CRITIQUE
from mull.graphs.nodes.think import SYSTEM as THINK
from mull.graphs.reflection import read_verdict
from mull.graphs.values import UNKNOWN, VALUE, read_value
from mull.graphs.verifiers import Means
from mull.models import Message, Request, resolve_model, system, user

pytestmark = pytest.mark.usefixtures("demo_url")
QUESTION = "Ana has 9 balls. Ana buys 20 more. How many balls does Ana have?"
COUNTDOWN = "Use the numbers 2, 3, 5 to make 25. Use each number once."


async def said(*messages: Message) -> str:
    request = Request(messages=messages)
    reply = await resolve_model("demo").ask(request, ledger=Ledger(), call_id="test")
    return reply.text


@pytest.mark.parametrize("depth", ["direct", "reason", "reflect", "vote", "search", "auto"])
def test_every_depth_answers(depth: str) -> None:
    answer = Agent("demo", depth=depth, budget="tokens=8000", settings=Settings(seed=1)).run(
        QUESTION
    )
    assert answer.final == "29"


def test_it_calls_the_python_tool_and_reads_its_result() -> None:
    answer = Agent("demo", depth="reason", tools=["python"], budget="tokens=4000").run(QUESTION)
    assert answer.usage.tool_calls == 1
    assert answer.final == "29"


@pytest.mark.parametrize("result", [29, 39])
async def test_its_verdict_can_be_read(result: int) -> None:
    text = f"9+20={result}\nAnswer: {result}"
    words = CRITIQUE.format(question=QUESTION, evidence="(no tools were used)", text=text)
    assert read_verdict(await said(system(THINK), user(words))).passed is not None


async def test_its_value_of_steps_can_be_read() -> None:
    words = VALUE.format(question=QUESTION, steps="9+20=29")
    assert read_value(await said(user(words))) != UNKNOWN


async def test_its_guess_at_the_difficulty_can_be_read() -> None:
    means = Means(ledger=Ledger(), model=resolve_model("demo"))
    assert (await Cascade().assess(QUESTION, (), means)).source in ("model", "features")


async def test_a_line_of_countdown_is_a_step_of_a_search() -> None:
    answer = await Agent("demo", depth="direct", budget="tokens=2000").arun(COUNTDOWN)
    assert all("=" in line for line in answer.text.splitlines()[:-1])
