"""CodeCheck: a program gives the same answer, in a real sandbox."""

from __future__ import annotations

import json

import pytest
from fault_server import FaultServer

from mull.graphs.verifiers import Candidate, CodeCheck, Means, Verifier
from mull.graphs.verifiers.code import own_code
from mull.models import Message, Profile
from mull.models.messages import ToolCallMessage

QUESTION = "Tom has 17 boxes of 3 apples. How many apples?"


def block(code: str, answer: str = "51") -> Candidate:
    text = f"I compute it:\n```python\n{code}\n```\nAnswer: {answer}"
    return Candidate(question=QUESTION, text=text)


def turns(*calls: tuple[str, str], name: str = "python") -> tuple[Message, ...]:
    """Calls of a tool, each with its result."""
    messages: list[Message] = []
    for number, (code, result) in enumerate(calls):
        call: ToolCallMessage = {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps({"code": code})},
        }
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": result})
    return tuple(messages)


def test_it_weighs_and_does_not_settle_the_question() -> None:
    verifier: Verifier = CodeCheck()
    assert not verifier.decisive


@pytest.mark.parametrize(
    "code",
    ["print(17 * 3)", "17 * 3", "x = 17 * 3\nprint('So')\nprint(f'The answer is {x} apples.')"],
)
async def test_code_that_gives_the_answer_passes(code: str, sandbox: Means) -> None:
    assert (await CodeCheck().verify(block(code), sandbox)).passed is True


async def test_code_that_gives_another_answer_fails(sandbox: Means) -> None:
    verdict = await CodeCheck().verify(block("print(17 * 3)", "52"), sandbox)
    assert verdict.passed is False
    assert "51" in verdict.reasons


async def test_answers_in_words_are_compared_too(sandbox: Means) -> None:
    code = "print(max(['Paris', 'Rome'], key=len))"
    assert (await CodeCheck().verify(block(code, "Paris"), sandbox)).passed is True
    assert (await CodeCheck().verify(block(code, "Rome"), sandbox)).passed is False


@pytest.mark.parametrize("code", ["1 / 0", "print('fin' + 'ished')", "x = 17 * 3", "x ="])
async def test_code_that_gives_no_answer_says_nothing(code: str, sandbox: Means) -> None:
    assert (await CodeCheck().verify(block(code), sandbox)).passed is None


async def test_without_a_stated_answer_nothing_is_spent(nothing: Means) -> None:
    candidate = Candidate(question=QUESTION, text="```python\nprint(51)\n```")
    assert (await CodeCheck().verify(candidate, nothing)).passed is None


async def test_the_tool_calls_of_the_candidate_are_run_again_together(sandbox: Means) -> None:
    evidence = turns(
        ("x = 17", "[No output]"), ("1 / 0", "error: ZeroDivisionError"), ("x * 3", "51")
    )
    candidate = Candidate(question=QUESTION, text="Answer: 51", evidence=evidence)
    assert (await CodeCheck().verify(candidate, sandbox)).passed is True
    assert sandbox.ledger.spent().tool_calls == 1


def test_code_in_the_text_comes_before_tool_calls() -> None:
    candidate = Candidate(
        question="", text="```python\n1 + 1\n```\nAnswer: 2", evidence=turns(("3 + 3", "6"))
    )
    assert own_code(candidate) == "1 + 1"


@pytest.mark.parametrize("code", ['print("Answer: 51")', "print(51)", "51", "print('51.0')"])
def test_code_that_only_prints_a_constant_is_no_code(code: str) -> None:
    assert own_code(block(code)) is None


def test_other_tools_and_broken_calls_are_no_code() -> None:
    broken: Message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "x",
                "type": "function",
                "function": {"name": "python", "arguments": "[" * 9_999},
            }
        ],
    }
    evidence = (*turns(("17 * 3", "51"), name="search"), broken)
    assert own_code(Candidate(question="", text="Answer: 51", evidence=evidence)) is None


async def test_without_code_the_model_is_asked_once_and_sees_only_the_question(
    means: Means, server: FaultServer
) -> None:
    server.reply = "```python\nprint(17 * 3)\n```"
    candidate = Candidate(question=QUESTION, text="It is secret work.\nAnswer: 51")
    verdict = await CodeCheck().verify(candidate, means)
    assert verdict.passed is True
    [request] = server.requests
    [message] = request.body["messages"]
    assert QUESTION in message["content"]
    assert "secret" not in message["content"]
    assert means.ledger.spent().calls == 1
    assert means.ledger.spent().tool_calls == 1


async def test_a_profile_can_turn_the_asking_off(means: Means, server: FaultServer) -> None:
    means.model.profile = Profile(prompts={"code.user": ""})
    candidate = Candidate(question=QUESTION, text="Answer: 51")
    assert (await CodeCheck().verify(candidate, means)).passed is None
    assert server.requests == []
