"""Spend from a ledger file: what is summed up, how it is exported, and what is refused."""

import argparse
import csv
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, Reply

from mull import Agent
from mull.accounts import DIMENSIONS, as_csv, dimensions_of, read_entries, spending, total
from mull.budgets import Bound, Entry, Ledger, Price, SQLiteStore, Usage
from mull.cli import usage
from mull.errors import WrongUsage
from mull.models import Model, Request, user

PRICE = Price(input=Decimal("0.40"), output=Decimal("1.60"))
CALL = Bound(input_tokens=100, output_tokens=50, calls=1, price=PRICE)
RUN = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


@dataclass
class Books:
    """A ledger file, and the command that reads it."""

    path: Path
    store: SQLiteStore
    capsys: pytest.CaptureFixture[str]

    def ledger(self, key: str) -> Ledger:
        return Ledger(key=key, store=self.store)

    async def spend(
        self, ledger: Ledger, call_id: str, *, tokens: int = 10, bound: Bound = CALL
    ) -> None:
        hold = await ledger.reserve(call_id, bound)
        cost = bound.price.cost(tokens, 1)
        spent = Usage(calls=bound.calls, input_tokens=tokens, output_tokens=1, cost=cost)
        ledger.settle(hold, spent)

    def groups(self, by: str) -> dict[tuple[str, ...], int]:
        """Tokens by group."""
        lines = spending(read_entries(self.path), dimensions_of(by))
        return {line.group: line.usage.total_tokens for line in lines}

    def command(self, *arguments: str) -> str:
        """What `mull usage` prints."""
        assert run([str(self.path), *arguments]) == 0
        return self.capsys.readouterr().out


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    usage.add_parser(parser.add_subparsers())
    return parser.parse_args(["usage", *arguments])


def run(arguments: Sequence[str]) -> int:
    return usage.run(parsed(arguments))


@pytest.fixture
def books(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Books]:
    path = tmp_path / "ledger.db"
    with closing(SQLiteStore(path)) as store:
        yield Books(path, store, capsys)


def entry(*, account: str = "run", call_id: str = "think.1#1", since: float = 0.0) -> Entry:
    return Entry(root="run", call_id=call_id, account=account, owner="me", bound=CALL, since=since)


# ---- by what


async def test_the_runs_of_a_tenant_are_told_apart_whatever_branch_paid(books: Books) -> None:
    tenant = books.ledger("tenant/42")
    await books.spend(tenant.child(RUN), "think.1#1")
    await books.spend(tenant.child(RUN).child("chain.0"), "think.1#1")
    await books.spend(tenant.child("user").child(OTHER), "think.1#1")
    assert books.groups("run") == {(f"tenant/42/{RUN}",): 22, (f"tenant/42/user/{OTHER}",): 11}


async def test_a_ledger_without_agents_below_it_is_one_run(books: Books) -> None:
    await books.spend(books.ledger("mine"), "think.1#1")
    await books.spend(books.ledger("mine").child("chain.0"), "think.1#1")
    assert books.groups("run") == {("mine",): 22}


async def test_a_node_is_the_head_of_the_call_id_whatever_ledger_paid(books: Books) -> None:
    ledger = books.ledger("run")
    await books.spend(ledger, "think.1#1")
    await books.spend(ledger.child("chain.0"), "think.2/1#2")
    await books.spend(ledger.child("chain.0").child("verify"), "judge.score#1")
    await books.spend(ledger, "act.1.0#1", bound=Bound(tool_calls=1, input_tokens=9))
    assert books.groups("node") == {("think",): 22, ("judge",): 11, ("act",): 9}


@pytest.mark.parametrize(
    ("since", "day"), [(1_790_121_599.0, "2026-09-22"), (1_790_121_600.0, "2026-09-23")]
)
def test_a_day_begins_at_midnight_utc(since: float, day: str) -> None:
    (line,) = spending([entry(since=since)], ["day"])
    assert line.group == (day,)


def test_days_are_sorted_and_within_a_day_the_first_use_comes_first() -> None:
    late, early = 1_790_121_600.0, 1_790_000_000.0
    entries = [
        entry(call_id="think.1#1", since=late),
        entry(call_id="think.2#1", since=early),
        entry(call_id="answer#1", since=early),
    ]
    lines = spending(entries, ["node", "day"])
    assert [line.group[0] for line in lines] == ["think", "answer", "think"]


async def test_the_runs_of_a_thread_are_told_apart_wherever_the_thread_is(books: Books) -> None:
    for above in (books.ledger("thread:ann"), books.ledger("tenant/42").child("thread:ann")):
        await books.spend(above.child("1-0a1b2c3d"), "think.1#1")
        await books.spend(above.child("1-0a1b2c3d").child("chain.0"), "think.1#1")
        await books.spend(above.child("2-ffffffff"), "think.1#1")
        await books.spend(above, "title#1")
    runs = {
        f"{thread}{run}": tokens
        for thread in ("thread:ann", "tenant/42/thread:ann")
        for run, tokens in (("/1-0a1b2c3d", 22), ("/2-ffffffff", 11), ("", 11))
    }
    assert books.groups("run") == {(run,): tokens for run, tokens in runs.items()}


async def test_a_ledger_that_is_no_threads_has_no_runs_named_as_a_threads_are(books: Books) -> None:
    await books.spend(books.ledger("mine").child("1-0a1b2c3d"), "think.1#1")
    assert books.groups("run") == {("mine",): 11}


async def test_spend_is_told_by_thread_wherever_the_thread_is(books: Books) -> None:
    await books.spend(books.ledger("thread:ann").child("1-0a1b2c3d"), "think.1#1")
    await books.spend(books.ledger("tenant").child("thread:bob").child("1-0a"), "think.1#1")
    await books.spend(books.ledger("tenant").child("thread:ann").child("1-0a"), "think.1#1")
    await books.spend(books.ledger("tenant").child(RUN), "think.1#1")
    assert books.groups("thread") == {("ann",): 22, ("bob",): 11, ("no thread",): 11}


async def test_a_runs_calls_are_told_by_the_names_of_model_and_tool(
    books: Books, server: FaultServer
) -> None:
    def reply(request: dict[str, Any]) -> Reply:
        told = any(message["role"] == "tool" for message in request["messages"])
        return Reply("Answer: 42") if told else Reply(tool_calls=[("twice", {"number": 21})])

    def twice(number: int) -> int:
        """Twice the number."""
        return 2 * number

    server.reply = reply
    tenant = books.ledger("tenant")
    agent = Agent("m", base_url=server.base_url, tools=[twice], ledger=tenant, depth="reason")
    await agent.arun("What is 6 times 7?")
    await agent.aclose()
    lines = spending(read_entries(books.path), ["model", "tool"])
    told = [(line.group, line.usage.calls, line.usage.tool_calls) for line in lines]
    assert told == [(("m", "no tool"), 2, 0), (("no model", "twice"), 0, 1)]


async def test_a_model_that_was_not_named_has_the_name_by_which_it_is_served(
    books: Books, server: FaultServer
) -> None:
    server.models = ("served",)
    model = Model(None, server.base_url)
    await model.ask(Request(messages=[user("x")]), ledger=books.ledger("run"), call_id="think.1")
    await model.aclose()
    assert [name for (name,) in books.groups("model")] == ["served"]


async def test_the_calls_of_a_ledger_file_from_before_names_were_kept_are_not_named(
    books: Books,
) -> None:
    await books.spend(books.ledger("run"), "think.1#1", bound=replace(CALL, called="m"))
    with closing(sqlite3.connect(books.path)) as db, db:
        db.execute("UPDATE calls SET body = json_remove(body, '$.bound.called')")
    assert books.groups("model") == {("not named",): 11}


def test_an_unknown_dimension_is_refused_with_those_there_are() -> None:
    with pytest.raises(WrongUsage, match="'price' is not known: choose of run, thread, model, to"):
        dimensions_of("run,price")


def test_the_help_names_every_dimension(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["--help"])
    assert f"one or several of {', '.join(DIMENSIONS)}" in " ".join(capsys.readouterr().out.split())


# ---- how much


async def test_open_calls_are_told_as_held_and_not_as_spent(books: Books) -> None:
    await books.ledger("run").reserve("think.1#1", CALL)
    everything = total(read_entries(books.path))
    assert (everything.usage, everything.held_tokens) == (Usage(), 150)


async def test_calls_of_dead_processes_are_counted_with_what_they_were_charged(
    books: Books,
) -> None:
    dead = Ledger(key="run", store=books.store, owner="dead", alive=lambda _: False)
    await dead.reserve("think.1#1", CALL)
    dead.sweep()
    everything = total(read_entries(books.path))
    assert (everything.swept, everything.held_tokens) == (1, 0)
    assert everything.usage.wasted_tokens == everything.usage.total_tokens == 150


async def test_the_spend_of_an_agents_runs_is_what_their_answers_say(
    books: Books, server: FaultServer
) -> None:
    server.reply = "It is clear.\nAnswer: 42"
    tenant = books.ledger("tenant")
    agent = Agent("m", base_url=server.base_url, price=PRICE, ledger=tenant, depth="vote")
    answers = [await agent.arun("What is 6 times 7?") for _ in range(2)]
    await agent.aclose()
    lines = spending(read_entries(books.path), ["run"])
    told = [(line.usage.calls, line.usage.total_tokens, line.usage.cost) for line in lines]
    assert told == [(a.usage.calls, a.usage.total_tokens, a.usage.cost) for a in answers]
    assert total(read_entries(books.path)).usage.cost == tenant.spent().cost > 0


# ---- how it is printed


async def test_csv_has_one_row_for_each_group_and_sums_to_the_total(books: Books) -> None:
    for number in range(3):
        await books.spend(books.ledger(f"run-{number}"), "think.1#1", tokens=number + 1)
    rows = list(csv.DictReader(io.StringIO(books.command("--by", "run,node", "--csv"))))
    assert [(row["run"], row["node"]) for row in rows] == [
        ("run-0", "think"),
        ("run-1", "think"),
        ("run-2", "think"),
    ]
    costs = sum(Decimal(row["cost"]) for row in rows)
    assert costs == total(read_entries(books.path)).usage.cost == Decimal("0.0000072")


@pytest.mark.parametrize("key", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_csv_gives_a_spreadsheet_no_formula_to_run(key: str) -> None:
    lines = spending([Entry(root=key, call_id="a#1", account=key, owner="", bound=CALL)], ["run"])
    rows = list(csv.reader(io.StringIO(as_csv(["run"], lines))))
    assert rows[1][0] == f"'{key}"


async def test_json_is_one_object_with_exact_costs(books: Books) -> None:
    await books.spend(books.ledger("run"), "think.1#1")
    told = json.loads(books.command("--by", "node", "--json"))
    assert told["by"] == ["node"]
    assert [(line["node"], line["cost"]) for line in told["lines"]] == [("think", "0.0000056")]
    assert told["total"]["total_tokens"] == 11


async def test_people_see_short_names_and_a_total(books: Books) -> None:
    await books.spend(books.ledger("tenant").child(RUN), "think.1#1", tokens=99)
    await books.spend(books.ledger("tenant").child(OTHER), "think.1#1", tokens=9)
    head, first, _, last = books.command().splitlines()
    assert " ".join(head.split()) == "run calls tool calls input output tokens wasted cost"
    assert first.split() == ["tenant/01234567…", "1", "0", "99", "1", "100", "0", "0.0000412"]
    assert last.split()[:2] == ["total", "2"]


async def test_a_key_cannot_steer_the_terminal(books: Books) -> None:
    await books.spend(books.ledger("\x1b[2Jrun[red]"), "think.1#1")
    told = books.command()
    assert "\x1b" not in told
    assert r"\x1b[2Jrun[red]" in told


# ---- which files


async def test_a_file_in_use_is_read_as_it_stands(books: Books) -> None:
    await books.spend(books.ledger("run"), "think.1#1")
    with books.store.transaction() as open_books:
        open_books.put_entry(entry(call_id="later"))
        assert [known.call_id for known in read_entries(books.path)] == ["think.1#1"]


def test_a_ledger_without_calls_has_no_lines(books: Books) -> None:
    assert json.loads(books.command("--json"))["lines"] == []


def test_the_parsers_of_both_commands_load_nothing_of_what_they_need() -> None:
    code = "import sys, mull.cli.usage, mull.cli.trace; print('mull.accounts' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_missing_file_is_refused_and_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "no ledger?.db"
    with pytest.raises(WrongUsage, match="there is no such file"):
        run([str(missing)])
    assert not missing.exists()


async def test_without_a_file_the_ledger_of_the_threads_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULL_THREADS", str(tmp_path))
    with closing(SQLiteStore(tmp_path / "ledger.sqlite")) as store:
        books = Books(store.path, store, capsys)
        await books.spend(books.ledger("thread:ann").child("1-0a1b2c3d"), "think.1#1")
        assert run(["--by", "thread", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert [(line["thread"], line["total_tokens"]) for line in lines] == [("ann", 11)]


def test_another_database_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    before = path.read_bytes()
    with pytest.raises(WrongUsage, match="no such table: calls"):
        run([str(path)])
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"event": "text"}\n' * 100)
    with pytest.raises(WrongUsage, match="file is not a database"):
        run([str(path)])
