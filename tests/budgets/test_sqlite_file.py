"""SQLiteFile: its owner's alone, whole over a fork, and plain about what it cannot do."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from mull.budgets.sqlite_file import SQLiteFile
from mull.errors import StorageFailed

SCHEMA = "CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY)"


@contextmanager
def opened(path: Path) -> Iterator[SQLiteFile]:
    """A file of numbers."""
    with closing(SQLiteFile(path, SCHEMA, "NORMAL")) as file:
        yield file


@pytest.fixture
def open_to_all() -> Iterator[None]:
    """A process whose files are everybody's, unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_to_all")
def test_a_new_file_and_those_beside_it_are_their_owners_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as file:
        file.execute("INSERT INTO numbers VALUES (1)")
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}


@pytest.mark.usefixtures("open_to_all")
def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.touch(0o660)
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_failed_transaction_is_told_with_the_file_and_rolled_back(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as file:
        with (
            pytest.raises(StorageFailed, match=r"a\.db: UNIQUE .*\. See that there is room"),
            file.transaction() as db,
        ):
            db.executemany("INSERT INTO numbers VALUES (?)", [(1,), (1,)])
        assert file.execute("SELECT * FROM numbers") == []


def test_a_statement_that_fails_is_told_with_the_file(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "a.db") as file,
        pytest.raises(StorageFailed, match=r"a\.db: no such table: letters"),
    ):
        file.execute("SELECT * FROM letters")


def test_a_file_that_cannot_be_opened_is_not_left_open(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("This is no database, but it is long enough to be taken for one." * 20)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        SQLiteFile(path, SCHEMA, "NORMAL")
    assert str(path) not in [one.path for one in psutil.Process().open_files()]


def test_a_closed_file_is_not_opened_again(tmp_path: Path) -> None:
    file = SQLiteFile(tmp_path / "a.db", SCHEMA, "NORMAL")
    file.close()
    with pytest.raises(StorageFailed, match="closed"):
        file.execute("SELECT 1")


FORKING = """
import os, sys, threading, warnings
from pathlib import Path
from mull.budgets.sqlite_file import SQLiteFile

warnings.simplefilter("ignore")  # That a process with threads forks is what is tried here.
SCHEMA = "CREATE TABLE IF NOT EXISTS numbers (number, process)"
file = SQLiteFile(Path(sys.argv[1]), SCHEMA, "NORMAL")
begun = threading.Event()

def write():
    with file.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (-1, 'thread')")
        begun.set()
        for number in range(100_000):
            db.execute("SELECT 1")

thread = threading.Thread(target=write)
thread.start()
begun.wait()
child = os.fork()
for number in range(100):
    file.execute("INSERT INTO numbers VALUES (?, ?)", (number, "parent" if child else "child"))
if not child:
    os._exit(0)
thread.join()
_, status = os.waitpid(child, 0)
print(status, file.execute("SELECT process, count(*) FROM numbers GROUP BY 1 ORDER BY 1"))
"""


def test_a_fork_in_the_middle_of_a_threads_transaction_leaves_both_processes_the_file(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path / "a.db")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "0 [('child', 100), ('parent', 100), ('thread', 1)]"
