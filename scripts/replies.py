"""The replies of a step that has not ended: a run that goes on after a kill does not pay again."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..budgets import Record
from ..errors import MullError, WrongUsage

LIFE = re.compile(r"^.*?/[0-9a-f]{32}/")
"""Beginning of a call's id, up to the key of the agent's run: each life of a step has another."""

Key = tuple[int, str, str]
"""Attempt, id and digest of a call."""


class Replies:
    """What the calls of one step, or of one item, were answered, in a file of JSON lines.

    A line is written before its call is settled. The last one may be torn by a kill: it is cut off.

    Args:
        fingerprint: Of the step: replies to another question, or to other tools, do not count.

    Raises `WrongUsage` where the file holds something else.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._known = self._read()

    def attempt(self, number: int) -> Attempt:
        """Those of one try of the step. A further try makes its calls anew."""
        return Attempt(self, number)

    def find(self, key: Key) -> Record | None:
        """The record of a call; None: it was not answered."""
        return self._known.get(key)

    def add(self, key: Key, record: Record) -> None:
        """Write a record down. Raises `MullError` where the disk does not take it."""
        fields = {"fingerprint": self._fingerprint, "key": key, "record": asdict(record)}
        try:
            with self._path.open("ab") as file:
                file.write(json.dumps(fields).encode() + b"\n")
        except OSError as error:
            raise MullError(
                f"{self._path}: {error.strerror}. Make room, and go on with --resume"
            ) from error
        self._known[key] = record

    def forget(self) -> None:
        """The step has ended: remove the file."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[Key, Record]:
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return {}
        if lines and not lines[-1].endswith(b"\n"):
            torn = lines.pop()
            os.truncate(self._path, self._path.stat().st_size - len(torn))
        known = {}
        try:
            for line in lines:
                fields: dict[str, Any] = json.loads(line)
                if fields["fingerprint"] == self._fingerprint:
                    attempt, call, digest = fields["key"]
                    known[attempt, call, digest] = Record(**fields["record"])
        except (ValueError, KeyError, TypeError) as error:
            raise WrongUsage(f"{self._path}: not the replies of a step: delete it") from error
        return known


@dataclass(frozen=True)
class Attempt:
    """One try of a step. A `Recorder`, for its ledger."""

    replies: Replies
    number: int

    def keep(self, record: Record) -> None:
        """See `Recorder.keep`. What was asked is left out: nobody reads it here."""
        key = self._key(record.call_id, record.digest)
        self.replies.add(key, replace(record, asked={}))

    def recall(self, root: str, call_id: str, digest: str) -> Record | None:
        """See `Recorder.recall`."""
        return self.replies.find(self._key(call_id, digest))

    def _key(self, call_id: str, digest: str) -> Key:
        return self.number, LIFE.sub("", call_id), digest
