"""Plan: what one run is to do."""

from __future__ import annotations

from dataclasses import dataclass

from ..budgets import Budget
from ..graphs import OutputType, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The question, and how far the run may go."""

    question: str
    depth: str
    reason: str
    """Why this depth."""
    limits: Budget
    settings: Settings
    output: OutputType | None = None
    """The type of the answer; None: text."""
