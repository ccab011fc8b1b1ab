"""What a thread keeps on disk grows with what is said in it, and not with its square."""

from __future__ import annotations

from pathlib import Path

from fault_server import FaultServer
from thread_sizes import conversation, long_run


async def test_a_conversation_grows_with_its_turns(server: FaultServer, tmp_path: Path) -> None:
    sizes = await conversation(server, tmp_path, (25, 50, 100))
    assert sizes[100] - sizes[50] <= 2.4 * (sizes[50] - sizes[25])


async def test_a_run_grows_with_its_steps(server: FaultServer, tmp_path: Path) -> None:
    sizes = await long_run(server, tmp_path, (50, 100, 200))
    assert sizes[200] - sizes[100] <= 2.4 * (sizes[100] - sizes[50])
