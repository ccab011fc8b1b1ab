"""A thread with an event loop, so that synchronous code (a notebook too) can run coroutines."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .errors import WrongUsage

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run_blocking(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work()` to its end and return its result; Ctrl-C cancels it.

    Raises `WrongUsage` when called from a coroutine that already runs here: it would wait for
    itself.
    """
    loop = _started()
    try:
        inside = asyncio.get_running_loop() is loop
    except RuntimeError:
        inside = False
    if inside:
        raise WrongUsage(
            "run() was called from async code that mull itself is running (an async tool, "
            "perhaps), and would wait for itself: use `await agent.arun(…)` there"
        )
    future = asyncio.run_coroutine_threadsafe(work(), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C, or whatever else a signal's handler raises here.
        raise


def _started() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(_loop,), name="mull", daemon=True)
            thread.start()
            atexit.register(_stop, _loop, thread)
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped. A task that raises `SystemExit` does not end it."""
    while True:
        try:
            loop.run_forever()
            return
        except SystemExit:
            continue  # The task that raised it has it as its result.


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """End the loop in good order: open async generators close their connections."""
    if not thread.is_alive():
        return

    async def finish() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await loop.shutdown_asyncgens()

    asyncio.run_coroutine_threadsafe(finish(), loop).result(timeout=10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)
    loop.close()


def _forget() -> None:
    """In a forked child the thread is not there."""
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
