"""Server-sent events: bytes in, the data of whole events out. Pure."""

from __future__ import annotations

LARGEST_EVENT = 4 * 2**20
"""Bytes of one event that are still taken for one."""


class EventTooLarge(ValueError):
    """One event went on for more than `LARGEST_EVENT` bytes."""


class EventParser:
    """Splits a byte stream into the `data` of its events, wherever the pieces are cut."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that `piece` completes. Raises `EventTooLarge`."""
        self._rest += piece
        if b"\n" not in piece:
            self._check(len(self._rest) + self._size)
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        events = []
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._size += len(line)
                self._check(self._size)
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data.clear()
                self._size = 0
        self._check(len(self._rest) + self._size)
        return events

    @staticmethod
    def _check(size: int) -> None:
        if size > LARGEST_EVENT:
            raise EventTooLarge(f"one event of more than {LARGEST_EVENT} bytes")
