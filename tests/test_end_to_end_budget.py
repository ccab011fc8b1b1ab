"""The budget holds by the server's own count, whatever runs at once, fails or is killed."""

import asyncio
import itertools
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fault_server import FaultServer, ServerProcess, serve_in_process
from leftovers import Leftovers, check_books

from mull.agents import Agent
from mull.budgets import Budget, BudgetExhausted, Ledger, SQLiteStore
from mull.graphs import DEPTHS, Settings
from mull.models import BackendError, Model, Profile, Request, user

BRANCHES = 64
RUNS = 8
"""Of the depths that have many branches each."""
DEEP = [name for name in DEPTHS if name not in ("direct", "reason")]
QUESTION = "How many primes are below one hundred?"

BACKENDS: dict[str, dict[str, object]] = {
    "worst case": {"tokenizer": None, "bytes_per_token": 1},
    "vllm": {"tokenizer": "vllm", "bytes_per_token": 4},
}
BUDGETS = [50, 500, 5_000, 50_000, 500_000]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, server: FaultServer) -> str:
    """A server that counts every byte as a token and tells nothing, or one that tokenizes."""
    name: str = request.param
    for knob, value in BACKENDS[name].items():
        setattr(server, knob, value)
    return name


def random_lengths(server: FaultServer, longest: int) -> None:
    """Replies of any length, in chunks of several tokens."""
    server.tokens = lambda body, rng: rng.randint(1, longest)
    server.tokens_per_chunk = max(1, longest // 20)


async def ask_until_refused(
    model: Model, ledger: Ledger, longest: int, question: str = QUESTION
) -> int:
    """One branch: call after call, each of another length, until no more can be paid."""
    rng = random.Random(ledger.key)
    for number in itertools.count():
        request = Request(messages=[user(question)], max_tokens=rng.randint(1, longest))
        try:
            await model.ask(request, ledger=ledger, call_id=f"call{number}")
        except BudgetExhausted:
            return number
        except BackendError:
            continue
    raise AssertionError("a budget that is never used up")


async def spend_all(model: Model, ledger: Ledger, longest: int, question: str = QUESTION) -> None:
    """Sixty-four branches at once, each with a ledger of its own below the run's."""
    async with asyncio.TaskGroup() as group:
        for branch in range(BRANCHES):
            child = ledger.child(f"branch{branch}")
            group.create_task(ask_until_refused(model, child, longest, question))


@pytest.mark.parametrize("tokens", BUDGETS)
async def test_64_branches_never_spend_more_than_the_budget_and_waste_little_of_it(
    tokens: int,
    backend: str,
    server: FaultServer,
    leftovers: Leftovers,
) -> None:
    longest = min(max(tokens // 10, 20), 2_000)
    random_lengths(server, longest)
    ledger = leftovers.ledger(Budget(tokens=tokens))
    question = QUESTION * max(1, tokens // 5_000)
    await spend_all(leftovers.model(), ledger, longest, question)
    assert server.spent_tokens <= tokens
    assert ledger.spent().total_tokens == server.spent_tokens
    # A prompt that is only bounded by its bytes needs a little more room than it takes.
    if tokens >= (5_000 if backend == "worst case" else 500):
        assert server.spent_tokens >= 0.9 * tokens


@pytest.mark.parametrize("depth", ["direct", "reason"])
@pytest.mark.parametrize("tokens", [50, 500, 20_000])
async def test_64_runs_below_one_ledger_never_spend_more_than_it_has(
    tokens: int,
    depth: str,
    backend: str,
    server: FaultServer,
    leftovers: Leftovers,
) -> None:
    longest = min(max(tokens // 10, 20), 1_000)
    random_lengths(server, longest)
    ledger = leftovers.ledger(Budget(tokens=tokens))
    model = leftovers.model(profile=Profile(max_tokens=longest))
    agent = Agent(model, depth=depth, ledger=ledger)
    answers = await asyncio.gather(*(agent.arun(QUESTION) for _ in range(BRANCHES)))
    assert server.spent_tokens <= tokens
    assert ledger.spent().total_tokens == server.spent_tokens
    assert sum(answer.usage.total_tokens for answer in answers) == server.spent_tokens


def random_answers(server: FaultServer, longest: int) -> None:
    """Replies of any length; some state one of a few answers, some stay open."""
    rng = random.Random(longest)

    def reply(body: object) -> str:
        words = "so " * rng.randint(1, longest)
        return f"{words}\nAnswer: {rng.randint(1, 3)}" if rng.random() < 0.7 else words

    server.reply, server.tokens_per_chunk = reply, max(1, longest // 20)


@pytest.mark.parametrize("depth", DEEP)
@pytest.mark.parametrize("tokens", [50, 500, 20_000])
async def test_runs_of_many_branches_below_one_ledger_never_spend_more_than_it_has(
    tokens: int,
    depth: str,
    backend: str,
    server: FaultServer,
    leftovers: Leftovers,
) -> None:
    longest = min(max(tokens // 20, 10), 200)
    random_answers(server, longest)
    ledger = leftovers.ledger(Budget(tokens=tokens))
    model = leftovers.model(profile=Profile(max_tokens=2 * longest))
    agent = Agent(model, depth=depth, ledger=ledger)
    answers = await asyncio.gather(*(agent.arun(QUESTION) for _ in range(RUNS)))
    assert server.spent_tokens <= tokens
    assert ledger.spent().total_tokens == server.spent_tokens
    assert sum(answer.usage.total_tokens for answer in answers) == server.spent_tokens
    if tokens == 20_000:
        assert any(answer.text for answer in answers)


HONEST = [
    "status_429",
    "status_500",
    "status_503",
    "reset",
    "reset_mid_stream",
    "truncated_sse",
    "truncated_http",
    "error_event",
    "no_usage",
    "usage_null",
    "stale_keepalive",
    "broken_tool_json",
    "unknown_tool",
]
"""Faults of a server that still does no more than it was asked."""


def mixed_faults(share: float, seed: int) -> Iterator[str]:
    """Mostly none; this share of the requests gets some fault."""
    rng = random.Random(seed)
    while True:
        yield rng.choice(HONEST) if rng.random() < share else "none"


@pytest.mark.parametrize("tokens", [500, 20_000])
async def test_the_budget_holds_while_three_in_ten_requests_fail(
    tokens: int,
    backend: str,
    server: FaultServer,
    leftovers: Leftovers,
) -> None:
    longest = min(max(tokens // 10, 20), 1_000)
    random_lengths(server, longest)
    server.fault, server.retry_after = mixed_faults(0.3, seed=tokens), 0.001
    ledger = leftovers.ledger(Budget(tokens=tokens))
    await spend_all(leftovers.model(), ledger, longest)
    assert server.spent_tokens <= ledger.spent().total_tokens <= tokens


async def test_the_budget_holds_while_branches_are_cancelled(
    backend: str,
    server: FaultServer,
    leftovers: Leftovers,
) -> None:
    server.tokens, server.token_delay = 300, 0.002
    ledger, rng = leftovers.ledger(Budget(tokens=40_000)), random.Random(3)
    model = leftovers.model()
    await model.capabilities()
    for turn in range(3):
        tasks = [
            asyncio.create_task(ask_until_refused(model, ledger.child(f"{turn}.{i}"), 400))
            for i in range(BRANCHES)
        ]
        await asyncio.sleep(rng.uniform(0.2, 0.6))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    await asyncio.sleep(0.05)
    assert ledger.spent().total_tokens <= 40_000
    # What was on its way when a branch was cancelled: a few tokens of each.
    in_flight = sum(exchange.aborted for exchange in server.requests) * 4
    assert server.spent_tokens <= ledger.spent().total_tokens + in_flight


@pytest.mark.parametrize("calls", [1, 7, 64, 200])
async def test_the_server_never_sees_more_requests_than_calls_are_allowed(
    calls: int, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokens = 2
    server.fault, server.retry_after = mixed_faults(0.3, seed=calls), 0.001
    ledger = leftovers.ledger(Budget(calls=calls))
    await spend_all(leftovers.model(), ledger, longest=10)
    assert len(server.requests) == ledger.spent().calls == calls


@pytest.mark.parametrize("depth", DEPTHS)
async def test_many_runs_make_no_more_requests_than_calls_are_allowed(
    depth: str, server: FaultServer, leftovers: Leftovers
) -> None:
    server.tokens = 2
    ledger = leftovers.ledger(Budget(calls=20))
    agent = Agent(leftovers.model(), depth=depth, ledger=ledger)
    runs = RUNS if depth in DEEP else BRANCHES
    await asyncio.gather(*(agent.arun(QUESTION) for _ in range(runs)))
    assert len(server.requests) <= 20


@pytest.mark.parametrize("tokens", [50, 500, 5_000, 50_000])
@pytest.mark.parametrize("depth", ["vote", "search"])
async def test_one_run_with_64_branches_at_once_keeps_to_its_budget_and_gives_its_best_candidate(
    depth: str, tokens: int, backend: str, server: FaultServer, leftovers: Leftovers
) -> None:
    random_answers(server, 100)
    most = 2 * BRANCHES
    settings = Settings(samples=most, expansions=most, at_once=BRANCHES, seed=1)
    ledger = leftovers.ledger()
    model = leftovers.model(profile=Profile(max_tokens=200))
    agent = Agent(model, depth=depth, ledger=ledger, settings=settings)
    answer = await agent.arun(QUESTION, budget=Budget(tokens=tokens))
    # What was on its way when a branch was cancelled.
    in_flight = sum(e.aborted for e in server.requests) * 4 * server.tokens_per_chunk
    assert ledger.spent().total_tokens <= tokens
    assert server.spent_tokens <= tokens
    assert server.spent_tokens <= ledger.spent().total_tokens + in_flight
    assert bool(answer.text) == bool(server.requests)
    if tokens <= 500:
        assert answer.stopped == "budget"


TOKENS = 5_000
SCRIPT = Path(__file__).parent / "models" / "killed_run.py"


def start(url: str, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, SCRIPT, url, str(file), str(TOKENS), "6"])


@contextmanager
def killed(moment: int, file: Path) -> Iterator[ServerProcess]:
    """A server whose client was killed when it had made `moment` output tokens."""
    with serve_in_process(tokens=300, token_delay=0.003, bytes_per_token=1) as server:
        with start(server.base_url, file) as run:
            wait(lambda: server.counts()["completion_tokens"] >= moment)
            run.send_signal(signal.SIGKILL)
        wait(lambda: server.counts()["active"] == 0)
        assert server.counts()["aborted"] > 0
        yield server


@pytest.mark.parametrize("moment", [1, 100, 400])
def test_after_a_kill_the_ledger_has_all_that_was_spent_and_no_more_than_its_limit(
    moment: int, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.db"
    with killed(moment, file) as server, closing(SQLiteStore(file)) as store:
        ledger = Ledger(key="run", store=store)
        assert server.counts()["spent_tokens"] <= ledger.spent().total_tokens <= TOKENS
        assert "swept" in {entry.state for entry in ledger.journal()}
        check_books(ledger)


def test_a_run_that_goes_on_after_a_kill_stays_within_the_same_budget(tmp_path: Path) -> None:
    with killed(200, tmp_path / "ledger.db") as server:
        with start(server.base_url, tmp_path / "ledger.db") as again:
            assert again.wait(20) == 0
        with closing(SQLiteStore(tmp_path / "ledger.db")) as store:
            ledger = Ledger(key="run", store=store)
            assert server.counts()["spent_tokens"] <= ledger.spent().total_tokens <= TOKENS


def wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)
