"""ThreadStore: where threads live: a folder with their checkpoints, artifacts and ledger."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..budgets import Budget, Ledger, Record, SQLiteStore
from ..budgets.owners import process_alive, this_process
from ..budgets.sqlite_file import SQLiteFile
from ..errors import StorageFailed, WrongUsage
from ..portal import run_blocking
from ..tools import Attachment
from ..tools.result import read
from .artifacts import Artifacts
from .conversation import Turn, state_of, turns_in
from .pending import Pending, pending_of

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.types import Interrupt

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS threads "
    "(id TEXT PRIMARY KEY, title TEXT, turns INTEGER, waiting INTEGER, updated REAL, "
    "tokens INTEGER) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS busy "
    "(thread TEXT PRIMARY KEY, owner TEXT, token TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS decisions "
    "(thread TEXT, id TEXT, said TEXT, PRIMARY KEY (thread, id)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS payers (thread TEXT PRIMARY KEY, payer TEXT) WITHOUT ROWID",
)
TITLE = 80
"""Characters of the first question that name a thread in a list."""
LONGEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadSummary:
    """One line of a list of threads."""

    id: str
    title: str
    """The beginning of its first question."""
    turns: int
    waiting: int
    """Decisions that it waits for."""
    updated: float
    """Seconds since the epoch."""
    tokens: int
    """What it had spent in all by then."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class ThreadStore:
    """The threads in a folder, which several processes may use at once.

    Args:
        folder: Where; it is made where it is missing. None: `mull/threads` among the user's data.

    Raises `WrongUsage` where the folder cannot be used.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = _default() if folder is None else Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise WrongUsage(f"threads in {self.folder}: {error.strerror}") from error
        self._checkpoints = self.folder / "checkpoints.sqlite"
        with ExitStack() as opened:
            try:
                # LangGraph would make it for all to read, and its switch to WAL fails beside
                # another process's.
                SQLiteFile(self._checkpoints, "", "FULL").close()
                self._artifacts = Artifacts(self.folder / "artifacts.sqlite")
                opened.callback(self._artifacts.close)
                for statement in SCHEMA:
                    self._artifacts.execute(statement)
                self.ledger_store = SQLiteStore(self.folder / "ledger.sqlite")
            except sqlite3.Error as error:
                raise WrongUsage(
                    f"threads in {self.folder}: {error}: name another folder"
                ) from error
            opened.pop_all()

    def ledger(
        self, thread: str, tenant: Ledger | None = None, budget: Budget | None = None
    ) -> Ledger:
        """The account of a thread, with its records; below `tenant` where there is one.

        Args:
            budget: The thread's limits from now on; None: those it has.

        Raises `WrongUsage` for a tenant whose books end with the process.
        """
        artifacts = self._artifacts.of(_known(thread))
        if tenant is None:
            return Ledger(
                budget, key=account_of(thread), store=self.ledger_store, recorder=artifacts
            )
        if not tenant.durable:
            raise WrongUsage(
                "a thread outlives the process, and its tenant's ledger is in memory: give the "
                "ledger a SQLiteStore"
            )
        return tenant.child(account_of(thread), budget, recorder=artifacts)

    def paid_by(self, thread: str, tenant: Ledger | None) -> None:
        """Note who pays for a thread: its limits and its spend are in that account.

        Raises `WrongUsage` where it was paid by another before.
        """
        payer = "" if tenant is None else tenant.key
        self._artifacts.execute("INSERT OR IGNORE INTO payers VALUES (?, ?)", (thread, payer))
        [(noted,)] = self._artifacts.execute("SELECT payer FROM payers WHERE thread = ?", (thread,))
        if noted != payer:
            who = f"the ledger {noted!r}" if noted else "no tenant's ledger"
            raise WrongUsage(
                f"thread {thread!r} is paid by {who}, which holds its limits: give the agent that "
                "one, or begin another thread"
            )

    @asynccontextmanager
    async def opened(self, thread: str) -> AsyncIterator[BaseCheckpointSaver[str]]:
        """A thread's checkpointer for the length of the block.

        Raises `StorageFailed` where the file cannot be read or written, in the block as well.
        """
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        from .serde import ArtifactSerde

        artifacts = self._artifacts.of(_known(thread))
        path = str(self._checkpoints)
        try:
            async with AsyncSqliteSaver.from_conn_string(path) as saver:
                saver.serde = ArtifactSerde(artifacts)
                await saver.conn.execute("PRAGMA busy_timeout = 30000")
                await saver.setup()
                yield saver
        except sqlite3.Error as error:
            raise StorageFailed(
                f"{path}: {error}. See that there is room and that the file is whole, and resume "
                f"the thread {thread!r}"
            ) from error

    @asynccontextmanager
    async def at_work(self, thread: str) -> AsyncIterator[None]:
        """Keep others from working on the thread meanwhile, in this process and in others.

        Raises `WrongUsage` where somebody is at work on it.
        """
        token = uuid.uuid4().hex
        self._take(thread, token)
        try:
            yield
        finally:
            self._artifacts.execute(
                "DELETE FROM busy WHERE thread = ? AND token = ?", (thread, token)
            )

    def _take(self, thread: str, token: str) -> None:
        for _ in range(2):
            self._artifacts.execute(
                "INSERT OR IGNORE INTO busy VALUES (?, ?, ?)", (thread, this_process(), token)
            )
            rows = self._artifacts.execute(
                "SELECT owner, token FROM busy WHERE thread = ?", (thread,)
            )
            if rows and rows[0][1] == token:
                return
            if rows and process_alive(rows[0][0]):
                break
            if rows:  # Its process was killed.
                self._artifacts.execute(
                    "DELETE FROM busy WHERE thread = ? AND token = ?", (thread, rows[0][1])
                )
        raise WrongUsage(f"thread {thread!r} is at work on a question: one at a time")

    def note(self, thread: str, title: str, turns: int, waiting: int, tokens: int) -> None:
        """Write a thread's line in the list."""
        short = " ".join(title.split())[:TITLE]
        self._artifacts.execute(
            "INSERT OR REPLACE INTO threads VALUES (?, ?, ?, ?, ?, ?)",
            (thread, short, turns, waiting, time.time(), tokens),
        )

    def made(self, thread: str, run: Ledger) -> list[Attachment]:
        """The files that tools have made in a run so far, in all its lives."""
        calls = self._artifacts.of(thread).called(run.root_key, _path(run))
        return [file for call in calls for file in read(call.replied).attachments]

    def outdate(self, thread: str, run: Ledger, but: Collection[str]) -> None:
        """A run failed over what it was told: when it goes on, all of it is asked again.

        `but`: tools whose calls are not made again.
        """
        self._artifacts.of(thread).outdate(run.root_key, _path(run), but)

    def decide(self, thread: str, decisions: Mapping[str, Any]) -> None:
        """Write down what was decided of what waits.

        Raises `WrongUsage` where something else was decided of it: the first decision stands.
        """
        kept = self.decided(thread)
        for id, said in decisions.items():
            if id in kept and kept[id] != json.loads(json.dumps(said)):
                raise WrongUsage(
                    f"it was decided of {id!r} before, otherwise: {kept[id]!r:.200}. That stands: "
                    "go on without this decision, or undo the run"
                )
        rows = [(thread, id, json.dumps(said)) for id, said in decisions.items()]
        self._artifacts.write(("INSERT OR IGNORE INTO decisions VALUES (?, ?, ?)", rows))

    def decided(self, thread: str) -> Mapping[str, Any]:
        """What was decided, by the id of what had waited."""
        rows = self._artifacts.execute("SELECT id, said FROM decisions WHERE thread = ?", (thread,))
        return {id: json.loads(said) for id, said in rows}

    def list(self) -> Sequence[ThreadSummary]:
        """Every thread, the one used last first."""
        rows = self._artifacts.execute(
            "SELECT id, title, turns, waiting, updated, tokens FROM threads ORDER BY updated DESC"
        )
        return [
            ThreadSummary(
                id=id,
                title=title,
                turns=turns,
                waiting=waiting,
                updated=updated,
                tokens=tokens,
            )
            for id, title, turns, waiting, updated, tokens in rows
        ]

    async def alist(self) -> Sequence[ThreadSummary]:
        """See `list`."""
        return self.list()

    def has(self, thread: str) -> bool:
        """Whether there is such a thread."""
        return bool(self._artifacts.execute("SELECT 1 FROM threads WHERE id = ?", (thread,)))

    def records(self, thread: str) -> Sequence[Record]:
        """Every call of the thread that was answered: prompts, replies, times."""
        return self._artifacts.of(self._there(thread)).records()

    async def ahistory(self, thread: str) -> tuple[Turn, ...]:
        """The turns of a thread, oldest first. Raises `WrongUsage` for an unknown one."""
        async with self.opened(self._there(thread)) as saver:
            return turns_in((await state_of(saver, thread)).values)

    def history(self, thread: str) -> tuple[Turn, ...]:
        """See `ahistory`."""
        return run_blocking(lambda: self.ahistory(thread))

    async def apending(self, thread: str) -> tuple[Pending, ...]:
        """The decisions that a thread waits for. Raises `WrongUsage` for an unknown one."""
        async with self.opened(self._there(thread)) as saver:
            return self.waiting(thread, (await state_of(saver, thread)).interrupts)

    def pending(self, thread: str) -> tuple[Pending, ...]:
        """See `apending`."""
        return run_blocking(lambda: self.apending(thread))

    def waiting(self, thread: str, interrupts: Sequence[Interrupt]) -> tuple[Pending, ...]:
        """What interrupts wait for, without what was decided in a life that was killed."""
        kept = self.decided(thread) if interrupts else {}
        return tuple(one for one in pending_of(thread, interrupts) if one.id not in kept)

    async def aexport(self, thread: str) -> dict[str, Any]:
        """All that is said in a thread, and what was spent on it; JSON-able."""
        turns = await self.ahistory(thread)
        with self.ledger_store.reading() as books:
            account = books.account(account_of(thread))
        return {
            "thread": thread,
            "turns": [turn.as_dict() for turn in turns],
            "spent": None if account is None else account.spent.as_dict(),
        }

    def export(self, thread: str) -> dict[str, Any]:
        """See `aexport`."""
        return run_blocking(lambda: self.aexport(thread))

    async def adelete(self, thread: str) -> None:
        """Forget what was said in a thread. Its limits, and what it spent, stay in the books.

        Raises `WrongUsage` for an unknown thread, and for one that is at work.
        """
        async with self.at_work(self._there(thread)), self.opened(thread) as saver:
            await saver.adelete_thread(thread)
            self._artifacts.of(thread).delete()
            for table, name in (("decisions", "thread"), ("payers", "thread"), ("threads", "id")):
                self._artifacts.execute(f"DELETE FROM {table} WHERE {name} = ?", (thread,))

    def delete(self, thread: str) -> None:
        """See `adelete`."""
        run_blocking(lambda: self.adelete(thread))

    def close(self) -> None:
        """Close the files."""
        self._artifacts.close()
        self.ledger_store.close()

    def _there(self, thread: str) -> str:
        if not self.has(_known(thread)):
            raise WrongUsage(f"there is no thread {thread!r} in {self.folder}")
        return thread


def account_of(thread: str) -> str:
    """The key of a thread's account."""
    return f"thread:{thread}"


def _path(run: Ledger) -> str:
    """What the ids of a run's calls begin with."""
    return run.key.removeprefix(f"{run.root_key}/") + "/"


def _known(thread: str) -> str:
    good = isinstance(thread, str) and 0 < len(thread) <= LONGEST_ID and thread.isprintable()
    if not good or "/" in thread:
        raise WrongUsage(
            f"thread {thread!r}: give a name of 1 to {LONGEST_ID} printable characters without /"
        )
    return thread


def _default() -> Path:
    import platformdirs

    if folder := os.environ.get("MULL_THREADS"):
        return Path(folder)
    return Path(platformdirs.user_data_dir("mull", appauthor=False)) / "threads"
