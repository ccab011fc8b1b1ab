"""Batch: a file of questions answered into a file of rows, as often interrupted as need be."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from ..agents import Agent
from ..agents.artifacts import Artifacts
from ..budgets import FREE, Budget, Ledger, SQLiteStore
from ..errors import WrongUsage
from ..portal import run_blocking
from .answering import Answering
from .digests import digest
from .executor import Executor, LocalExecutor
from .item import Item, Refused
from .progress import Progress
from .results import Results, ResultsFile
from .source import QuestionsFile

ACCOUNT = "batch"
"""Key of the root account in the ledger file."""

T = TypeVar("T")

Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a start of a batch ended."""

    stopped: Literal["finished", "budget", "interrupted"]
    """Every question has a row; the batch's budget ended; it was told to stop."""
    progress: Progress
    """Where the batch stands now."""


class Batch:
    """Answers questions from a file into a file, under one budget. Start it again to go on.

    Args:
        agent: Makes the agent that answers one question; the agent must pay from the ledger it is
            given (`Agent(..., ledger=ledger)`). Share a `Model` and tools between them.
        budget: Limits of each question, over all starts; a question's own limits win.
        total: Limits of the whole batch, over all starts. None: those given before, else none.
        concurrency: Questions in flight at once.
    """

    def __init__(
        self,
        agent: Callable[[Ledger], Agent],
        *,
        budget: Budget | str | None = None,
        total: Budget | str | None = None,
        concurrency: int = 16,
    ) -> None:
        self._agent = agent
        self._budget = _budget(budget) or Budget()
        self._total = _budget(total)
        self._concurrency = concurrency

    def run(
        self,
        questions: str | Path,
        results: str | Path,
        *,
        retry_errors: bool = False,
        stop: threading.Event | None = None,
        watch: Watch | None = None,
    ) -> Report:
        """Answer, and wait for it; in async code, use `arun`. Raises as `arun`."""
        return run_blocking(
            lambda: self.arun(questions, results, retry_errors=retry_errors, stop=stop, watch=watch)
        )

    async def arun(
        self,
        questions: str | Path,
        results: str | Path,
        *,
        retry_errors: bool = False,
        stop: threading.Event | None = None,
        watch: Watch | None = None,
    ) -> Report:
        """Answer every question that has no row in `results` yet.

        The account is kept beside it, in `RESULTS.ledger`, and the replies to questions that have
        no row yet in `RESULTS.replies`.

        Args:
            questions: JSON lines with `question`, and perhaps `id`, `depth` and `budget`.
            results: One row for each question, in the order they are finished.
            retry_errors: Ask again those whose row is an error.
            stop: Once it is set, no new question is begun, and those in flight are finished.
            watch: Called with the progress at the start and after every few rows.

        Raises:
            WrongUsage: an id is there twice, or a file cannot be used. Nothing was spent.
            BackendError: the backend cannot be reached, refuses the key or lacks the model. What
                was answered is kept, and the rest is left for the next start.
            StorageFailed: the disk does not take the results, the replies or the account. The rest
                is left for the next start; a reply that was kept is not paid again.
        """
        source, target = QuestionsFile(questions), Path(results)
        account = target.with_name(target.name + ".ledger")
        replies = target.with_name(target.name + ".replies")
        _check_files(source.path, target, account)
        asked = source.ids()
        with (
            closing(ResultsFile(target, retry_errors=retry_errors)) as kept,
            closing(_opened(account, SQLiteStore)) as store,
            closing(_opened(replies, Artifacts)) as known,
        ):
            ledger = Ledger(self._total, key=ACCOUNT, store=store)
            self._check_price(ledger)
            answering = Answering(self._agent, ledger, self._budget, known)
            executor = LocalExecutor(answering, self._concurrency)
            stopping = stop or threading.Event()
            items = _unfinished(source, kept, lambda: stopping.is_set() or answering.over())
            start = Progress(
                total=len(asked),
                earlier=asked.shared(kept.finished),
                failed=kept.failed,
                spent=ledger.spent(),
            )
            done = await _answer(items, executor, kept, known, ledger, start, watch or _unwatched)
            if done.finished == done.total:
                return Report(stopped="finished", progress=done)
            return Report(stopped="budget" if answering.over() else "interrupted", progress=done)

    def _check_price(self, ledger: Ledger) -> None:
        model = self._agent(ledger).model
        if model.price == FREE and (ledger.budget.cost, self._budget.cost) != (None, None):
            raise WrongUsage("a limit in dollars needs a price: without one, every call costs 0")


async def _answer(
    items: Iterator[Item | Refused],
    executor: Executor,
    kept: Results,
    replies: Artifacts,
    ledger: Ledger,
    progress: Progress,
    watch: Watch,
) -> Progress:
    """Keep the rows as they come. Returns the last progress."""
    started = time.monotonic()
    watch(progress)
    async with aclosing(executor.run(items)) as made:
        async for rows in made:
            kept.append(rows)
            for row in rows:
                replies.of(str(row.id)).delete()
            if kept.due():
                await asyncio.to_thread(kept.sync)
            progress = replace(
                progress,
                new=progress.new + len(rows),
                failed=progress.failed + sum(row.error is not None for row in rows),
                seconds=time.monotonic() - started,
                spent=ledger.spent(),
            )
            watch(progress)
    return replace(progress, seconds=time.monotonic() - started, spent=ledger.spent())


def _unfinished(
    source: QuestionsFile, kept: Results, ended: Callable[[], bool]
) -> Iterator[Item | Refused]:
    for item in source:
        if digest(item.id) in kept.finished:
            continue
        if ended():
            return
        yield item


def _unwatched(progress: Progress) -> None:
    """Where nobody looks."""


def _check_files(questions: Path, results: Path, account: Path) -> None:
    if results.exists() and questions.exists() and results.samefile(questions):
        raise WrongUsage(f"{results} holds the questions: name another file for the results")
    if account.exists() and not results.exists():
        raise WrongUsage(
            f"{results} is gone, and its account {account} is there: put the results back to go "
            "on, or remove the account to begin anew"
        )


def _opened(path: Path, kind: Callable[[Path], T]) -> T:
    try:
        return kind(path)
    except sqlite3.Error as error:
        raise WrongUsage(f"{path}: {error}. Is it a file of mull's?") from error


def _budget(budget: Budget | str | None) -> Budget | None:
    return Budget.parse(budget) if isinstance(budget, str) else budget
