"""The replies of a step that has not ended: a run that goes on after a kill does not pay again."""

from __future__ import annotations

import json
import os
from collections.abc import Container
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..budgets import Record
from ..budgets.private import private
from ..errors import StorageFailed, WrongUsage

Key = tuple[str, str]
"""Id and digest of a call."""


class Replies:
    """What the calls of one step, or of one item, were answered, in a file of JSON lines.

    A `Recorder`, for the ledgers of its tries. A line is written before its call is settled. The
    last one may be torn by a kill: it is cut off.

    Args:
        fingerprint: Of the step: replies to another question, or to other tools, do not count.

    Raises `WrongUsage` where the file holds something else.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._known = self._read()

    def keep(self, record: Record) -> None:
        """See `Recorder.keep`. What was asked is left out: nobody reads it here.

        Raises `StorageFailed` where the disk does not take it.
        """
        kept = replace(record, asked={})
        try:
            with open(self._path, "ab", buffering=0, opener=private) as file:
                end, left = file.tell(), self._line(kept)
                try:
                    while left:
                        left = left[file.write(left) :]
                except OSError:
                    file.truncate(end)  # The next record must not be written after half of one.
                    raise
        except OSError as error:
            raise self._full(error) from error
        self._known[record.call_id, record.digest] = kept

    def recall(self, root: str, call_id: str, digest: str) -> Record | None:
        """See `Recorder.recall`."""
        return self._known.get((call_id, digest))

    def keep_only(self, tools: Container[str]) -> None:
        """Forget all but the calls of these tools.

        What a step that failed was told would only make it fail again. Raises `StorageFailed`
        where it cannot be written.
        """
        lasting = [one for one in self._known.values() if one.kind == "tool" and one.name in tools]
        self._known = {(one.call_id, one.digest): one for one in lasting}
        if not lasting:
            return self.forget()
        draft = self._path.with_name(f".{self._path.name}.tmp")
        try:
            with open(draft, "wb", opener=private) as file:
                file.writelines(map(self._line, lasting))
            os.replace(draft, self._path)
        except OSError as error:
            raise self._full(error) from error

    def forget(self) -> None:
        """The step has ended: remove the file."""
        self._path.unlink(missing_ok=True)

    def _line(self, record: Record) -> bytes:
        fields = {"fingerprint": self._fingerprint, "record": asdict(record)}
        return json.dumps(fields).encode() + b"\n"

    def _full(self, error: OSError) -> StorageFailed:
        return StorageFailed(f"{self._path}: {error.strerror}. Make room, and go on with --resume")

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
                    record = Record(**fields["record"])
                    known[record.call_id, record.digest] = record
        except (ValueError, KeyError, TypeError) as error:
            raise WrongUsage(f"{self._path}: not the replies of a step: delete it") from error
        return known
