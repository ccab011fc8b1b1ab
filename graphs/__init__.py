"""The state machines: one compiled LangGraph graph for each depth, usable alone."""

from .answers import comparable
from .approvals import Approval, ApprovalRequest, Approver
from .depths import DEPTHS, Depth
from .difficulty import Calibration, Classifier, Difficulty
from .effort import EFFORTS, Effort, effort_of
from .events import (
    ApprovalNeeded,
    BranchCancelled,
    BranchFinished,
    BranchStarted,
    BudgetState,
    DepthChosen,
    Event,
    Text,
    Thinking,
    ToolFinished,
    ToolStarted,
    VerdictGiven,
)
from .opening import open_run
from .output import InvalidOutput, OutputType, resolve_output
from .run import Run
from .samples import Sample
from .settings import Settings
from .state import Context, Outcome, Question, State, Stopped
from .stopping import StoppingRule
from .verifiers import Candidate, Verdict, Verifier, resolve_verifier

__all__ = [
    "DEPTHS",
    "EFFORTS",
    "Approval",
    "ApprovalNeeded",
    "ApprovalRequest",
    "Approver",
    "BranchCancelled",
    "BranchFinished",
    "BranchStarted",
    "BudgetState",
    "Calibration",
    "Candidate",
    "Classifier",
    "Context",
    "Depth",
    "DepthChosen",
    "Difficulty",
    "Effort",
    "Event",
    "InvalidOutput",
    "Outcome",
    "OutputType",
    "Question",
    "Run",
    "Sample",
    "Settings",
    "State",
    "Stopped",
    "StoppingRule",
    "Text",
    "Thinking",
    "ToolFinished",
    "ToolStarted",
    "Verdict",
    "VerdictGiven",
    "Verifier",
    "comparable",
    "effort_of",
    "open_run",
    "resolve_output",
    "resolve_verifier",
]
