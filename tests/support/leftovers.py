"""What tests make models and ledgers with, and the check that nothing is left of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fault_server import FaultServer

from mull.budgets import Amount, Budget, Ledger, Usage
from mull.models import Backend, Model, RetryPolicy

QUICK = RetryPolicy(attempts=3, base=0.01, longest=0.02)
"""Pauses that a test can wait for."""


@dataclass
class Leftovers:
    """Makes a test's models and ledgers; `check` says that nothing of them is left."""

    server: FaultServer
    models: list[Model] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    before: set[asyncio.Task[Any]] = field(default_factory=asyncio.all_tasks)

    def model(
        self,
        address: str | None = None,
        name: str | None = "m",
        *,
        concurrency: int = 64,
        retry: RetryPolicy = QUICK,
        **more: Any,
    ) -> Model:
        """A model with quick retries, on `address` or the server."""
        backend = Backend(address or self.server.base_url, concurrency=concurrency)
        model = Model(name, backend, retry=retry, **more)
        self.models.append(model)
        return model

    def ledger(self, budget: Budget | None = None, **more: Any) -> Ledger:
        """A ledger whose books must balance at the end."""
        ledger = Ledger(budget, **more)
        self.ledgers.append(ledger)
        return ledger

    async def check(self) -> None:
        """Nothing runs, holds a permit or a connection, or is held in a ledger."""
        for ledger in self.ledgers:
            check_books(ledger)
        for model in self.models:
            for lane in model.backend.lanes.open():
                assert lane.permits._value == model.backend.concurrency, "a permit was kept"
        await until(lambda: self.server.active == 0)
        for model in self.models:
            await model.aclose()
        await until(lambda: self.server.open_connections == 0)
        await until(lambda: asyncio.all_tasks() <= self.before | {asyncio.current_task()})


def check_books(ledger: Ledger) -> None:
    """Nothing is held; what is spent is what the journal says; no call went over its bound."""
    assert ledger.held() == Amount()
    journal, spent = ledger.journal(), ledger.spent()
    charged = sum((entry.usage for entry in journal), Usage())
    for name in ("calls", "tool_calls", "input_tokens", "output_tokens", "wasted_tokens", "cost"):
        assert getattr(spent, name) == getattr(charged, name), name
    for entry in journal:
        assert entry.state != "open"
        assert entry.usage.total_tokens <= entry.bound.input_tokens + entry.bound.output_tokens


async def until(condition: Callable[[], bool], seconds: float = 2) -> None:
    """Wait for what another task will bring about. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
