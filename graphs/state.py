"""The state and the context that every depth shares."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from ..models import Message

Stopped = Literal["answered", "budget", "deadline", "refused"]
"""Why a run ended: an answer was reached, the budget or the time ended, the model declined."""


class Question(TypedDict, total=False):
    """What a depth is given."""

    question: str
    history: list[Message]
    """Earlier turns of the conversation, oldest first."""


class Outcome(TypedDict, total=False):
    """What a depth hands back."""

    text: str
    """The answer as the model wrote it; empty when there is none."""
    stopped: Stopped
    trace: Annotated[list[dict[str, Any]], operator.add]
    """What was done, in order, each step with its reason and what it spent."""


class State(Question, Outcome, total=False):
    """What the nodes of a depth share. Budgets are in the ledger, never here."""

    run: str
    """Key of the run, written by its first node."""
    messages: Annotated[list[Message], operator.add]
    """The run's own turns, after the question."""
    turn: int
    """Number of the last think step."""
    actions: Annotated[list[str], operator.add]
    """Each turn's tool calls as one text, for the loop guard."""
    limits: dict[str, Any]
    """The budget's limits, as its first node found them: a resume does not restore the context."""


@dataclass(frozen=True)
class Context:
    """What a run is given beside its state: plain values only.

    With `run`, the run of that name is used (`open_run`). Without it, one is opened from the other
    fields: that is how a depth works alone, in someone else's graph, or in Studio.
    """

    run: str = ""
    model: str | None = None
    base_url: str | None = None
    budget: str = ""
    """As for `Budget.parse`; empty: no limits."""
    tools: Sequence[str] = ()
    """Names of built-in tools."""
