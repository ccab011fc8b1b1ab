"""Artifacts: a list that grows costs what is added; threads keep apart; what is deleted is gone."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.agents.artifacts import Artifacts, Item, ThreadArtifacts
from mull.budgets import Record
from mull.errors import StorageFailed

ITEMS = st.lists(st.tuples(st.sampled_from(["msgpack", "json", "null"]), st.binary(max_size=40)))


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[Artifacts]:
    """An empty file of artifacts."""
    made = Artifacts(tmp_path / "artifacts.sqlite")
    yield made
    made.close()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[ThreadArtifacts]]:
    """Threads of one file, none of which was used before."""
    made = Artifacts(tmp_path_factory.mktemp("fresh") / "artifacts.sqlite")
    yield (made.of(str(number)) for number in itertools.count())
    made.close()


def item(number: int, size: int = 100) -> Item:
    return "json", f"{number:>{size}}".encode()


def record(call_id: str, messages: list[str]) -> Record:
    return Record(
        root="run",
        call_id=call_id,
        digest="d",
        kind="model",
        name="m",
        asked={"model": "m", "messages": messages, "tools": ["a tool"]},
        replied={"text": "42"},
        started=1.0,
        seconds=2.0,
    )


@given(ITEMS)
def test_a_list_comes_back_as_it_was_put(
    fresh: Iterator[ThreadArtifacts], items: list[Item]
) -> None:
    thread = next(fresh)
    assert thread.get(thread.put(items)) == items


@given(ITEMS, ITEMS)
def test_two_lists_have_one_name_exactly_where_they_are_equal(
    fresh: Iterator[ThreadArtifacts], one: list[Item], other: list[Item]
) -> None:
    thread = next(fresh)
    assert (thread.put(one) == thread.put(other)) is (one == other)
    assert thread.get(thread.put(one)) == one


def test_a_list_that_is_put_again_after_each_append_costs_what_was_appended(
    artifacts: Artifacts,
) -> None:
    thread, items = artifacts.of("x"), list[Item]()
    for number in range(200):
        items.append(item(number))
        thread.put(items)
    assert thread.size() == 200 * 100


def test_another_life_adds_to_a_list_and_does_not_write_it_anew(artifacts: Artifacts) -> None:
    items = [item(number) for number in range(50)]
    artifacts.of("x").put(items)
    thread = artifacts.of("x")
    name = thread.put([*items, item(50)])
    assert thread.size() == 51 * 100
    assert thread.get(name) == [*items, item(50)]


def test_two_threads_do_not_share(artifacts: Artifacts) -> None:
    one, other = artifacts.of("one"), artifacts.of("other")
    name = one.put([item(1)])
    with pytest.raises(StorageFailed, match="a piece of 'other' is missing"):
        other.get(name)
    assert other.put([item(1)]) == name
    one.delete()
    assert other.get(name) == [item(1)]
    with pytest.raises(StorageFailed, match="a piece of 'one' is missing"):
        one.get(name)


def test_a_list_of_which_a_piece_is_gone_is_told_and_not_taken_for_a_shorter_one(
    artifacts: Artifacts,
) -> None:
    thread = artifacts.of("x")
    first = thread.put([item(1)])
    name = thread.put([item(1), item(2)])
    artifacts.execute("DELETE FROM pieces WHERE digest = ?", (first,))
    with pytest.raises(StorageFailed, match=r"artifacts\.sqlite: a piece of 'x' is missing"):
        thread.get(name)


def test_a_power_cut_takes_nothing_that_was_written(artifacts: Artifacts) -> None:
    assert artifacts.execute("PRAGMA synchronous") == [(2,)]  # FULL


def test_a_call_and_what_it_said_are_kept_together_or_not_at_all(artifacts: Artifacts) -> None:
    artifacts.execute(
        "CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    )
    thread = artifacts.of("x")
    with pytest.raises(StorageFailed, match=r"artifacts\.sqlite: disk full"):
        thread.keep(record("1", ["one"]))
    assert thread.size() == 0
    artifacts.execute("DROP TRIGGER full")
    thread.keep(record("1", ["one"]))
    assert thread.records() == [record("1", ["one"])]


def test_a_record_comes_back_as_it_was_kept(artifacts: Artifacts) -> None:
    thread = artifacts.of("x")
    kept = [record("1", ["one"]), record("2", ["one", "two"]), record("3", [])]
    for made in kept:
        thread.keep(made)
    assert thread.records() == kept
    assert thread.recall("run", "2", "d") == kept[1]


def test_calls_that_repeat_what_was_said_before_cost_what_is_new(artifacts: Artifacts) -> None:
    thread = artifacts.of("x")
    turns = [f"{number:>500}" for number in range(100)]
    for number in range(100):
        thread.keep(record(str(number), turns[: number + 1]))
    assert thread.size() < 100 * 1000


def test_what_is_deleted_is_gone_from_every_table(artifacts: Artifacts) -> None:
    thread = artifacts.of("x")
    thread.put([item(1)])
    thread.keep(record("1", ["one"]))
    thread.delete()
    assert thread.records() == []
    assert thread.size() == 0
    for table in ("pieces", "records"):
        assert artifacts.execute(f"SELECT count(*) FROM {table}") == [(0,)]


def test_what_is_outdated_is_kept_and_not_recalled_but_for_the_tools_named(
    artifacts: Artifacts,
) -> None:
    thread = artifacts.of("x")
    said, sent, found = (record(f"1/{name}", ["one"]) for name in ("think", "send", "search"))
    sent = replace(sent, kind="tool", name="send")
    found, other = replace(found, kind="tool", name="search"), record("2/think", ["one"])
    kept = [said, sent, found, other]
    for one in kept:
        thread.keep(one)
    for _ in range(2):
        thread.outdate("run", "1/", ["send"])
        recalled = [thread.recall("run", one.call_id, "d") for one in kept]
        assert recalled == [None, sent, None, other]
    assert [replace(one, digest="d") for one in thread.records()] == kept
    thread.keep(said)
    assert thread.recall("run", said.call_id, "d") == said


def test_rows_are_written_all_or_none(artifacts: Artifacts) -> None:
    rows = [("x", "a", "", "json", b"1"), ("x", "a", "", "json", b"2")]
    with pytest.raises(StorageFailed, match="UNIQUE"):
        artifacts.write(("INSERT INTO pieces VALUES (?, ?, ?, ?, ?)", rows))
    assert artifacts.execute("SELECT count(*) FROM pieces") == [(0,)]


def test_a_thread_object_of_one_name_sees_what_another_wrote(artifacts: Artifacts) -> None:
    name = ThreadArtifacts(artifacts, "x").put([item(1)])
    assert artifacts.of("x").get(name) == [item(1)]
