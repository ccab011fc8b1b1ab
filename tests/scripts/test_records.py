"""The run folder: what was paid for outlives a full disk, and is its owner's alone."""

import json
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_server import FaultServer

from mull import Model, WrongUsage
from mull.budgets import Record
from mull.errors import StorageFailed
from mull.scripts import Script
from mull.scripts.records import Records
from mull.scripts.replies import Replies
from mull.scripts.results import StepResult

RESULT = StepResult(state="done", answer="3", text="3")


def record(call: str, said: str = "3") -> Record:
    return Record(
        root="script",
        call_id=call,
        digest="d",
        kind="model",
        name="m",
        asked={},
        replied={"text": said},
        started=1.0,
        seconds=0.5,
    )


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the system refuses, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """An empty run folder."""
    (tmp_path / "steps").mkdir()
    return Records(tmp_path)


def answered(records: Records, then: Callable[[Replies], None]) -> None:
    """A step that had one reply, and goes on."""
    with records.replies("a", None, "same", ()) as replies:
        replies.keep(record("one"))
        then(replies)


def known(records: Records, call: str) -> bool:
    """Whether the reply to a call of the step is kept."""
    file = records.folder / "steps" / "a.jsonl"
    return Replies(file, "same").recall("script", call, "d") is not None


def test_replies_outlive_a_disk_that_does_not_take_the_result(records: Records) -> None:
    def save(replies: Replies) -> None:
        with room(16):
            records.save("a", None, "same", RESULT)

    with pytest.raises(StorageFailed, match=r"a\.json: .*Make room, and use --resume"):
        answered(records, save)
    assert known(records, "one")


def test_replies_outlive_a_disk_that_does_not_take_the_next_one(records: Records) -> None:
    def ask(replies: Replies) -> None:
        with room(1000):
            replies.keep(record("two", "so " * 1000))

    with pytest.raises(StorageFailed, match=r"a\.jsonl: .*go on with --resume"):
        answered(records, ask)
    assert known(records, "one")


def test_half_a_reply_does_not_spoil_the_next_one(records: Records) -> None:
    file = records.folder / "steps" / "a.jsonl"
    replies = Replies(file, "same")
    replies.keep(record("one"))
    with room(1000), pytest.raises(StorageFailed):
        replies.keep(record("two", "so " * 1000))
    replies.keep(record("three"))
    assert [known(records, call) for call in ("one", "two", "three")] == [True, False, True]


async def test_a_step_whose_result_found_no_room_is_not_paid_again(
    adder: FaultServer, tmp_path: Path
) -> None:
    file, folder = tmp_path / "one.yaml", tmp_path / "run"
    file.write_text("steps: [{id: a, question: '1 and 2', depth: direct}]")
    blocked = folder / "steps" / ".a.json.tmp"
    blocked.mkdir(parents=True)
    model, script = Model("m", adder.base_url), Script.load(file)
    assert (await script.arun(model, folder=folder)).steps["a"].state == "failed"
    blocked.rmdir()
    assert (await script.arun(model, folder=folder, resume=True)).ok
    assert len(adder.requests) == 1


def test_a_step_that_failed_of_itself_leaves_no_replies(records: Records) -> None:
    def fail(replies: Replies) -> None:
        raise WrongUsage("An unknown depth")

    with pytest.raises(WrongUsage):
        answered(records, fail)
    assert not known(records, "one")


def test_replies_and_results_are_their_owners_alone(records: Records) -> None:
    before = os.umask(0)
    try:
        with records.replies("a", None, "same", ()) as replies:
            replies.keep(record("one"))
            records.save("a", None, "same", RESULT)
            made = list((records.folder / "steps").iterdir())
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in made}
    finally:
        os.umask(before)
    assert modes == {"a.json": 0o600, "a.jsonl": 0o600}
    assert json.loads((records.folder / "steps" / "a.json").read_text())["fingerprint"] == "same"
