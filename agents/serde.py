"""The checkpoints' serialiser: what is large goes into the artifacts, its name into the checkpoint.

LangGraph writes every channel anew after each step. Here a list is a chain of pieces of which only
the new ones are written, so a thread grows with what is said in it and not with its square.
"""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from .artifacts import ThreadArtifacts

SMALL = 256
"""Bytes that may stay in the checkpoint."""
_LIST, _ONE = "mull:list", "mull:one"


class ArtifactSerde:
    """Satisfies LangGraph's `SerializerProtocol`, over the artifacts of one thread.

    It works for savers that write a checkpoint in one piece (SQLite's) and for those that write
    each channel on its own (Postgres's).
    """

    def __init__(self, artifacts: ThreadArtifacts, inner: SerializerProtocol | None = None) -> None:
        self._artifacts = artifacts
        self._inner: SerializerProtocol = inner or JsonPlusSerializer()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """See `SerializerProtocol`."""
        if isinstance(obj, dict) and "channel_values" in obj:
            values = {name: self._out(value) for name, value in obj["channel_values"].items()}
            return self._inner.dumps_typed({**obj, "channel_values": values})
        return self._inner.dumps_typed(self._out(obj))

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """See `SerializerProtocol`."""
        obj = self._inner.loads_typed(data)
        if isinstance(obj, dict) and "channel_values" in obj:
            values = {name: self._in(value) for name, value in obj["channel_values"].items()}
            return {**obj, "channel_values": values}
        return self._in(obj)

    def _out(self, value: Any) -> Any:
        if isinstance(value, list) and value:
            items = [self._inner.dumps_typed(item) for item in value]
            if sum(len(body) for _, body in items) > SMALL:
                return {_LIST: self._artifacts.put(items)}
            return value
        named = _named(value)
        if isinstance(value, dict) and not named:
            # A graph's input is one value, and has the whole history in it.
            value = {
                key: self._out(part) if isinstance(part, list) or _named(part) else part
                for key, part in value.items()
            }
        kind, body = self._inner.dumps_typed(value)
        if named or len(body) > SMALL:
            return {_ONE: self._artifacts.put([(kind, body)])}
        return value

    def _in(self, value: Any) -> Any:
        if _named(value):
            [(kind, name)] = value.items()
            found = [self._inner.loads_typed(item) for item in self._artifacts.get(name)]
            return found if kind == _LIST else self._parts(found[-1])
        return self._parts(value)

    def _parts(self, value: Any) -> Any:
        if not isinstance(value, dict) or _named(value):
            return value
        return {key: self._in(part) if _named(part) else part for key, part in value.items()}


def _named(value: Any) -> bool:
    """Whether it looks like the name of what is in the artifacts."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    [(key, name)] = value.items()
    return key in (_LIST, _ONE) and isinstance(name, str)
