"""Records: a call is known again by its root, its id and what was asked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.agents.artifacts import Artifacts, ThreadArtifacts
from mull.budgets import Ledger, Recorder
from mull.budgets.records import digest_of

ASKED = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
    max_size=4,
)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[ThreadArtifacts]:
    """A recorder that is a file."""
    artifacts = Artifacts(tmp_path / "artifacts.sqlite")
    yield artifacts.of("x")
    artifacts.close()


def keep(ledger: Ledger, call_id: str = "call", digest: str = "d", reply: str = "42") -> None:
    ledger.record("model", "m", call_id, digest, {"messages": []}, {"text": reply}, 1.5)


def text(ledger: Ledger, call_id: str = "call", digest: str = "d") -> str | None:
    record = ledger.recall(call_id, digest)
    return None if record is None else record.replied["text"]


@given(one=ASKED, other=ASKED)
def test_two_questions_have_one_digest_exactly_where_their_json_is_the_same(
    one: dict[str, object], other: dict[str, object]
) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest_of(one) == digest_of(other)) is same
    assert digest_of(dict(reversed(one.items()))) == digest_of(one)


def test_a_digest_is_the_same_in_every_process() -> None:
    assert digest_of({"b": ["é", None], "a": 1}) == "abf57f800faaeaddfd385c1eafba7309"


def test_without_a_recorder_nothing_is_kept_and_nothing_recalled() -> None:
    ledger = Ledger()
    keep(ledger)
    assert ledger.recall("call", "d") is None


def test_a_call_is_recalled_by_a_later_life_of_its_run(recorder: Recorder) -> None:
    keep(Ledger(key="run", recorder=recorder))
    assert text(Ledger(key="run", recorder=recorder)) == "42"


@pytest.mark.parametrize(
    ("root", "call_id", "digest"),
    [("another", "call", "d"), ("run", "another", "d"), ("run", "call", "another")],
)
def test_another_run_another_id_or_another_question_is_another_call(
    recorder: Recorder, root: str, call_id: str, digest: str
) -> None:
    keep(Ledger(key="run", recorder=recorder))
    assert text(Ledger(key=root, recorder=recorder), call_id, digest) is None


def test_branches_may_use_the_same_ids(recorder: Recorder) -> None:
    run = Ledger(key="run", recorder=recorder)
    for name in ("one", "two"):
        keep(run.child(name), reply=name)
    assert [text(run.child(name)) for name in ("one", "two")] == ["one", "two"]
    assert text(run) is None
    assert text(run, "one/call") == "one"


def test_the_first_record_of_a_call_stands(recorder: Recorder) -> None:
    run = Ledger(key="run", recorder=recorder)
    keep(run, reply="first")
    keep(run, reply="second")
    assert text(run) == "first"


def test_a_child_may_have_a_recorder_of_its_own(recorder: ThreadArtifacts, tmp_path: Path) -> None:
    tenant = Ledger(key="tenant", recorder=recorder)
    other = Artifacts(tmp_path / "other.sqlite").of("y")
    keep(tenant.child("thread", recorder=other))
    assert recorder.records() == []
    assert [record.call_id for record in other.records()] == ["thread/call"]


def test_a_record_tells_what_was_asked_and_how_long_it_took(recorder: ThreadArtifacts) -> None:
    keep(Ledger(key="run", recorder=recorder))
    [record] = recorder.records()
    assert (record.kind, record.name, record.asked, record.seconds) == (
        "model",
        "m",
        {"messages": []},
        1.5,
    )
