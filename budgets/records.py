"""Records: what was asked and what came back, kept beside the books.

With them, a run that was killed is not charged again for a reply that had arrived, and the account
of a run can show every prompt. Without a recorder, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One call that was answered. All values are JSON-able."""

    root: str
    """Key of the root account."""
    call_id: str
    """Unique below the root, without the number of the attempt."""
    digest: str
    """Of what was asked (`digest_of`): an id that comes to be used for another question is another
    call."""
    kind: Literal["model", "tool"]
    name: str
    """The model's or the tool's."""
    asked: dict[str, Any]
    replied: dict[str, Any]
    started: float
    """When it was sent, in seconds since the epoch."""
    seconds: float
    """How long it took."""


class Recorder(Protocol):
    """Where records go. Called from the event loop: quick, and safe across threads."""

    def keep(self, record: Record) -> None:
        """Write it down, durably where the recorder is durable, before the call is settled."""

    def recall(self, root: str, call_id: str, digest: str) -> Record | None:
        """The record of a call that was answered before; None: it was not."""


def digest_of(asked: dict[str, Any]) -> str:
    """A short name for what is asked, the same in every process."""
    text = json.dumps(asked, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
