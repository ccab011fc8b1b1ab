"""A folder to write documents to, and an index beside it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mull.tools.documents import Documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for documents."""
    path = tmp_path / "docs"
    path.mkdir()
    return path


@pytest.fixture
def write(folder: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file below the folder, as if some time ago."""

    def write(name: str, content: str | bytes) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        # Files as young as the index would be read again by the next ingest, to be sure.
        then = time.time_ns() - 10**10
        os.utime(path, ns=(then, then))
        return path

    return write


@pytest.fixture
def documents(folder: Path, tmp_path: Path) -> Documents:
    """The documents in the folder."""
    return Documents(folder, index=tmp_path / "index.sqlite")
