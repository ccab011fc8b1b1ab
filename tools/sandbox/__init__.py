"""Running model-written Python behind a boundary that was tested first."""

from .choose import BOUNDARIES, BoundaryReport, chosen, open_sandbox, survey
from .pool import Session, open_session
from .protocol import (
    Capabilities,
    Execution,
    ExecutionError,
    Result,
    Sandbox,
    SandboxFileError,
    SandboxUnavailable,
)

__all__ = [
    "BOUNDARIES",
    "BoundaryReport",
    "Capabilities",
    "Execution",
    "ExecutionError",
    "Result",
    "Sandbox",
    "SandboxFileError",
    "SandboxUnavailable",
    "Session",
    "chosen",
    "open_sandbox",
    "open_session",
    "survey",
]
