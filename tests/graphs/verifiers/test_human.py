"""Human: a graph that waits for a person, and goes on with the verdict."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from mull.budgets import Ledger
from mull.errors import WrongUsage
from mull.graphs.verifiers import Candidate, Human, Verdict, Verifier, verify
from mull.graphs.verifiers.human import read
from mull.models import Model


class Asked(TypedDict, total=False):
    verdict: tuple[bool | None, float, str]


def graph(ledger: Ledger) -> Any:
    """One node that asks a person about a candidate."""

    async def confirm(state: Asked) -> Asked:
        candidate = Candidate(question="How many?", text="12+5=17\nAnswer: 17")
        model = Model("m", "http://127.0.0.1:9/v1")
        said = await verify(Human(), candidate, ledger=ledger, model=model, name="human")
        return {"verdict": (said.passed, said.score, said.reasons)}

    built = StateGraph(Asked).add_node("confirm", confirm).add_edge(START, "confirm")
    return built.compile(checkpointer=InMemorySaver())


def test_a_pass_settles_the_question() -> None:
    verifier: Verifier = Human()
    assert verifier.decisive


async def test_the_graph_waits_for_a_person_and_goes_on_with_the_verdict() -> None:
    asked, config = graph(Ledger()), {"configurable": {"thread_id": "1"}}
    paused = await asked.ainvoke({}, config)
    [waiting] = paused["__interrupt__"]
    assert waiting.value == {
        "question": "How many?",
        "answer": "17",
        "text": "12+5=17\nAnswer: 17",
    }
    done = await asked.ainvoke(Command(resume="reject: a unit is missing"), config)
    assert done["verdict"] == (False, 0.0, "a unit is missing")


async def test_a_resume_value_that_cannot_be_read_is_asked_for_again() -> None:
    asked, config = graph(Ledger()), {"configurable": {"thread_id": "1"}}
    await asked.ainvoke({}, config)
    paused = await asked.ainvoke(Command(resume=["yes"]), config)
    [waiting] = paused["__interrupt__"]
    assert "resume with True or False" in waiting.value["error"]
    done = await asked.ainvoke(Command(resume=True), config)
    assert done["verdict"] == (True, 1.0, "")


@pytest.mark.parametrize(
    ("value", "passed", "score", "reasons"),
    [
        (True, True, 1.0, ""),
        (False, False, 0.0, ""),
        (0.9, True, 0.9, ""),
        (0.2, False, 0.2, ""),
        (0.5, None, 0.5, ""),
        ("approve", True, 1.0, ""),
        ("Yes!", True, 1.0, ""),
        ("ok", True, 1.0, ""),
        ("reject because 17 is odd", False, 0.0, "because 17 is odd"),
        ("No: it is odd", False, 0.0, "it is odd"),
        ("No problem", None, 0.5, "No problem"),
        ("Say it in metres.", None, 0.5, "Say it in metres."),
        ("", None, 0.5, ""),
        ({"approved": True, "score": 0.9, "reasons": "fine"}, True, 0.9, "fine"),
        ({"approved": False}, False, 0.0, ""),
        ({"score": 0.3}, False, 0.3, ""),
        ({"reasons": "hm"}, None, 0.5, "hm"),
    ],
)
def test_a_persons_word_is_read(
    value: Any, passed: bool | None, score: float, reasons: str
) -> None:
    assert read(value) == Verdict(score=score, passed=passed, reasons=reasons, verifier="human")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        2,
        -0.1,
        float("nan"),
        {"approve": True},
        {"approved": "yes"},
        {"score": "9"},
        object(),
    ],
)
def test_a_word_that_cannot_be_read_says_how_to_write_it(value: Any) -> None:
    with pytest.raises(WrongUsage, match="resume with"):
        read(value)
