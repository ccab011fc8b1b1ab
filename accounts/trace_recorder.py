"""TraceRecorder: writes a trace: a run's events, and each call of a model or a tool as it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ..budgets import Record
from ..budgets.private import private
from ..errors import WrongUsage


class TraceRecorder:
    """A `Recorder` that writes JSON lines, and keeps nothing in memory.

    A context manager: the file is opened, and begun anew, where its block begins. One that it
    makes is its owner's alone.

    Args:
        path: The file. Entering raises `WrongUsage` where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._file = open(self._path, "w", encoding="utf-8", buffering=1, opener=private)
        except OSError as error:
            raise WrongUsage(f"--trace {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, event: Mapping[str, Any]) -> None:
        """Add one line. Raises `OSError` where it cannot be written."""
        assert self._file is not None, "a trace is written inside the recorder's block"
        line = json.dumps(event) + "\n"
        with self._lock:
            self._file.write(line)

    def keep(self, record: Record) -> None:
        """See `Recorder.keep`. The one run of the ledger is the head of its calls' ids."""
        self.write(call_event(record, record.call_id.partition("/")[2]))

    def recall(self, root: str, call_id: str, digest: str) -> None:
        """See `Recorder.recall`: a trace is only written, so that every call is made."""


def call_event(record: Record, call_id: str) -> dict[str, Any]:
    """A call as a line of a trace. Pure.

    Logprobs, and the bytes of files that tools made, are left out: they outweigh all the rest.

    Args:
        call_id: The one below the run.
    """
    replied = {name: value for name, value in record.replied.items() if name != "logprobs"}
    if files := replied.pop("attachments", None):
        replied["files"] = [made["name"] for made in files]
    return {
        "event": "call",
        "call_id": call_id,
        "kind": record.kind,
        "name": record.name,
        "asked": record.asked,
        "replied": replied,
        "started": record.started,
        "seconds": record.seconds,
    }
