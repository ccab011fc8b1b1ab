"""Typed output: found in any form a model gives it, validated, compared field by field."""

import datetime
import json
import random
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel, Field

from mull.errors import WrongUsage
from mull.graphs.answers import comparable
from mull.graphs.output import InvalidOutput, Unreadable, resolve_output
from mull.graphs.output.keys import key_of
from mull.graphs.output.schemas import closed, is_strict, wrapped
from mull.graphs.samples import sample_of


class Line(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    number: int
    lines: list[Line]


class Tree(BaseModel):
    name: str
    children: list["Tree"] = Field(default_factory=list)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


INVOICE = Invoice(number=7, lines=[Line(name="ink", price=2.5)])
COMPACT = '{"number": 7, "lines": [{"name": "ink", "price": 2.5}]}'
PRETTY = json.dumps(json.loads(COMPACT), indent=2)
SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": False,
}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ANY = resolve_output(Any)


@pytest.mark.parametrize(
    "text",
    [
        COMPACT,
        PRETTY,
        f"So it is.\nAnswer: {COMPACT}",
        f"So it is.\n**Answer:** {COMPACT}",
        f"So it is.\nAnswer:\n{PRETTY}",
        f"So it is.\nAnswer: {COMPACT}\nI hope that this helps.",
        f"So it is.\nAnswer:\n```json\n{PRETTY}\n```",
        f"So it is.\n```json\n{PRETTY}\n```\nThat is all.",
        f"The shape is like this:\n```json\n[]\n```\nand so:\n```json\n{COMPACT}\n```",
        f"So it is.\n\n{PRETTY}\n\nThat is all.",
        f'{{"reasoning": "So\\nit is.", "output": {COMPACT}}}',
        f'```json\n{{"reasoning": "So it is.", "output": {COMPACT}}}\n```',
        f'{{"output": {COMPACT}}}',
        f'Answer: {{"output": {COMPACT}}}',
    ],
)
def test_an_output_is_found_in_every_form(text: str) -> None:
    assert resolve_output(Invoice).read(text) == INVOICE


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        (int, "9 + 20 = 29\nAnswer: 29", 29),
        (int, r"So \boxed{29}.", 29),
        (int, "29", 29),
        (str, "Answer: Paris", "Paris"),
        (Literal["red", "blue"], "Answer: **red**", "red"),
        (Colour, "Answer: red", Colour.RED),
        (datetime.date, "Answer: 2026-11-24", datetime.date(2026, 11, 24)),
        (list[int], "Answer: [1, 2]", [1, 2]),
        (set[int], "Answer: [2, 1]", {1, 2}),
        (Decimal, "Answer: 2.50", Decimal("2.50")),
        (Point, 'Answer: {"x": 1, "y": 2}', Point(1, 2)),
        (SCHEMA, 'Answer: {"total": 29}', {"total": 29}),
    ],
)
def test_whatever_pydantic_validates_is_a_type(wanted: Any, text: str, value: object) -> None:
    assert resolve_output(wanted).read(text) == value


def test_plain_values_have_the_names_of_the_schema() -> None:
    class Named(BaseModel):
        number: int = Field(alias="invoiceNumber")

    output = resolve_output(Named)
    assert list(output.schema["properties"]) == ["invoiceNumber"]
    assert output.plain_in('Answer: {"invoiceNumber": 7}') == {"invoiceNumber": 7}


def test_a_bare_answer_is_the_one_member_of_a_type_that_has_one() -> None:
    assert resolve_output(SCHEMA).read("9 + 20 = 29\nAnswer: 29") == {"total": 29}


def test_a_bare_answer_is_not_one_of_several_members() -> None:
    with pytest.raises(Unreadable):
        resolve_output(Point).read("Answer: 29")


def test_the_last_answer_line_counts() -> None:
    text = 'Answer: {"x": 1, "y": 2}\nNo, wait.\nAnswer: {"x": 3, "y": 4}'
    assert resolve_output(Point).read(text) == Point(3, 4)


def test_what_is_wrong_is_said_in_one_line() -> None:
    with pytest.raises(Unreadable) as raised:
        resolve_output(Invoice).read('Answer: {"number": "many"}')
    assert str(raised.value).startswith("number: Input should be a valid integer")
    assert "lines: Field required" in str(raised.value)


def test_a_json_schema_is_held_to() -> None:
    with pytest.raises(Unreadable, match=r"total: 'many' is not of type 'integer'"):
        resolve_output(SCHEMA).read('{"total": "many"}')


@pytest.mark.parametrize(
    "wanted",
    [
        5,
        "int",
        {"type": "objekt"},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "#/$defs/none"},
        {"const": float("nan")},
        open,
        lambda x: x,
    ],
)
def test_what_is_no_type_is_said_at_once(wanted: Any) -> None:
    with pytest.raises(WrongUsage, match="output_type"):
        resolve_output(wanted)


def test_a_text_states_its_output_in_its_last_answer_line() -> None:
    output = resolve_output(Invoice)
    said = f'{{"reasoning": "It has one line.", "output": {COMPACT}}}'
    assert output.stated(said) == f"It has one line.\n\nAnswer: {COMPACT}"


def test_an_answer_that_can_be_read_stays_as_it_was_written() -> None:
    text = "9+20=29\nAnswer: 29"
    assert resolve_output(SCHEMA).stated(text) == text


@given(JSON, st.text(alphabet="ab\n:{[`A ", max_size=20))
def test_what_is_stated_reads_as_the_same_output(value: Any, before: str) -> None:
    text = json.dumps({"reasoning": before, "output": value})
    stated = ANY.stated(text)
    assert ANY.read(stated) == ANY.read(text) == value
    assert comparable(stated) is not None


@given(st.text() | st.text(alphabet='{}[]":,`\n Answer1', max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    for output in (ANY, resolve_output(Invoice), resolve_output(SCHEMA)):
        assert output.key_in(text) == output.key_in(text)


@pytest.mark.parametrize("said", ["1e999", "NaN", '"\\ud800"', "[" * 900 + "]" * 900])
def test_what_json_cannot_hold_is_no_json(said: str) -> None:
    with pytest.raises(Unreadable):
        resolve_output(list[Any] | int).read(f"Answer: {said}")


@given(JSON)
def test_an_output_is_equal_to_itself_however_it_is_written(value: Any) -> None:
    shuffled = json.dumps(_shuffled(value), indent=2)
    assert ANY.key_in(shuffled) == ANY.key_in(json.dumps({"output": value})) == key_of(value)


@given(st.dictionaries(st.text(), st.integers(), min_size=1), st.data())
def test_one_field_that_differs_makes_another_output(
    fields: dict[str, int], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    other = {**fields, name: fields[name] + 1}
    small = {key: value % 1000 for key, value in fields.items()}
    assert key_of(small) != key_of({**small, name: small[name] + 1})
    assert key_of({**fields, f"{name}+": 0}) != key_of(other)


@given(st.lists(st.integers(0, 99), min_size=2, unique=True))
def test_lists_are_compared_in_order_and_sets_are_not(items: list[int]) -> None:
    assert key_of(items) != key_of(items[::-1])
    assert key_of(set(items)) == key_of(frozenset(sorted(items, reverse=True)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"price": 2}, {"price": 2.0}),
        ({"price": 0.1 + 0.2}, {"price": 0.3}),
        ({"city": "Paris"}, {"city": "  paris "}),
        ({"day": "24 November 2026"}, {"day": "2026-11-24"}),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
    ],
)
def test_fields_are_the_same_as_answers_are(one: object, other: object) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": True}, {"a": 1}),
        ({"a": "1"}, {"a": 1}),
        ({"a": None}, {}),
        ({"a": 1}, {"A": 1}),
        ([[1], 2], [1, [2]]),
        ("null", None),
        (float("inf"), float("-inf")),
    ],
)
def test_values_of_different_kinds_differ(one: object, other: object) -> None:
    assert key_of(one) != key_of(other)


def test_integers_too_long_to_write_out_are_compared_exactly() -> None:
    assert key_of(10**5000) != key_of(10**5000 + 1)


def test_outputs_of_any_type_have_keys() -> None:
    value = {"colour": Colour.RED, "at": datetime.date(2026, 11, 24), "raw": b"\xff"}
    assert key_of(value) == key_of(dict(reversed(value.items())))


@pytest.mark.parametrize("wanted", [Invoice, Tree, Point, int, list[Tree], SCHEMA])
@pytest.mark.parametrize("reasoned", [True, False])
def test_a_request_names_one_object_with_the_output_in_it(wanted: Any, reasoned: bool) -> None:
    output = resolve_output(wanted)
    form = output.response_format(reasoned=reasoned)["json_schema"]
    Draft202012Validator.check_schema(form["schema"])
    names = ["reasoning", "output"] if reasoned else ["output"]
    assert list(form["schema"]["properties"]) == form["schema"]["required"] == names


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}},
        {"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}},
    ],
)
def test_references_find_their_target_inside_the_request(schema: dict[str, Any]) -> None:
    inside = Draft202012Validator(wrapped(schema, reasoned=False))
    plain = Draft202012Validator(schema)
    values: list[Any] = [{"next": {"next": 5}}, {"next": {"next": {}}}, [1], ["x"], {"b": "x"}]
    for value in values:
        assert inside.is_valid({"output": value}) == plain.is_valid(value)


def test_a_schema_whose_objects_need_all_they_name_is_strict() -> None:
    assert is_strict(
        resolve_output(Invoice).response_format(reasoned=True)["json_schema"]["schema"]
    )
    assert not is_strict(closed({"properties": {"a": {}}, "required": []}))
    assert not is_strict({"type": "object", "additionalProperties": {"type": "integer"}})


def test_an_answer_without_its_output_is_an_error() -> None:
    with pytest.raises(InvalidOutput, match="no valid Point") as raised:
        resolve_output(Point).given("Answer: 5", "answered")
    assert raised.value.text == "Answer: 5"
    assert raised.value.errors == "the output: Input should be an object"


@pytest.mark.parametrize("wanted", [Point, str, Any])
@pytest.mark.parametrize("stopped", ["budget", "deadline", "refused"])
def test_a_run_that_was_cut_short_has_no_output(wanted: Any, stopped: str) -> None:
    assert resolve_output(wanted).given("It is", stopped) is None


def test_a_chain_that_was_cut_short_has_no_vote_even_where_any_text_is_an_output() -> None:
    text = resolve_output(str)
    assert sample_of("a", "Where?", "Let me see", ended="cut", output=text)["key"] is None
    assert sample_of("a", "Where?", "Paris", output=text)["key"] == text.key("Paris")


def _shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        names = list(value)
        random.Random(len(names)).shuffle(names)
        return {name: _shuffled(value[name]) for name in names}
    return [_shuffled(one) for one in value] if isinstance(value, list) else value
