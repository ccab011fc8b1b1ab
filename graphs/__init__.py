"""The state machines: one compiled LangGraph graph for each depth, usable alone."""

from .answers import comparable
from .depths import DEPTHS, Depth
from .events import (
    BudgetState,
    DepthChosen,
    Event,
    Text,
    Thinking,
    ToolFinished,
    ToolStarted,
)
from .run import Run, open_run
from .state import Context, Outcome, Question, State, Stopped

__all__ = [
    "DEPTHS",
    "BudgetState",
    "Context",
    "Depth",
    "DepthChosen",
    "Event",
    "Outcome",
    "Question",
    "Run",
    "State",
    "Stopped",
    "Text",
    "Thinking",
    "ToolFinished",
    "ToolStarted",
    "comparable",
    "open_run",
]
