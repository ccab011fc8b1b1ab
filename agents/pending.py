"""Pending: what a paused run waits for, as data, and the decisions that let it go on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import WrongUsage
from ..graphs.pausing import approval_of, plain
from ..graphs.verifiers.human import read

if TYPE_CHECKING:
    from langgraph.types import Interrupt

VERDICT = "verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One decision that a run waits for."""

    id: str
    thread: str
    kind: Literal["approval", "verdict"]
    branch: str = "main"
    tool: str = ""
    """approval: the tool to be called."""
    arguments: str = ""
    """approval: JSON text as the model wrote it. Untrusted."""
    question: str = ""
    """verdict: what was asked."""
    text: str = ""
    """verdict: the answer to judge, as the model wrote it."""
    error: str = ""
    """verdict: why what was said before could not be read."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def pending_of(thread: str, interrupts: Sequence[Interrupt]) -> tuple[Pending, ...]:
    """The decisions that a graph's interrupts ask for."""
    found: list[Pending] = []
    for waiting in interrupts:
        payload: Mapping[str, Any] = waiting.value
        if "requests" in payload:
            found += [
                Pending(
                    id=f"{waiting.id}:{name}",
                    thread=thread,
                    kind="approval",
                    branch=asked["branch"],
                    tool=asked["tool"],
                    arguments=asked["arguments"],
                )
                for name, asked in payload["requests"].items()
            ]
        else:
            found.append(
                Pending(
                    id=f"{waiting.id}:{VERDICT}",
                    thread=thread,
                    kind="verdict",
                    question=payload["question"],
                    text=payload["text"],
                    error=payload.get("error", ""),
                )
            )
    return tuple(found)


def checked(pending: Sequence[Pending], decisions: Mapping[str, Any]) -> dict[str, Any]:
    """The decisions as plain values, by the id of what they decide.

    Raises `WrongUsage` for a decision on what does not wait, and one that cannot be read.
    """
    by_id = {waiting.id: waiting for waiting in pending}
    values: dict[str, Any] = {}
    for id, said in decisions.items():
        if id not in by_id:
            known = ", ".join(by_id) or "nothing"
            raise WrongUsage(f"nothing waits under {id!r}. Waiting: {known}")
        if by_id[id].kind == "approval":
            values[id] = plain(approval_of(said))
        else:
            read(said)  # Here, where it can still be said what is wrong with it.
            values[id] = said
    return values


def resume_with(decisions: Mapping[str, Any]) -> dict[str, Any]:
    """What to resume the graph with: for each interrupt that a decision concerns, its value."""
    values: dict[str, Any] = {}
    for id, said in decisions.items():
        interrupt, _, name = id.partition(":")
        if name == VERDICT:
            values[interrupt] = said
        else:
            values.setdefault(interrupt, {})[name] = said
    return values
