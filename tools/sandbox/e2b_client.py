"""E2B's own client, with its replies screened: what runs in the machine may answer in its place.

Imported only where E2B is used: the client is an extra, and takes most of a second to import.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from e2b.exceptions import FileNotFoundException
from e2b_code_interpreter import AsyncSandbox

from .wire import OUTPUT_BYTES, TEXT_CHARACTERS

LINE_BYTES = 4 * 1024 * 1024
"""The longest line of a reply that is read; longer ones are dropped."""
RESULT_BYTES = 16 * 1024 * 1024
"""Of a call's results that are kept."""
REFUSAL_BYTES = 4096
"""Of the body of an error's reply that is read."""
_FORMS = ("text", "png", "html", "latex", "svg", "markdown")

__all__ = ["FileNotFoundException", "Machine"]


class Machine(AsyncSandbox):  # type: ignore[misc]
    """A sandbox at E2B. A reply takes a bounded amount of memory, whatever is sent."""

    cut = False
    """Part of a reply was dropped since this was last set to False."""

    @property
    def _client(self) -> httpx.AsyncClient:
        # The client makes one of these for each request; it has no hook of its own.
        client: httpx.AsyncClient = super()._client
        client.headers["Accept-Encoding"] = "identity"
        client.event_hooks = {"response": [self._screen]}
        return client

    async def _screen(self, response: httpx.Response) -> None:
        # A few compressed bytes could become any number of them after the screening.
        for header in ("content-encoding", "content-length"):
            response.headers.pop(header, None)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        kind = Screened if response.is_success else Refusal
        response.stream = kind(response.stream, self._dropped)

    def _dropped(self) -> None:
        self.cut = True


class Screened(httpx.AsyncByteStream):
    """Passes on the well-formed lines of a reply, each with what we use of it, up to a size."""

    def __init__(self, stream: httpx.AsyncByteStream, dropped: Callable[[], None]) -> None:
        self._stream = stream
        self._dropped = dropped
        self._left = dict.fromkeys(("stdout", "stderr"), 2 * OUTPUT_BYTES)
        self._left["result"] = RESULT_BYTES

    async def __aiter__(self) -> AsyncIterator[bytes]:
        line, skipping = bytearray(), False
        async for chunk in self._stream:
            for piece in chunk.splitlines(keepends=True):
                if not skipping:
                    line += piece
                if len(line) > LINE_BYTES:
                    line, skipping = bytearray(), True
                    self._dropped()
                if piece.endswith(b"\n"):
                    yield self._passed(line)
                    line, skipping = bytearray(), False
        yield self._passed(line)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def _passed(self, line: bytearray) -> bytes:
        """The line as we pass it on; empty when it is dropped."""
        try:
            frame = json.loads(line)
        except (ValueError, RecursionError):
            return b""
        if isinstance(frame, dict) and "type" not in frame:
            return bytes(line)  # no stream of a call's events: the name of a new session
        kept = screened(frame)
        if kept is None:
            return b""
        kind = kept["type"]
        left = self._left.get(kind)
        if left is not None:
            size = len(line)
            if size > left:
                self._dropped()
                if kind == "result" or not left:
                    return b""
                kept["text"] = kept["text"][:left]
            self._left[kind] = max(0, left - size)
        return json.dumps(kept).encode() + b"\n"


class Refusal(Screened):
    """Passes on the beginning of what an error's reply says."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = REFUSAL_BYTES
        async for chunk in self._stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return


def screened(frame: object) -> dict[str, Any] | None:
    """The parts of an event that we use, if they are what they should be, else None."""
    match frame:
        case {"type": "stdout" | "stderr" as kind, "text": str(text)}:
            return {"type": kind, "text": text, "timestamp": 0}
        case {"type": "result", **more}:
            forms = {name: said for name in _FORMS if isinstance(said := more.get(name), str)}
            return {"type": "result", **forms}
        case {"type": "error", "name": str(name), "value": str(value), "traceback": str(trace)}:
            cut = {"name": name[:200], "value": value[:TEXT_CHARACTERS]}
            return {"type": "error", **cut, "traceback": trace[-TEXT_CHARACTERS:]}
        case {"type": "number_of_executions", "execution_count": int(count)}:
            return {"type": "number_of_executions", "execution_count": count}
    return None
