"""What the tests of pages share."""

from pathlib import Path

import pytest
from traces import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder with a trace, and what is made of it."""
    return Desk(tmp_path)
