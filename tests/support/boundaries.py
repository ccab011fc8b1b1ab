"""Sandboxes for tests: skipped where this machine has no such boundary, never in CI."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mull.tools.sandbox import Sandbox, SandboxUnavailable, open_sandbox


@asynccontextmanager
async def boundary(name: str) -> AsyncIterator[Sandbox]:
    """A sandbox behind the boundary of that name."""
    try:
        async with open_sandbox(name) as sandbox:
            yield sandbox
    except SandboxUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
