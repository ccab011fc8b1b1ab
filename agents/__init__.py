"""What an application holds: Agent, Answer, threads."""

from .agent import Agent
from .answer import Answer, Answered
from .conversation import Turn
from .estimate import Estimate
from .pending import Pending
from .thread import Thread
from .threads import ThreadStore, ThreadSummary

__all__ = [
    "Agent",
    "Answer",
    "Answered",
    "Estimate",
    "Pending",
    "Thread",
    "ThreadStore",
    "ThreadSummary",
    "Turn",
]
