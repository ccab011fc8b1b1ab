"""What can be wrong with a script, and how a step can fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import MullError, WrongUsage


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where."""

    where: str
    """`file:line`, or what a script made in Python calls the place."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ScriptError(WrongUsage):
    """The script cannot run. Every problem is listed; nothing was spent."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class StepFailed(MullError):
    """A step has no result. The message says why.

    `final`: trying again would not help.
    """

    def __init__(self, why: str, *, final: bool = False, budget: bool = False) -> None:
        super().__init__(why)
        self.final = final
        self.budget = budget
        """Whether the budget was the reason."""
