"""Who holds a reservation: a process of this machine, and whether it still lives."""

from __future__ import annotations

import os
from functools import lru_cache

import psutil


def this_process() -> str:
    """A name for this process that no later process with the same number will have."""
    return _named(os.getpid())


def process_alive(owner: str) -> bool:
    """Whether the process that `this_process` named is still running on this machine."""
    try:
        process = psutil.Process(int(owner.partition("@")[0]))
        return _name(process) == owner and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@lru_cache(maxsize=1)
def _named(pid: int) -> str:
    return _name(psutil.Process(pid))


def _name(process: psutil.Process) -> str:
    return f"{process.pid}@{process.create_time()}"
