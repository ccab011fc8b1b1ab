"""What a guest says, read as the untrusted bytes it is: bounded, then validated."""

from __future__ import annotations

import json

from .protocol import Execution, ExecutionError, Result

OUTPUT_BYTES = 256 * 1024
"""Kept of a call's stdout, and of its stderr."""
TEXT_CHARACTERS = 64 * 1024
"""Kept of a result's `repr`, of an error's message and of a traceback."""
REPLY_BYTES = 1024 * 1024
"""The longest reply line: three escaped texts fit, a parsed forgery stays small."""


class BadReply(Exception):
    """The guest's reply line is not one that our worker writes."""


class Capped:
    """Bytes kept up to a cap; the rest is counted and dropped."""

    def __init__(self, cap: int = OUTPUT_BYTES) -> None:
        self._cap = cap
        self._kept = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        """Keep what fits."""
        room = self._cap - len(self._kept)
        self._kept += data[:room]
        self.truncated |= len(data) > room

    def data(self) -> bytes:
        """What was kept."""
        return bytes(self._kept)

    def text(self) -> str:
        """What was kept; undecodable bytes become U+FFFD."""
        return self._kept.decode("utf-8", "replace")


def request(call: str, code: str) -> bytes:
    """The line that asks the worker to run `code`."""
    return json.dumps({"id": call, "code": code}).encode() + b"\n"


def parse(line: bytes) -> tuple[str, Execution]:
    """A reply line as (the call it answers, an execution without output). Raises `BadReply`."""
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError) as broken:
        raise BadReply("the reply is not JSON") from broken
    if not isinstance(frame, dict) or not isinstance(frame.get("id"), str):
        raise BadReply("the reply has no id")
    text, failure = frame.get("text"), frame.get("error")
    if text is not None and not isinstance(text, str):
        raise BadReply("the reply's text is not a string")
    error = None
    if failure is not None:
        parts = failure if isinstance(failure, list) else []
        if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
            raise BadReply("the reply's error is not three strings")
        error = ExecutionError(*(_cut(part) for part in parts))
    return frame["id"], Execution(
        results=() if text is None else (Result(text=_cut(text)),),
        error=error,
        truncated=text is not None and len(text) > TEXT_CHARACTERS,
    )


def _cut(text: str) -> str:
    # Lone surrogates pass JSON and break every later encode().
    return text[:TEXT_CHARACTERS].encode("utf-8", "replace").decode()
