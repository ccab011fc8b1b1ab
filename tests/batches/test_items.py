"""Lines in: what is a question, what is refused, and ids that are there twice."""

import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.batches import Item, QuestionsFile, Refused
from mull.batches.digests import Digests, digest
from mull.batches.item import read_item
from mull.batches.source import LONGEST_LINE
from mull.budgets import Budget
from mull.errors import WrongUsage


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def test_a_line_gives_id_question_depth_and_budget_and_other_fields_are_left_alone() -> None:
    given = line(id="a", question="Why?", depth="vote", budget="tokens=90", label="x")
    assert read_item(given, 3) == Item(
        id="a", line=3, question="Why?", depth="vote", budget=Budget(tokens=90)
    )


def test_a_line_without_an_id_goes_by_its_number() -> None:
    assert read_item(line(question="Why?"), 7) == Item(id=7, line=7, question="Why?")


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        (b'{"question": "Wh\n', 4, "not JSON"),
        (b"[" * 100_000, 4, "not JSON"),
        (b'{"question": "\xff"}\n', 4, "not JSON"),
        (b'"Why?"\n', 4, "not an object"),
        (line(id="a"), "a", "no question"),
        (line(id="a", question=" "), "a", "no question"),
        (line(id="a", question="\ud800"), "a", "not Unicode"),
        (line(id="\ud800", question="Why?"), 4, "not Unicode"),
        (line(id=1.5, question="Why?"), 4, "neither text nor a whole number"),
        (line(id=True, question="Why?"), 4, "neither text nor a whole number"),
        (line(id="", question="Why?"), 4, "0 characters"),
        (line(id="a" * 201, question="Why?"), 4, "201 characters"),
        (line(id="a", question="Why?", depth="deep"), "a", "no depth 'deep'"),
        (line(id="a", question="Why?", depth=["vote"]), "a", "no depth"),
        (line(id="a", question="Why?", budget="token=5"), "a", "'token=5' is not one of"),
        (line(id="a", question="Why?", budget={"tokens": 5}), "a", "give text"),
    ],
)
def test_a_line_that_is_no_question_is_refused_with_its_reason(
    given: bytes, name: str | int, reason: str
) -> None:
    refused = read_item(given, 4)
    assert isinstance(refused, Refused)
    assert (refused.id, refused.line) == (name, 4)
    assert reason in refused.reason


def test_empty_lines_are_no_questions_and_count_as_lines(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + line(question="A?") + b"\n  \n" + line(question="B?"))
    assert [item.id for item in QuestionsFile(file)] == [1, 4]


def test_a_line_of_too_many_bytes_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"x" * (2 * LONGEST_LINE + 5) + b"\n" + line(question="B?"))
    long, short = QuestionsFile(file)
    assert isinstance(long, Refused)
    assert long.reason == "longer than 16 MiB"
    assert (short.id, short.line) == (2, 2)


@pytest.mark.parametrize("second", ["a", 1])
def test_an_id_that_is_there_twice_is_told_with_both_lines(
    tmp_path: Path, second: str | int
) -> None:
    file = tmp_path / "in.jsonl"
    rows = [line(question="A?"), line(id="a", question="B?"), line(id=second, question="C?")]
    file.write_bytes(b"".join(rows))
    first = 2 if second == "a" else 1
    with pytest.raises(WrongUsage, match=f"line 3: the id {second!r} is that of line {first}"):
        QuestionsFile(file).ids()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"none\.jsonl: No such file"):
        QuestionsFile(tmp_path / "none.jsonl").ids()


@given(st.lists(st.text()), st.lists(st.text()))
def test_digests_answer_as_a_set_of_the_ids_would(mine: list[str], others: list[str]) -> None:
    digests = Digests(array("Q", map(digest, mine)))
    assert [digest(name) in digests for name in others] == [name in mine for name in others]
    assert digests.repeated() == {digest(name) for name in mine if mine.count(name) > 1}
    once, also = set(mine), set(others)
    shared = Digests(array("Q", map(digest, once))).shared(Digests(array("Q", map(digest, also))))
    assert shared == len(once & also)
