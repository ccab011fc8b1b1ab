"""Running model-written Python behind a boundary that was tested first."""

from .choose import BOUNDARIES, BoundaryReport, open_sandbox, survey
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
    "open_sandbox",
    "survey",
]
