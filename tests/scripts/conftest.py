"""A server that does the sums in the questions it is asked."""

import re
from typing import Any

import pytest
from fault_server import FaultServer


def sums(body: Any) -> str:
    """Add the numbers in the first line of the question."""
    question = str(body["messages"][-1]["content"]).strip().splitlines()[0]
    total = sum(map(int, re.findall(r"\d+", question)))
    return f"It is a sum.\nAnswer: {total}"


@pytest.fixture
def adder(server: FaultServer) -> FaultServer:
    """The server that adds."""
    server.reply = sums
    return server
