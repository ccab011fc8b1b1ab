"""What many tests share: servers to talk to, and a check that a test leaves nothing behind."""

import os
from collections.abc import AsyncIterator

import pytest
from fault_server import FaultServer
from hypothesis import HealthCheck, settings
from leftovers import Leftovers

from mull.models.demo import demo_url as start_demo

# A busy machine is no reason to fail. CI tries the same examples every time; elsewhere, new ones.
settings.register_profile(
    "mull",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("mull")


@pytest.fixture(scope="session")
def demo_url() -> str:
    """Address of a real llama.cpp server with the embedded model."""
    return start_demo()


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server on a free port; healthy until its `fault` is set."""
    async with FaultServer() as running:
        yield running


@pytest.fixture
async def leftovers(server: FaultServer) -> AsyncIterator[Leftovers]:
    """Makes models and ledgers; after the test, checks that nothing is left of them."""
    kept = Leftovers(server)
    yield kept
    await kept.check()
