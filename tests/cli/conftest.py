"""What tests of conversations share: a pipe and a terminal to hold them over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chat_places import Person, Pipe
from fault_server import FaultServer

from mull.tools import as_tool


@pytest.fixture
def pipe(
    tmp_path: Path,
    server: FaultServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Pipe:
    """A pipe to the command."""
    place = Pipe(tmp_path, server, capsys, monkeypatch)

    def send(to: str) -> str:
        """Send a greeting."""
        (tmp_path / "sent").write_text(to)
        return f"sent to {to}"

    built_in = {"send": lambda: as_tool(send, side_effects=True)}
    monkeypatch.setattr("mull.tools.registry.BUILT_IN", built_in)
    monkeypatch.setenv("MULL_THREADS", str(place.threads))
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
async def person(tmp_path: Path, server: FaultServer) -> AsyncIterator[Person]:
    """Somebody at a terminal."""
    somebody = Person(tmp_path, server)
    yield somebody
    await somebody.goes()
