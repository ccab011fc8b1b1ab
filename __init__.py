"""mull: agents that think longer only where it pays, under one budget that cannot be exceeded.

Importing this package imports nothing heavy: each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import (
        Agent,
        Answer,
        Answered,
        Estimate,
        Pending,
        Thread,
        ThreadStore,
        ThreadSummary,
        Turn,
    )
    from .budgets import (
        Budget,
        BudgetExhausted,
        Ledger,
        MemoryStore,
        Price,
        SQLiteStore,
        Usage,
    )
    from .errors import MullError, WrongUsage
    from .graphs import (
        DEPTHS,
        Approval,
        ApprovalRequest,
        Calibration,
        Candidate,
        Context,
        Difficulty,
        Event,
        InvalidOutput,
        Settings,
        Verdict,
        open_run,
    )
    from .models import BackendError, Model, NoBackend, Profile, RewardModel
    from .tools import Documents, DocumentsTool, Tool, ToolError, ToolOutput, mcp_tools

__version__ = "0.1.0"

_ROOMS = {
    "agents": (
        "Agent",
        "Answer",
        "Answered",
        "Estimate",
        "Pending",
        "Thread",
        "ThreadStore",
        "ThreadSummary",
        "Turn",
    ),
    "budgets": (
        "Budget",
        "BudgetExhausted",
        "Ledger",
        "MemoryStore",
        "Price",
        "SQLiteStore",
        "Usage",
    ),
    "errors": ("MullError", "WrongUsage"),
    "graphs": (
        "DEPTHS",
        "Approval",
        "ApprovalRequest",
        "Calibration",
        "Candidate",
        "Context",
        "Difficulty",
        "Event",
        "InvalidOutput",
        "Settings",
        "Verdict",
        "open_run",
    ),
    "models": ("BackendError", "Model", "NoBackend", "Profile", "RewardModel"),
    "tools": ("Documents", "DocumentsTool", "Tool", "ToolError", "ToolOutput", "mcp_tools"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "DEPTHS",
    "Agent",
    "Answer",
    "Answered",
    "Approval",
    "ApprovalRequest",
    "BackendError",
    "Budget",
    "BudgetExhausted",
    "Calibration",
    "Candidate",
    "Context",
    "Difficulty",
    "Documents",
    "DocumentsTool",
    "Estimate",
    "Event",
    "InvalidOutput",
    "Ledger",
    "MemoryStore",
    "Model",
    "MullError",
    "NoBackend",
    "Pending",
    "Price",
    "Profile",
    "RewardModel",
    "SQLiteStore",
    "Settings",
    "Thread",
    "ThreadStore",
    "ThreadSummary",
    "Tool",
    "ToolError",
    "ToolOutput",
    "Turn",
    "Usage",
    "Verdict",
    "WrongUsage",
    "__version__",
    "mcp_tools",
    "open_run",
]


def __getattr__(name: str) -> Any:
    room = _HOME.get(name)
    if room is None:
        raise AttributeError(f"module 'mull' has no attribute {name!r}")
    value = getattr(import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
