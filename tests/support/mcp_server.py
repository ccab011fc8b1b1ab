"""A real MCP server (FastMCP) for tests: over stdio, or with `--http` on a free port it prints."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.fastmcp import FastMCP, Image
from mcp.types import ToolAnnotations

READS = ToolAnnotations(readOnlyHint=True)
server = FastMCP("for tests", log_level="ERROR")


@server.tool(annotations=READS)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def send(to: str) -> str:
    """Send a greeting."""
    return f"sent to {to}"


@server.tool(annotations=ToolAnnotations(readOnlyHint=True, destructiveHint=True))
def contradict() -> str:
    """Say two things at once."""
    return "done"


@server.tool(name="files.read", annotations=READS)
def odd_name() -> str:
    """Have a name that no backend takes."""
    return "read"


@server.tool(annotations=READS)
def settings(config: str, runtime: str) -> str:
    """Take arguments with names that LangChain keeps for itself."""
    return f"{config} {runtime}"


@server.tool(annotations=READS)
def fail() -> str:
    """Fail."""
    raise ValueError("out\nof paper")


@server.tool(annotations=READS)
def die() -> str:
    """End the server."""
    os._exit(1)


@server.tool(annotations=READS)
async def hang() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return ""


@server.tool(annotations=READS)
def big(size: int) -> str:
    """Give much."""
    return "x" * size


@server.tool(annotations=READS, structured_output=False)
def picture() -> list[Any]:
    """Give a picture with its caption."""
    return ["a red dot", Image(data=b"123456", format="png")]


@server.tool(annotations=READS)
def process() -> int:
    """Tell the server's process."""
    return os.getpid()


@server.tool(annotations=READS)
def variable(name: str) -> str:
    """Tell an environment variable."""
    return os.environ.get(name, "unset")


def main() -> None:
    """Serve until the client leaves, or until killed."""
    if "--silent" in sys.argv:
        sys.stdin.read()
        return
    if "--http" not in sys.argv:
        server.run()
        return
    listening = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    Path(sys.argv[-1]).write_text(str(listening.getsockname()[1]))
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
