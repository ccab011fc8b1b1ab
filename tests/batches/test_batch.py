"""A batch in this process: one row for each question, under its budgets, as often as it starts."""

import asyncio
import json
import os
import sqlite3
import stat
import threading
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply
from leftovers import Leftovers, check_books, until

from mull.agents import Agent
from mull.batches import Batch, Progress, Report
from mull.budgets import Budget, Ledger, Price, SQLiteStore
from mull.errors import StorageFailed, WrongUsage
from mull.models import KeyRefused, Model, Profile, Unreachable


@dataclass
class Work:
    """Questions, results, and the model that gets from one to the other."""

    folder: Path
    model: Model

    @property
    def questions(self) -> Path:
        return self.folder / "in.jsonl"

    @property
    def results(self) -> Path:
        return self.folder / "out.jsonl"

    def ask(self, *rows: dict[str, Any]) -> None:
        """Write the input."""
        self.questions.write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def start(
        self, *, batch: dict[str, Any] | None = None, model: Model | None = None, **options: Any
    ) -> Report:
        """Start the batch, and check its books afterwards."""
        asked = model or self.model

        def agent(ledger: Ledger) -> Agent:
            return Agent(asked, depth="direct", ledger=ledger)

        try:
            return await Batch(agent, **(batch or {})).arun(self.questions, self.results, **options)
        finally:
            self.check()

    def check(self) -> None:
        """The books balance."""
        if (account := self.folder / "out.jsonl.ledger").exists():
            with closing(SQLiteStore(account)) as store:
                check_books(Ledger(key="batch", store=store))

    def rows(self) -> dict[str | int, dict[str, Any]]:
        """The output's rows under their ids; no id is there twice."""
        rows = [json.loads(line) for line in self.results.read_text().splitlines()]
        named = {row["id"]: row for row in rows}
        assert len(named) == len(rows)
        return named


@pytest.fixture
def work(tmp_path: Path, leftovers: Leftovers) -> Work:
    """Work in a folder of its own, with three questions."""
    work = Work(tmp_path, leftovers.model(profile=Profile(max_tokens=100)))
    work.ask(*({"id": name, "question": f"{name}?"} for name in "abc"))
    return work


async def test_every_question_gets_one_row_and_the_rows_add_up_to_the_account(
    work: Work, server: FaultServer
) -> None:
    report = await work.start()
    rows = work.rows()
    assert set(rows) == {"a", "b", "c"}
    assert all(row["answer"] and row["error"] is None for row in rows.values())
    assert report.stopped == "finished"
    spent = report.progress.spent
    assert sum(row["usage"]["total_tokens"] for row in rows.values()) == spent.total_tokens
    assert (spent.calls, spent.total_tokens) == (3, server.spent_tokens)


async def test_a_second_start_asks_only_what_is_new(work: Work, server: FaultServer) -> None:
    await work.start()
    work.ask(*({"id": name, "question": f"{name}?"} for name in "dcba"))
    report = await work.start()
    assert (report.stopped, report.progress.earlier, report.progress.new) == ("finished", 3, 1)
    assert len(server.requests) == 4
    assert set(work.rows()) == set("abcd")


async def test_a_refused_line_is_an_error_row_and_costs_nothing(
    work: Work, server: FaultServer
) -> None:
    work.questions.write_text('{"id": "a", "question": "a?"}\n{"id": "b", "ques\n{"id": "c"}\n')
    report = await work.start()
    rows = work.rows()
    assert rows[2]["error"]["message"].startswith("line 2: not JSON")
    assert rows["c"]["error"]["type"] == "Refused"
    assert rows["c"]["answer"] is None
    assert (report.progress.failed, len(server.requests)) == (2, 1)


async def test_an_id_that_is_there_twice_is_told_before_anything_is_asked(
    work: Work, server: FaultServer
) -> None:
    work.ask({"id": "a", "question": "a?"}, {"id": "a", "question": "b?"})
    with pytest.raises(WrongUsage, match="line 2: the id 'a' is that of line 1"):
        await work.start()
    assert server.requests == []
    assert not work.results.exists()


async def test_no_more_questions_are_in_flight_than_asked_for(
    work: Work, server: FaultServer
) -> None:
    server.delay = 0.01
    work.ask(*({"question": f"{number}?"} for number in range(12)))
    await work.start(batch={"concurrency": 3})
    assert server.peak_active == 3
    assert set(work.rows()) == set(range(1, 13))


async def test_each_question_has_the_budget_and_its_own_limits_win(
    work: Work, server: FaultServer
) -> None:
    work.ask(
        {"id": "a", "question": "a?"},
        {"id": "b", "question": "b?", "budget": "calls=0"},
        {"id": "c", "question": "c?", "budget": "tokens=5000"},
    )
    await work.start(batch={"budget": "tokens=1"})
    stopped = {name: (row["stopped"], row["answer"] != "") for name, row in work.rows().items()}
    assert stopped == {"a": ("budget", False), "b": ("budget", False), "c": ("answered", True)}
    assert len(server.requests) == 1


async def test_when_the_whole_budget_ends_the_rest_is_left_for_a_larger_one(work: Work) -> None:
    work.ask(*({"question": f"{number}?"} for number in range(20)))
    limits = Budget(tokens=600)
    report = await work.start(batch={"total": limits})
    spent = report.progress.spent.total_tokens
    assert report.stopped == "budget"
    assert spent <= 600
    finished = len(work.rows())
    assert 0 < finished == report.progress.finished < 20
    assert all(row["answer"] for row in work.rows().values())
    report = await work.start(batch={"total": Budget(tokens=5000)})
    assert (report.stopped, report.progress.earlier, len(work.rows())) == ("finished", finished, 20)
    assert report.progress.spent.total_tokens > spent


async def test_a_whole_budget_that_is_used_up_asks_nothing(work: Work, server: FaultServer) -> None:
    report = await work.start(batch={"total": Budget(calls=0)})
    assert (report.stopped, report.progress.new, server.requests) == ("budget", 0, [])


async def test_an_error_is_a_row_and_is_asked_again_on_request_only(
    work: Work, server: FaultServer
) -> None:
    server.fault = ["status_400", "none"]
    report = await work.start(batch={"concurrency": 1})
    assert report.progress.failed == 1
    assert work.rows()["a"]["error"]["type"] == "BadRequest"
    assert work.rows()["b"]["error"] is None
    report = await work.start()
    assert (report.progress.failed, report.progress.new) == (1, 0)
    report = await work.start(retry_errors=True)
    assert (report.progress.failed, report.progress.new) == (0, 1)
    assert work.rows()["a"]["answer"]
    assert work.rows()["a"]["usage"]["calls"] == 2


async def test_a_questions_budget_holds_over_all_starts(work: Work, server: FaultServer) -> None:
    server.fault = ["status_400", "none"]
    batch = {"concurrency": 1, "budget": "calls=1"}
    await work.start(batch=batch)
    await work.start(batch=batch, retry_errors=True)
    assert work.rows()["a"]["stopped"] == "budget"
    assert len(server.requests) == 3


async def test_a_backend_that_refuses_the_key_ends_the_batch_and_fails_no_question(
    work: Work, server: FaultServer
) -> None:
    server.fault = ["none", "status_401", "none"]
    with pytest.raises(KeyRefused):
        await work.start(batch={"concurrency": 1})
    assert set(work.rows()) == {"a"}
    assert (await work.start()).stopped == "finished"
    assert set(work.rows()) == set("abc")


async def test_a_backend_that_is_gone_ends_the_batch_and_fails_no_question(
    work: Work, leftovers: Leftovers
) -> None:
    with pytest.raises(Unreachable):
        await work.start(model=leftovers.model("http://127.0.0.1:9/v1"))
    assert work.rows() == {}
    assert (await work.start()).stopped == "finished"


async def test_what_is_in_flight_is_finished_when_it_is_told_to_stop(
    work: Work, server: FaultServer
) -> None:
    stop = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.new:
            stop.set()

    report = await work.start(batch={"concurrency": 2}, stop=stop, watch=watch)
    assert report.stopped == "interrupted"
    assert 1 <= len(work.rows()) == len(server.requests) == report.progress.finished <= 3
    assert (await work.start()).stopped == "finished"


async def test_a_cancelled_batch_keeps_its_rows_and_charges_what_it_cut_off(
    work: Work, server: FaultServer
) -> None:
    server.fault = ["none", "hang_mid_stream"]
    written = asyncio.Event()

    def watch(progress: Progress) -> None:
        if progress.new:
            written.set()

    task = asyncio.create_task(work.start(batch={"concurrency": 1}, watch=watch))
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(work.rows()) == {"a"}
    server.fault = "none"
    assert (await work.start()).stopped == "finished"
    assert set(work.rows()) == set("abc")


async def test_a_reply_that_had_arrived_is_not_asked_for_again(
    work: Work, server: FaultServer
) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def agent(ledger: Ledger) -> Agent:
        return Agent(work.model, tools=[add], depth="reason", ledger=ledger)

    def reply(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return Reply("Answer: 3")
        return Reply(tool_calls=[("add", {"a": 1, "b": 2})])

    work.ask({"question": "How many?"})
    server.reply, server.fault = reply, ["none", "hang_before_headers"]
    start = asyncio.create_task(Batch(agent).arun(work.questions, work.results))
    await until(lambda: len(server.requests) == 2)
    start.cancel()
    await asyncio.wait([start])
    server.fault = "none"
    report = await Batch(agent).arun(work.questions, work.results)
    assert (report.stopped, len(server.requests)) == ("finished", 3)
    last = [exchange.body["messages"][-1]["role"] for exchange in server.requests]
    assert last == ["user", "tool", "tool"]


async def test_results_without_their_account_go_on_and_an_account_without_its_results_does_not(
    work: Work,
) -> None:
    await work.start()
    (work.folder / "out.jsonl.ledger").unlink()
    assert (await work.start()).progress.new == 0
    work.results.unlink()
    with pytest.raises(WrongUsage, match="remove the account to begin anew"):
        await work.start()


async def test_results_are_never_written_over_the_questions(work: Work) -> None:
    before = work.questions.read_bytes()
    with pytest.raises(WrongUsage, match="holds the questions"):
        await Batch(lambda ledger: Agent(work.model, ledger=ledger)).arun(
            work.questions, work.questions
        )
    assert work.questions.read_bytes() == before


@pytest.mark.parametrize("options", [{"total": "cost=1"}, {"budget": "cost=1"}])
async def test_a_limit_in_dollars_needs_a_price(
    work: Work, leftovers: Leftovers, options: dict[str, str]
) -> None:
    with pytest.raises(WrongUsage, match="needs a price"):
        await work.start(batch=options)
    priced = leftovers.model(price=Price(output=Decimal(2)))
    assert (await work.start(batch=options, model=priced)).stopped == "finished"


def test_concurrency_is_at_least_one(work: Work) -> None:
    with pytest.raises(WrongUsage, match="concurrency 0"):
        Batch(lambda ledger: Agent(work.model, ledger=ledger), concurrency=0).run(
            work.questions, work.results
        )


@pytest.mark.parametrize(("file", "table"), [("replies", "records"), ("ledger", "calls")])
async def test_a_full_disk_ends_the_batch_and_what_was_answered_is_kept(
    work: Work, server: FaultServer, file: str, table: str
) -> None:
    await work.start()
    work.ask(*({"id": number, "question": f"{number}?"} for number in range(20)))
    path = work.folder / f"out.jsonl.{file}"
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON {table} "
            "BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
        )
    with pytest.raises(StorageFailed, match=rf"out\.jsonl\.{file}: disk is full"):
        await work.start(batch={"concurrency": 2})
    assert set(work.rows()) == {"a", "b", "c"}
    assert len(server.requests) <= 3 + 2
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER full")
    assert (await work.start()).stopped == "finished"


async def test_the_account_and_the_replies_are_their_owners_alone(
    work: Work, server: FaultServer
) -> None:
    before = os.umask(0)
    try:
        await work.start()
    finally:
        os.umask(before)
    for file in ("ledger", "replies"):
        assert stat.S_IMODE((work.folder / f"out.jsonl.{file}").stat().st_mode) == 0o600
