"""What the verifiers' tests share: means that may spend, and means that may not."""

from __future__ import annotations

import pytest
from leftovers import Leftovers

from mull.budgets import Budget, Ledger
from mull.graphs.verifiers import Means
from mull.models import Model


@pytest.fixture
def nothing() -> Means:
    """Means that cannot pay any call, to a backend that is not there."""
    ledger = Ledger(Budget(tokens=0, calls=0, tool_calls=0))
    return Means(ledger=ledger, model=Model("m", "http://127.0.0.1:9/v1"))


@pytest.fixture
def sandbox() -> Means:
    """Means that can run code, and cannot ask a model."""
    ledger = Ledger(Budget(tokens=0, calls=0))
    return Means(ledger=ledger, model=Model("m", "http://127.0.0.1:9/v1"))


@pytest.fixture
def means(leftovers: Leftovers) -> Means:
    """Means without a limit, on the server that the test scripts."""
    return Means(ledger=leftovers.ledger(), model=leftovers.model())
