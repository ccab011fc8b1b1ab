"""What the tests of agents and threads share."""

from collections.abc import Iterator

import pytest
from thread_lives import Lives, opened


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """Starts processes that a test may kill."""
    with opened(tmp_path_factory.mktemp("lives")) as started:
        yield started
