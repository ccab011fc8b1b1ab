"""Rows out: whole, kept through crashes, and never written over something else."""

import json
import os
from pathlib import Path

import pytest

from mull.batches import ResultsFile, Row, results
from mull.batches.digests import digest
from mull.errors import MullError, WrongUsage

GOOD = Row(id="good", answer="Answer: 4", stopped="answered")
BAD = Row(id="bad", error={"type": "BackendFailed", "message": "it broke"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Results with one answer and one error."""
    file = tmp_path / "out.jsonl"
    file.write_bytes(GOOD.encoded() + BAD.encoded())
    return file


def test_a_row_is_one_line_whatever_its_text() -> None:
    encoded = Row(id="a", answer="two\nlines \u2028 \ud800").encoded()
    assert encoded.count(b"\n") == len(encoded.splitlines()) == 1
    assert json.loads(encoded)["answer"] == "two\nlines \u2028 \ud800"


def test_opening_finds_what_is_finished_and_counts_errors(file: Path) -> None:
    kept = ResultsFile(file)
    kept.close()
    assert [digest(name) in kept.finished for name in ("good", "bad", "new")] == [True, True, False]
    assert kept.failed == 1


@pytest.mark.parametrize("cut", [1, 5, 20, len(BAD.encoded()) - 2])
def test_a_torn_last_line_is_cut_off(file: Path, cut: int) -> None:
    os.truncate(file, len(GOOD.encoded()) + cut)
    kept = ResultsFile(file)
    kept.append([Row(id="new")])
    kept.close()
    assert file.read_bytes() == GOOD.encoded() + Row(id="new").encoded()


def test_a_last_row_that_lacks_only_its_end_is_kept(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)
    kept = ResultsFile(file)
    kept.close()
    assert digest("bad") in kept.finished
    assert file.read_bytes() == GOOD.encoded() + BAD.encoded()


def test_errors_are_dropped_to_be_asked_again(file: Path) -> None:
    kept = ResultsFile(file, retry_errors=True)
    assert digest("bad") not in kept.finished
    assert kept.failed == 0
    kept.append([Row(id="bad", answer="4")])
    kept.close()
    assert file.read_bytes() == GOOD.encoded() + Row(id="bad", answer="4").encoded()
    assert os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize(
    "other",
    [
        b"some notes",
        b"some notes\n",
        b'{"id": 1, "question": "Why?"}\n',
        b'{"id": 1, "question": "Why?"}',
        GOOD.encoded() + b"[1]\n" + b'{"id": 2, "ans',
    ],
)
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, other: bytes) -> None:
    file = tmp_path / "notes"
    file.write_bytes(other)
    with pytest.raises(WrongUsage, match="holds something else"):
        ResultsFile(file, retry_errors=True)
    assert file.read_bytes() == other


def test_a_file_has_one_writer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PATIENCE", 0.0)
    first = ResultsFile(file, retry_errors=True)
    with pytest.raises(WrongUsage, match="another process is writing it"):
        ResultsFile(file)
    first.close()
    ResultsFile(file).close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path) -> None:
    kept = ResultsFile(tmp_path / "out.jsonl")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, kept._file.fileno())
    os.close(full)
    with pytest.raises(MullError, match=r"No space left on device. Make room"):
        kept.append([GOOD])
    kept._file.close()
