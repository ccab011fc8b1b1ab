"""Files that only their owner may read: they hold what was asked and what was answered."""

from __future__ import annotations

import os


def private(path: str, flags: int) -> int:
    """An opener for `open`: a file that it makes is the owner's alone (mode 0600).

    One that is there keeps its mode, and so does every file on Windows.
    """
    return os.open(path, flags, 0o600)
