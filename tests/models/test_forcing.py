"""Budget forcing: thinking is ended at its cap and made to go on below its floor."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from fault_server import Exchange, FaultServer, Reply
from hypothesis import given, settings
from hypothesis import strategies as st
from leftovers import Leftovers, check_books

from mull.budgets import Budget, BudgetExhausted, Ledger, Usage
from mull.errors import WrongUsage
from mull.models import (
    KeyRefused,
    Model,
    Request,
    Thinking,
    ask_forced,
    user,
)
from mull.models import Reply as Answered
from mull.models.demo import DEMO_PROFILE
from mull.models.forcing import LONGEST_NOTES, PROMPTS, split_thinking, thought_tokens

QUESTION = "How many?"
CLOSED = "\n</think>\n\n"
Say = Callable[[dict[str, Any]], Reply | str]


def thinks(words: int) -> str:
    return " ".join(f"t{number}" for number in range(words))


def last(body: dict[str, Any]) -> tuple[str, str]:
    """Role and content of the last message."""
    message = body["messages"][-1]
    return message["role"], message["content"]


async def forced(
    leftovers: Leftovers,
    thinking: Thinking,
    *,
    prefill: bool = True,
    ledger: Ledger | None = None,
    model: Model | None = None,
    prompts: dict[str, str] | None = None,
    **more: Any,
) -> Answered:
    """Ask the fault server; with `prefill`, as one that continues messages (vLLM's endpoints)."""
    leftovers.server.tokenizer = "vllm" if prefill else None
    model, ledger = model or leftovers.model(), ledger or leftovers.ledger()

    async def ask(request: Request, call_id: str) -> Answered:
        return await model.ask(request, ledger=ledger, call_id=call_id)

    request = Request(messages=[user(QUESTION)], **more)
    return await ask_forced(ask, request, "c", thinking, prefill=prefill, prompts=prompts)


def sent(exchange: Exchange) -> int:
    """The limit on the wire."""
    limit: int = exchange.body["max_tokens"]
    return limit


def check_sums(reply: Answered, server: FaultServer) -> None:
    """The joined reply's usage is what the server counted."""
    assert reply.usage.total_tokens == server.spent_tokens
    assert reply.usage.calls == len(server.requests)


# The cap


async def test_thinking_at_its_cap_is_closed_and_the_answer_asked_for(
    server: FaultServer, leftovers: Leftovers
) -> None:
    def say(body: dict[str, Any]) -> Reply:
        return Reply("Answer: 3" if last(body)[0] == "assistant" else "late", _first(body, 100))

    def _first(body: dict[str, Any], words: int) -> str:
        return "" if last(body)[0] == "assistant" else thinks(words)

    server.reply = say
    reply = await forced(leftovers, Thinking(at_most=10), max_tokens=50)
    assert (reply.reasoning, reply.text) == (thinks(10), "Answer: 3")
    assert reply.finish_reason == "stop"
    first, second = server.requests
    assert (sent(first), sent(second)) == (10, 40)
    assert last(second.body) == ("assistant", f"<think>\n{thinks(10)}{CLOSED}")
    assert second.body["continue_final_message"] is True
    assert second.body["chat_template_kwargs"] == {"enable_thinking": False}
    check_sums(reply, server)


async def test_without_prefill_the_answer_is_asked_for_in_a_next_turn_that_shows_notes(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: (
        "Answer: 3" if len(body["messages"]) > 1 else Reply("late", thinks(100))
    )
    reply = await forced(
        leftovers, Thinking(at_most=10), prefill=False, max_tokens=50, reasoning_effort="high"
    )
    assert (reply.reasoning, reply.text) == (thinks(10), "Answer: 3")
    first, second = server.requests
    assert (sent(first), sent(second)) == (10, 40)
    assert [message["role"] for message in second.body["messages"]] == ["user", "assistant", "user"]
    assert thinks(10) in second.body["messages"][1]["content"]
    assert last(second.body)[1] == PROMPTS["forcing.answer"]
    assert "continue_final_message" not in second.body
    assert [e.body["reasoning_effort"] for e in server.requests] == ["high", "low"]
    check_sums(reply, server)


@pytest.mark.parametrize("prefill", [True, False])
async def test_thinking_below_its_cap_is_one_call(
    prefill: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("Answer: 3", thinks(5))
    reply = await forced(leftovers, Thinking(at_most=50, at_least=5), prefill=prefill)
    assert (reply.reasoning, reply.text) == (thinks(5), "Answer: 3")
    assert len(server.requests) == 1


async def test_an_answer_that_the_cap_cuts_goes_on(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: (
        " four five" if last(body)[0] == "assistant" else Reply("one two three four", thinks(7))
    )
    reply = await forced(leftovers, Thinking(at_most=10), max_tokens=50)
    assert last(server.requests[1].body)[1] == f"<think>\n{thinks(7)}{CLOSED}one two three"
    assert (reply.reasoning, reply.text) == (thinks(7), "one two three four five")


async def test_a_request_whose_own_limit_is_used_up_is_not_continued(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("late", thinks(100))
    reply = await forced(leftovers, Thinking(at_most=10), max_tokens=10)
    assert (reply.text, reply.finish_reason) == ("", "length")
    assert len(server.requests) == 1


async def test_without_a_cap_a_reply_cut_by_its_own_limit_is_left_as_it_is(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("late", thinks(100))
    model = leftovers.model(profile=replace(DEMO_PROFILE, max_tokens=20))
    reply = await forced(leftovers, Thinking(at_least=50), model=model)
    assert reply.finish_reason == "length"
    assert len(server.requests) == 1


async def test_the_answer_is_asked_for_once(server: FaultServer, leftovers: Leftovers) -> None:
    """Not again and again where that reply is cut as well."""
    server.reply = lambda body: Reply("a " * 10_000)
    model = leftovers.model(profile=replace(DEMO_PROFILE, max_tokens=20))
    reply = await forced(leftovers, Thinking(at_most=10), model=model)
    assert [sent(exchange) for exchange in server.requests] == [10, 20]
    assert reply.finish_reason == "length"


async def test_an_answer_that_the_backend_takes_for_thinking_is_the_answer(
    server: FaultServer, leftovers: Leftovers
) -> None:
    """Parsers that wait for an end mark do not know that the prompt already had it."""
    server.reply = lambda body: Reply(
        "", "Answer: 3" if last(body)[0] == "assistant" else thinks(100)
    )
    reply = await forced(leftovers, Thinking(at_most=10), max_tokens=50)
    assert (reply.reasoning, reply.text) == (thinks(10), "Answer: 3")


@pytest.mark.parametrize("prefill", [True, False])
async def test_a_tool_call_that_the_cap_cuts_is_made_again(
    prefill: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    call = Reply("", tool_calls=[("add", {"a": 1, "b": [2, 3, 4, 5, 6, 7, 8, 9, 10]})])
    server.reply = lambda body: (
        call if len(body["messages"]) > 1 else replace(call, reasoning=thinks(8))
    )
    reply = await forced(leftovers, Thinking(at_most=10), prefill=prefill, max_tokens=50)
    assert [call.name for call in reply.tool_calls] == ["add"]
    assert reply.tool_calls[0].arguments.endswith("10]}")
    assert (reply.reasoning, reply.finish_reason) == (thinks(8), "tool_calls")


# The floor


CONTINUATIONS: dict[str, Say] = {
    "parsed": lambda body: Reply("Answer: 42", " a b"),
    "with its end mark in the text": lambda body: " a b\n</think>\n\nAnswer: 42",
    "with a second block": lambda body: "<think> a b</think>Answer: 42",
}


@pytest.mark.parametrize("kind", CONTINUATIONS)
async def test_thinking_that_stops_too_early_goes_on_after_wait(
    kind: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: (
        CONTINUATIONS[kind](body) if last(body)[0] == "assistant" else Reply("Answer: 3", thinks(4))
    )
    reply = await forced(leftovers, Thinking(at_least=5, at_most=40), max_tokens=90)
    first, second = server.requests
    assert last(second.body) == ("assistant", f"<think>\n{thinks(4)}\nWait")
    assert (sent(first), sent(second)) == (40, 36)
    assert " ".join(reply.reasoning.split()) == f"{thinks(4)} Wait a b"
    assert reply.text == "Answer: 42"
    check_sums(reply, server)


async def test_a_continuation_cut_before_its_end_mark_is_still_thinking(
    server: FaultServer, leftovers: Leftovers
) -> None:
    """It comes back as text, is closed at the cap, and answered."""

    def say(body: dict[str, Any]) -> Reply | str:
        role, content = last(body)
        if content.endswith("Wait"):
            return f" {thinks(100)}"
        return "Answer: 42" if role == "assistant" else Reply("Answer: 3", thinks(4))

    server.reply = say
    reply = await forced(leftovers, Thinking(at_least=5, at_most=20), max_tokens=90)
    assert [sent(exchange) for exchange in server.requests] == [20, 16, 68]
    assert last(server.requests[2].body)[1] == f"<think>\n{thinks(4)}\nWait {thinks(16)}{CLOSED}"
    assert reply.text == "Answer: 42"
    assert reply.reasoning == f"{thinks(4)}\nWait {thinks(16)}"


async def test_without_prefill_a_next_turn_asks_to_check_and_the_last_answer_counts(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: (
        Reply("Answer: 42", "b c") if len(body["messages"]) > 1 else Reply("Answer: 3", "a")
    )
    reply = await forced(leftovers, Thinking(at_least=2), prefill=False)
    second = server.requests[1].body["messages"]
    assert [message["content"] for message in second] == [
        QUESTION,
        "Answer: 3",
        PROMPTS["forcing.again"],
    ]
    assert (reply.reasoning, reply.text) == ("a\n\nb c", "Answer: 42")
    check_sums(reply, server)


@pytest.mark.parametrize("prefill", [True, False])
@pytest.mark.parametrize("waits", [0, 1, 3])
async def test_it_is_made_to_go_on_no_more_often_than_asked(
    waits: int, prefill: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("Answer: 3", "a")
    reply = await forced(leftovers, Thinking(at_least=100, waits=waits), prefill=prefill)
    assert len(server.requests) == waits + 1
    assert reply.text == "Answer: 3"


async def test_a_backend_that_does_not_count_thinking_is_counted_by_its_share(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.reply = "no_usage", lambda body: Reply("a" * 50, "b" * 50)
    await forced(leftovers, Thinking(at_least=50), prefill=False)
    await forced(leftovers, Thinking(at_least=51, waits=1), prefill=False)
    assert len(server.requests) == 1 + 2


async def test_a_reply_that_calls_tools_is_not_made_to_go_on(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("", "a", tool_calls=[("add", {})], finish_reason="stop")
    reply = await forced(leftovers, Thinking(at_least=100))
    assert len(server.requests) == len(reply.tool_calls) == 1


async def test_a_filtered_reply_is_not_made_to_go_on(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("I", "a", finish_reason="content_filter")
    await forced(leftovers, Thinking(at_least=100))
    assert len(server.requests) == 1


async def test_a_continuation_without_an_answer_leaves_the_one_before(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: (
        Reply("", thinks(100)) if last(body)[0] == "assistant" else Reply("Answer: 3", "a")
    )
    reply = await forced(leftovers, Thinking(at_least=5), max_tokens=20)
    assert (reply.text, reply.finish_reason) == ("Answer: 3", "stop")
    assert reply.reasoning.startswith("a\nWait t0 t1")
    check_sums(reply, server)


# Models that show no reasoning


async def test_a_text_that_the_cap_cuts_goes_on_where_it_stopped(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: (
        " three" if last(body)[0] == "assistant" else "one two three four five"
    )
    reply = await forced(leftovers, Thinking(at_most=2), max_tokens=9)
    assert last(server.requests[1].body) == ("assistant", "one two")
    assert (reply.reasoning, reply.text) == ("", "one two three")


async def test_hidden_thinking_that_the_cap_ends_is_asked_for_its_answer(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: (
        "Answer: 3" if len(body["messages"]) > 1 else Reply("", "", finish_reason="length")
    )
    reply = await forced(leftovers, Thinking(at_most=2), max_tokens=9)
    assert reply.text == "Answer: 3"
    assert all(message["content"] for message in server.requests[1].body["messages"])


async def test_a_text_is_made_to_go_on_in_a_next_turn(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: "Answer: 42" if len(body["messages"]) > 1 else "Answer: 3"
    reply = await forced(leftovers, Thinking(at_least=3), max_tokens=90)
    assert last(server.requests[1].body) == ("user", PROMPTS["forcing.again"])
    assert (reply.reasoning, reply.text) == ("", "Answer: 42")
    assert len(server.requests) == 2


async def test_a_lone_end_mark_ends_the_thinking(server: FaultServer, leftovers: Leftovers) -> None:
    """A server without a parser, whose template begins the thinking in the prompt."""
    server.reply = f"{thinks(5)}\n</think>\n\nAnswer: 3"
    reply = await forced(leftovers, Thinking(at_most=50))
    assert (reply.reasoning, reply.text) == (thinks(5) + "\n", "Answer: 3")


async def test_llama_cpp_goes_on_where_the_cap_cut_it(demo_url: str, leftovers: Leftovers) -> None:
    model, ledger = leftovers.model(demo_url, "demo", profile=DEMO_PROFILE), leftovers.ledger()

    async def ask(request: Request, call_id: str) -> Answered:
        return await model.ask(request, ledger=ledger, call_id=call_id)

    request = Request(messages=[user("What is 12 + 30?")], max_tokens=24, temperature=0)
    whole = await ask(request, "whole")
    cut = await ask_forced(ask, request, "cut", Thinking(at_most=3), prefill=True)
    assert [entry.call_id for entry in ledger.journal()] == ["whole#1", "cut#1", "cut/1#1"]
    assert "".join(cut.text.split()) == "".join(whole.text.split())
    assert cut.usage.output_tokens <= 24


# Failures


async def test_a_refused_continuation_becomes_a_next_turn(
    server: FaultServer, leftovers: Leftovers
) -> None:
    """llama.cpp refuses one while the model may think; templates drop thinking from it."""
    server.fault = ["none", "status_400", "none"]
    server.reply = lambda body: (
        "Answer: 3" if len(body["messages"]) > 1 else Reply("late", thinks(100))
    )
    reply = await forced(leftovers, Thinking(at_most=10), max_tokens=50)
    assert reply.text == "Answer: 3"
    assert last(server.requests[2].body) == ("user", PROMPTS["forcing.answer"])


@pytest.mark.parametrize("prefill", [True, False])
async def test_a_failing_continuation_leaves_what_was_answered(
    prefill: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.reply = ["none", "status_401"], lambda body: Reply("Answer: 3", "a")
    reply = await forced(leftovers, Thinking(at_least=100), prefill=prefill)
    assert (reply.reasoning, reply.text, reply.finish_reason) == ("a", "Answer: 3", "stop")


@pytest.mark.parametrize("prefill", [True, False])
async def test_a_failing_continuation_of_no_answer_is_an_error(
    prefill: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, server.reply = ["none", "status_401"], lambda body: Reply("late", thinks(100))
    with pytest.raises(KeyRefused):
        await forced(leftovers, Thinking(at_most=10), prefill=prefill, max_tokens=50)


async def test_a_continuation_that_the_budget_cannot_pay_leaves_what_was_answered(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("Answer: 3", "a")
    ledger = leftovers.ledger(Budget(calls=1))
    reply = await forced(leftovers, Thinking(at_least=100), ledger=ledger)
    assert reply.text == "Answer: 3"
    assert len(server.requests) == 1


async def test_a_continuation_of_no_answer_that_the_budget_cannot_pay_is_an_error(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("late", thinks(100))
    ledger = leftovers.ledger(Budget(calls=1))
    with pytest.raises(BudgetExhausted):
        await forced(leftovers, Thinking(at_most=10), ledger=ledger, max_tokens=50)


# The budget


@pytest.mark.parametrize("prefill", [True, False])
@pytest.mark.parametrize("tokens", [60, 150, 400, 2_000])
async def test_forced_calls_at_once_never_spend_more_than_the_budget(
    tokens: int, prefill: bool, server: FaultServer, leftovers: Leftovers
) -> None:
    server.bytes_per_token = 1
    server.reply = lambda body: Reply("Answer: 3", thinks(len(str(body["messages"])) % 40))
    ledger = leftovers.ledger(Budget(tokens=tokens))
    model = leftovers.model()
    call = partial(forced, leftovers, Thinking(at_least=15, at_most=20), prefill=prefill)
    replies = await asyncio.gather(
        *(
            call(model=model, ledger=ledger.child(f"branch{number}"), max_tokens=60)
            for number in range(8)
        ),
        return_exceptions=True,
    )
    assert all(isinstance(reply, Answered | BudgetExhausted) for reply in replies)
    assert server.spent_tokens <= ledger.spent().total_tokens <= tokens


@settings(max_examples=40)
@given(
    first=st.integers(0, 30),
    more=st.integers(0, 30),
    words=st.integers(0, 30),
    at_least=st.integers(0, 20),
    over=st.integers(0, 20),
    waits=st.integers(0, 3),
    max_tokens=st.none() | st.integers(1, 60),
)
def test_no_more_is_thought_than_the_cap_nor_said_than_the_request_allows(
    first: int,
    more: int,
    words: int,
    at_least: int,
    over: int,
    waits: int,
    max_tokens: int | None,
) -> None:
    """By the server's own count, whatever the model's lengths and the limits are."""
    thinking = Thinking(at_least=at_least, at_most=max(1, at_least + over), waits=waits)
    text = " ".join(["so"] * words)

    def say(body: dict[str, Any]) -> Reply:
        role, content = last(body)
        if role == "assistant":
            return Reply(text, thinks(more) if content.endswith("Wait") else "")
        return Reply(text, thinks(first))

    async def run() -> None:
        async with FaultServer(tokenizer="vllm", reply=say) as server:
            leftovers = Leftovers(server)
            ledger = leftovers.ledger()
            await forced(leftovers, thinking, ledger=ledger, max_tokens=max_tokens)
            check_books(ledger)
            thought = sum(exchange.reasoning_tokens for exchange in server.requests)
            said = sum(exchange.completion_tokens for exchange in server.requests)
            assert thought <= (thinking.at_most or 0)
            assert max_tokens is None or said <= max_tokens
            assert max_tokens is None or all(sent(e) <= max_tokens for e in server.requests)
            assert sent(server.requests[0]) <= (thinking.at_most or 0)
            assert len(server.requests) <= 2 + waits
            assert ledger.spent().total_tokens == server.spent_tokens
            await leftovers.check()

    asyncio.run(run())


# Settings


async def test_prompts_and_marks_can_be_replaced(server: FaultServer, leftovers: Leftovers) -> None:
    server.reply = lambda body: (
        "Answer: 3" if last(body)[0] == "assistant" else Reply("late", thinks(100))
    )
    marks = {"forcing.open": "[THINK]", "forcing.close": "[/THINK]"}
    await forced(leftovers, Thinking(at_most=2), max_tokens=50, prompts=marks)
    assert last(server.requests[1].body)[1] == "[THINK]t0 t1[/THINK]"


async def test_template_settings_of_the_request_are_kept_in_a_continuation(
    server: FaultServer, leftovers: Leftovers
) -> None:
    server.reply = lambda body: Reply("late", thinks(100))
    own = {"top_k": 3, "chat_template_kwargs": {"custom": 1}}
    await forced(leftovers, Thinking(at_most=2), max_tokens=50, extra_body=own)
    assert server.requests[1].body["top_k"] == 3
    expected = {"custom": 1, "enable_thinking": False}
    assert server.requests[1].body["chat_template_kwargs"] == expected


async def test_notes_are_shortened(server: FaultServer, leftovers: Leftovers) -> None:
    server.reply = lambda body: Reply("late", thinks(9_000))
    await forced(leftovers, Thinking(at_most=5_000), prefill=False, max_tokens=5_050)
    notes = server.requests[1].body["messages"][1]["content"]
    assert len(notes) < LONGEST_NOTES + 100
    assert "t0 t1" in notes
    assert notes.endswith("t4999")


async def test_logprobs_of_all_parts_are_kept(server: FaultServer, leftovers: Leftovers) -> None:
    server.reply = lambda body: " three" if last(body)[0] == "assistant" else "one two three"
    reply = await forced(leftovers, Thinking(at_most=2), max_tokens=9, logprobs=True)
    assert [token.token for token in reply.logprobs] == ["one", " two", " three"]


@pytest.mark.parametrize(
    "limits", [{"at_least": -1}, {"waits": -1}, {"at_most": 0}, {"at_least": 5, "at_most": 4}]
)
def test_limits_that_contradict_each_other_are_wrong_usage(limits: dict[str, int]) -> None:
    with pytest.raises(WrongUsage):
        Thinking(**limits)


async def test_a_request_that_is_a_continuation_is_wrong_usage(leftovers: Leftovers) -> None:
    with pytest.raises(WrongUsage):
        await forced(leftovers, Thinking(), continues=True)


# The pure parts


@pytest.mark.parametrize(
    ("said", "inside", "reasoning", "text"),
    [
        (Answered(text="so</think>\n\n42"), False, "so", "42"),
        (Answered(text="so</think>\n\n42"), True, "so", "42"),
        (Answered(text="see <think>so</think>"), True, "", "see <think>so</think>"),
        (Answered(text="so", finish_reason="length"), True, "so", ""),
        (Answered(text="so", finish_reason="length"), False, "", "so"),
        (Answered(text="42", finish_reason="stop"), True, "", "42"),
        (Answered(text="a </think> b", reasoning="so"), True, "so", "a </think> b"),
        (Answered(text="</think>" * 3), False, "", "</think></think>"),
    ],
)
def test_what_a_text_has_of_the_thinking_is_moved_there(
    said: Answered, inside: bool, reasoning: str, text: str
) -> None:
    part = split_thinking(said, PROMPTS, inside=inside)
    assert (part.reasoning, part.text) == (reasoning, text)


@given(st.text(), st.text(), st.integers(0, 10**6), st.integers(0, 10))
def test_no_more_tokens_were_thought_than_made(
    text: str, reasoning: str, output: int, reported: int
) -> None:
    usage = Usage(output_tokens=output, reasoning_tokens=min(reported, output))
    thought = thought_tokens(Answered(text=text, reasoning=reasoning, usage=usage))
    assert 0 <= thought <= output
