"""The state and the context that every depth shares."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from ..budgets import BudgetExhausted
from ..models import Message
from .samples import Sample, merged
from .settings import Settings
from .tree import Expansion

Stopped = Literal["answered", "budget", "deadline", "refused", "paused"]
"""Why a run ended: an answer was reached, the budget or the time ended, the model declined; or it
waits for a person."""


def why_stopped(error: BudgetExhausted) -> Stopped:
    """The word for a budget's end: time has its own."""
    return "deadline" if error.dimension == "seconds" else "budget"


class Question(TypedDict, total=False):
    """What a depth is given."""

    question: str
    history: list[Message]
    """Earlier turns of the conversation, oldest first."""
    run: str
    """Key of the run; written by its first node where it is not given."""
    samples: Annotated[list[Sample], merged]
    """Answers that were paid for already."""


class Outcome(TypedDict, total=False):
    """What a depth hands back."""

    text: str
    """The answer as the model wrote it; empty when there is none."""
    stopped: Stopped
    trace: Annotated[list[dict[str, Any]], operator.add]
    """What was done, in order, each step with its reason and what it spent."""
    samples: Annotated[list[Sample], merged]
    """Every answer that was paid for."""
    confidence: float | None
    """Probability that the answer is right, where something measured it."""
    reached: str
    """auto: the depth that gave the answer."""
    difficulty: dict[str, Any] | None
    """auto: `level`, `p_direct` and `source` of the classifier's estimate."""


class State(Question, Outcome, total=False):
    """What the nodes of a depth share. Budgets are in the ledger, never here."""

    messages: Annotated[list[Message], operator.add]
    """The run's own turns, after the question."""
    turn: int
    """Number of the last think step."""
    actions: Annotated[list[str], operator.add]
    """Each turn's tool calls as one text, for the loop guard."""
    candidates: list[str]
    """reflect: ids of the samples that were candidates, in order."""
    tree: Annotated[list[Expansion], operator.add]
    """search: the nodes of the tree."""
    wave: int
    """search: number of the last wave."""
    tried: list[tuple[Literal["main", "larger"], str]]
    """auto: model and depth of each stage so far."""
    limits: dict[str, Any]
    """The budget's limits, as its first node found them: a resume does not restore the context."""


@dataclass(frozen=True, kw_only=True)
class Context(Settings):
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
    verifier: str = ""
    """Name of a built-in verifier; empty: none."""
