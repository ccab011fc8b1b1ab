"""Sandboxes for tests: skipped where this machine has no such boundary, never in CI."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from unittest.mock import patch

import pytest
from e2b_server import E2bServer

from mull.tools.sandbox import Sandbox, SandboxUnavailable, open_sandbox

EVERYWHERE = ("e2b", "sandlock", "monty")
HERE = ("sandlock", "monty")
"""The boundaries that are on this machine, with its kernel, files and processes."""


@asynccontextmanager
async def boundary(name: str) -> AsyncIterator[Sandbox]:
    """A sandbox behind the boundary of that name; E2B's client gets a server here."""
    try:
        async with AsyncExitStack() as stack:
            if name == "e2b":
                await stack.enter_async_context(e2b())
            yield await stack.enter_async_context(open_sandbox(name))
    except SandboxUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@asynccontextmanager
async def e2b() -> AsyncIterator[E2bServer]:
    """A server for E2B's client, and the client's variables set to it."""
    async with E2bServer() as server:
        with patch.dict(os.environ, server.environment):
            yield server
