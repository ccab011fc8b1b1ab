"""A site that the tests may fetch from, and a net that keeps them on this machine."""

from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
from fetching import MakeFetcher, fetcher_of
from loopback import Net, only_loopback
from site_server import Site


@pytest.fixture(autouse=True)
def net() -> Iterator[Net]:
    """Nothing leaves loopback."""
    with only_loopback() as kept:
        yield kept


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A web server, known as site.example to what `fetcher` makes."""
    async with Site() as running:
        yield running


@pytest.fixture
async def secret() -> AsyncIterator[Site]:
    """A server inside the network: no test may see a request here."""
    async with Site() as running:
        yield running


@pytest.fixture
def fetcher(site: Site) -> MakeFetcher:
    """Makes fetchers of the public web and of `site`, at its very address and port."""
    return partial(fetcher_of, site.port)
