"""What an application holds: Agent, Answer, events."""

from .agent import Agent
from .answer import Answer, Answered
from .estimate import Estimate

__all__ = ["Agent", "Answer", "Answered", "Estimate"]
