"""Scripts: steps that build on each other, run under one budget, resumed after a kill."""

from .errors import Problem, ScriptError, StepFailed
from .plan import Plan, Planned
from .results import ScriptResult, StepResult
from .runner import Progress
from .script import Script, schema
from .step import Step

__all__ = [
    "Plan",
    "Planned",
    "Problem",
    "Progress",
    "Script",
    "ScriptError",
    "ScriptResult",
    "Step",
    "StepFailed",
    "StepResult",
    "schema",
]
