"""Replies are put together from chunks, and nothing a backend sends breaks the builder."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.models.reply import Malformed, ReplyBuilder, TokenLogprob

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def nearly(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with these fields, each as expected, of another type, or not there."""
    loose = {name: value | JSON for name, value in fields.items()}
    return st.fixed_dictionaries({}, optional=loose)


TEXT = st.text(max_size=8)
CALL = nearly(
    index=st.integers(0, 2), id=TEXT, function=nearly(name=TEXT, arguments=TEXT), type=TEXT
)
DELTA = nearly(
    content=TEXT,
    reasoning=TEXT,
    reasoning_content=TEXT,
    refusal=TEXT,
    tool_calls=st.lists(CALL, max_size=2),
)
LOGPROB = nearly(
    token=TEXT, logprob=st.floats(-9, 0), top_logprobs=st.lists(nearly(token=TEXT), max_size=2)
)
CHOICE = nearly(
    delta=DELTA,
    finish_reason=st.sampled_from(["stop", "length", ""]),
    logprobs=nearly(content=st.lists(LOGPROB, max_size=2)),
)
USAGE = nearly(
    prompt_tokens=st.integers(-3, 100),
    completion_tokens=st.integers(-3, 100),
    prompt_tokens_details=nearly(cached_tokens=st.integers(0, 9)),
)
CHUNK = JSON | nearly(
    choices=st.lists(CHOICE, max_size=2),
    usage=USAGE,
    timings=nearly(predicted_n=st.integers(0, 100)),
    model=TEXT,
)


def piece(text: str = "", **more: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, **more}]}


def built(*chunks: dict[str, Any], max_tokens: int = 1000) -> ReplyBuilder:
    builder = ReplyBuilder(max_tokens)
    for chunk in chunks:
        builder.feed(chunk)
    return builder


@given(st.lists(CHUNK, max_size=6))
def test_nothing_but_malformed_is_ever_raised(chunks: list[Any]) -> None:
    builder = ReplyBuilder(50)
    for chunk in chunks:
        with contextlib.suppress(Malformed):
            builder.feed(chunk)
    builder.reply()
    assert builder.output_tokens() >= 0
    usage = builder.usage(prompt_bound=200, prompt_floor=3)
    assert usage.input_tokens >= 3


@given(st.lists(TEXT), st.none() | st.integers(-5, 100))
def test_no_fewer_tokens_are_charged_than_pieces_were_seen(
    texts: list[str], reported: int | None
) -> None:
    builder = built(*(piece(text) for text in texts))
    if reported is not None:
        builder.feed({"choices": [], "usage": {"completion_tokens": reported}})
    assert builder.output_tokens() >= sum(1 for text in texts if text)


@given(st.lists(TEXT))
def test_without_any_count_the_bytes_bound_the_tokens(texts: list[str]) -> None:
    builder = built(*(piece(text) for text in texts))
    assert builder.output_tokens() == len("".join(texts).encode("utf-8", "replace"))


@given(st.lists(TEXT | st.integers(0, 60), max_size=12))
def test_within_one_kind_of_count_the_tokens_never_go_down(parts: list[str | int]) -> None:
    """Bytes, and after the first count, counts: a count may replace what bytes had bounded."""
    builder, last, counted = ReplyBuilder(1000), 0, False
    for part in parts:
        if isinstance(part, str):
            builder.feed(piece(part))
        else:
            builder.feed({**piece(), "timings": {"predicted_n": part}})
            last = last if counted else 0
            counted = True
        assert builder.output_tokens() >= last
        last = builder.output_tokens()


@given(st.lists(st.integers(0, 9), min_size=1))
def test_the_pieces_add_up_to_the_text(sizes: list[int]) -> None:
    texts = ["x" * size for size in sizes]
    assert built(*(piece(text) for text in texts)).reply().text == "".join(texts)


def test_tokens_without_logprobs_are_charged_by_their_bytes_beside_others_with() -> None:
    listed = {"content": [{"token": "ab", "logprob": -1}]}
    thought = {"choices": [{"delta": {"reasoning": "twelve bytes"}}]}
    assert built(thought, piece("ab", logprobs=listed)).output_tokens() == 12 + 1


def test_a_reply_beyond_its_limit_is_an_overrun() -> None:
    assert not built(*(piece("a") for _ in range(5)), max_tokens=5).overrun
    builder = built(*(piece("a") for _ in range(6)), max_tokens=5)
    assert builder.overrun
    assert builder.finish_reason == "length"


def test_a_few_huge_pieces_are_an_overrun_too() -> None:
    assert built(piece("a" * 100_000), max_tokens=5).overrun


def test_a_prompt_count_that_cannot_be_true_is_replaced_by_the_bound() -> None:
    builder = built({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 0}})
    assert builder.usage(prompt_bound=90, prompt_floor=3).input_tokens == 90
    assert builder.usage(prompt_bound=90, prompt_floor=2).input_tokens == 2


@pytest.mark.parametrize(
    ("text", "reasoning", "rest"),
    [
        ("<think>why</think>yes", "why", "yes"),
        ("\n<think>\nwhy\n</think>\n\nyes", "why", "yes"),
        ("<think>why", "why", ""),
        ("yes <think>why</think>", "", "yes <think>why</think>"),
    ],
)
def test_only_a_leading_think_block_is_reasoning(text: str, reasoning: str, rest: str) -> None:
    reply = built(piece(text)).reply()
    assert (reply.reasoning, reply.text) == (reasoning, rest)


def test_tool_calls_without_ids_get_some() -> None:
    calls = [{"index": index, "function": {"name": "add", "arguments": "{}"}} for index in range(2)]
    reply = built({"choices": [{"delta": {"tool_calls": calls}}]}).reply()
    assert [call.id for call in reply.tool_calls] == ["call_0", "call_1"]


def spoken(token: str) -> dict[str, Any]:
    return {"logprobs": {"content": [{"token": token, "logprob": -1}]}}


@given(st.lists(st.tuples(TEXT, st.booleans()), max_size=9))
def test_the_logprobs_of_the_deltas_are_those_of_the_reply_up_to_the_last_delta(
    parts: list[tuple[str, bool]],
) -> None:
    builder, said = ReplyBuilder(1000), 0
    heard: list[TokenLogprob] = []
    for text, listed in parts:
        delta = builder.feed(piece(text, **(spoken(text) if listed else {})))
        if delta is not None:
            heard += delta.logprobs
            said = len(builder.reply().logprobs)
    assert tuple(heard) == builder.reply().logprobs[:said]


def test_a_delta_brings_the_logprobs_of_tokens_that_had_no_text_yet() -> None:
    """Half of a character has no text; its logprob is not lost."""
    builder = ReplyBuilder(10)
    assert builder.feed(piece("", **spoken("\ufffd"))) is None
    delta = builder.feed(piece("ü", **spoken("ü")))
    assert delta is not None
    assert delta.logprobs == (TokenLogprob("\ufffd", -1), TokenLogprob("ü", -1))
