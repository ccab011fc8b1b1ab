"""Who holds a reservation: a process of this machine, and whether it still lives."""

from __future__ import annotations

import os
from functools import lru_cache

import psutil

CLOCK_STEP = 2.0
"""Seconds by which a process's start may seem to move when the clock is set."""


def this_process() -> str:
    """A name for this process that no later process with the same number will have."""
    return _named(os.getpid())


def process_alive(owner: str) -> bool:
    """Whether the process that `this_process` named is still running on this machine."""
    number, _, created = owner.partition("@")
    try:
        process = psutil.Process(int(number))
        same = abs(process.create_time() - float(created)) < CLOCK_STEP
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@lru_cache(maxsize=1)
def _named(pid: int) -> str:
    return f"{pid}@{psutil.Process(pid).create_time()}"
