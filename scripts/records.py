"""The run folder: finished steps, each as a JSON file, replies of the others, and the ledger."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..budgets import SQLiteStore
from ..budgets.private import private
from ..errors import MullError, StorageFailed, WrongUsage
from .replies import Replies
from .results import StepResult


@dataclass(frozen=True)
class Records:
    """The results in one run folder."""

    folder: Path

    def load(self, step: str, item: int | None, fingerprint: str) -> StepResult | None:
        """A stored result, where it is the answer to the same thing; else None."""
        try:
            stored = json.loads(self._file(step, item).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            told = f"{self._file(step, item)}: not a stored step ({error}): delete it"
            raise WrongUsage(told) from error
        if stored["fingerprint"] != fingerprint:
            return None
        self._replies(step, item).unlink(missing_ok=True)  # A kill may have left them.
        return StepResult.from_dict(stored["result"])

    def save(self, step: str, item: int | None, fingerprint: str, result: StepResult) -> None:
        """Store a result. A kill leaves the whole file or none. Raises `StorageFailed`."""
        stored = {"fingerprint": fingerprint, "result": result.as_dict()}
        file = self._file(step, item)
        try:
            text = json.dumps(stored, indent=1, ensure_ascii=False)
            write_whole(file, text, opener=private)
        except OSError as error:
            raise StorageFailed(f"{file}: {error.strerror}. Make room, and use --resume") from error

    @contextmanager
    def replies(
        self, step: str, item: int | None, fingerprint: str, lasting: Container[str]
    ) -> Iterator[Replies]:
        """The replies that a step, or an item, had before it was cut short; none once it ended.

        `lasting`: tools whose calls are not forgotten where it failed: they are not made again.
        """
        replies = Replies(self._replies(step, item), fingerprint)
        try:
            yield replies
        except StorageFailed:
            raise  # They are paid: the step goes on with them once there is room.
        except MullError:
            replies.keep_only(lasting)  # A step that failed is done again, from its beginning.
            raise
        replies.forget()

    def _file(self, step: str, item: int | None) -> Path:
        name = f"{step}.json" if item is None else f"{step}.{item}.json"
        return self.folder / "steps" / name

    def _replies(self, step: str, item: int | None) -> Path:
        return self._file(step, item).with_suffix(".jsonl")

    def store(self) -> SQLiteStore:
        """The ledger's books."""
        return SQLiteStore(self.folder / "ledger.db")


@contextmanager
def open_records(folder: Path, *, resume: bool) -> Iterator[Records]:
    """The run folder, held by this process alone.

    Raises `WrongUsage` when it cannot be made, another process runs in it, or it already holds a
    run and `resume` is false.
    """
    try:
        (folder / "steps").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUsage(f"the run folder {folder}: {error.strerror}") from error
    with _locked(folder):
        if not resume and (folder / "ledger.db").exists():
            raise WrongUsage(
                f"{folder} holds a run already: go on with it (--resume), or name another folder"
            )
        yield Records(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A lock that the system gives back when the process dies, on every platform: SQLite's."""
    lock = sqlite3.connect(folder / "lock.db", timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise WrongUsage(f"another process runs in {folder}: wait for it ({error})") from error
    try:
        yield
    finally:
        lock.close()


def write_whole(path: Path, text: str, opener: Callable[[str, int], int] | None = None) -> None:
    """Write a file so that a kill leaves the old one or the new one. Raises `OSError`.

    `opener`: as `open` takes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One process writes here, one file after the other: the name need not differ.
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8", opener=opener) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
