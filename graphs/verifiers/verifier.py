"""What a verifier is: what it is given, what it may spend, and what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ...budgets import Ledger, Usage
from ...errors import WrongUsage
from ...models import Message, Model, Reply, Request
from ...tools.python import PythonTool
from ...tools.result import ToolResult
from ...tools.tool import Scope
from ...tools.toolbox import Toolbox
from ..answers import comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A possible answer, and what led to it."""

    question: str
    text: str
    """As the model wrote it."""
    evidence: tuple[Message, ...] = ()
    """The turns before it: tool calls and their results, oldest first."""

    @property
    def answer(self) -> str:
        """The bare answer: the stated one, else the whole text."""
        return comparable(self.text) or self.text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verifier says of a candidate. Raises `WrongUsage` for a score that is not one."""

    score: float
    """From 0 (certainly wrong) to 1 (certainly right); 0.5 says nothing."""
    passed: bool | None
    """None: it could not tell."""
    reasons: str = ""
    """For people, and for the model that refines."""
    verifier: str = ""
    """Its name."""
    usage: Usage = field(default_factory=Usage)
    """What the verification spent."""

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise WrongUsage(f"a verdict's score is {self.score}: give one from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a verifier may spend through. Each verification gets its own, with a ledger of its own.

    Ids name calls in that ledger's journal.
    """

    ledger: Ledger
    model: Model
    """The model that judges."""
    seconds: float | None = None
    """What the run can spare; None: no time limit."""

    async def ask(self, request: Request, call_id: str) -> Reply:
        """One model call, within `seconds`. Raises `BudgetExhausted` and `BackendError`."""
        if request.timeout is None:
            request = replace(request, timeout=self.seconds)
        return await self.model.ask(request, ledger=self.ledger, call_id=call_id)

    async def python(self, code: str, call_id: str, *, seconds: float = 10.0) -> ToolResult:
        """Run `code` in a fresh sandbox; it counts as one tool call.

        Raises `BudgetExhausted`; `SandboxUnavailable` comes as a failed result.
        """
        return (await self.cells([code], call_id, seconds=seconds))[-1]

    async def cells(
        self, codes: Sequence[str], call_id: str, *, seconds: float = 10.0
    ) -> list[ToolResult]:
        """Run one piece of code after another in one fresh sandbox, up to the first that fails.

        Each may take `seconds` and counts as one tool call. Several are run anew in each life of a
        run: what one leaves behind for the next is in no record. Raises as `python` does.
        """
        toolbox, scope = Toolbox([PythonTool(timeout=seconds)]), Scope(call_id)
        results: list[ToolResult] = []
        try:
            for number, code in enumerate(codes, 1):
                result = await toolbox.call(
                    "python",
                    json.dumps({"code": code}),
                    ledger=self.ledger,
                    call_id=f"{call_id}.{number}",
                    scope=scope,
                    memory={},
                    anew=len(codes) > 1,
                    seconds=self.seconds,
                )
                results.append(result)
                if result.failed:
                    break
            return results
        finally:
            await scope.aclose()

    def prompt(self, name: str, default: str) -> str:
        """A prompt, or the one that the model's profile has in its place."""
        return self.model.profile.prompts.get(name, default)


def not_run(result: ToolResult) -> bool:
    """Whether code could not be run to its own end, through no fault of its own.

    There is no sandbox here, or the run's time was over before the code's.
    """
    return result.failed and result.text.startswith(_NOT_RUN)


_NOT_RUN = ("error: SandboxUnavailable:", "error: python took longer than")


class Verifier(Protocol):
    """Scores candidates. One file each, beside this one."""

    @property
    def name(self) -> str:
        """One word, for traces."""

    @property
    def decisive(self) -> bool:
        """Whether a pass settles the question (a test, a check), or only weighs in its favour."""

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """Look at one candidate.

        Raises `BudgetExhausted` and `BackendError` where its calls do; whoever asked then takes the
        candidate as unverified.
        """
