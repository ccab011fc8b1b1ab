"""Run: the live things behind a context: ledger, model, tools, and what nodes do with them."""

from __future__ import annotations

import asyncio
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..budgets import Budget, BudgetExhausted, Ledger
from ..models import Delta, Model, Reply, Request
from ..models.forcing import Thinking as Forced
from ..models.forcing import ask_forced
from ..tools.memo import Memo
from ..tools.result import ToolResult
from ..tools.tool import Attachment, Scope
from ..tools.toolbox import Toolbox
from .answers import comparable
from .approvals import Approver, refuse
from .difficulty import Calibration, Cascade, Classifier
from .events import BudgetState, Text, Thinking
from .output import OutputType
from .race import Race
from .settings import Settings
from .verifiers.verifier import Verifier

Emit = Callable[[Any], None]

LANDING_SECONDS = 10.0
"""Of a time limit, at most this many seconds (and a fifth of it) are kept for the final answer."""


@dataclass(eq=False)
class Run:
    """One run, or one branch of it, while it is alive. Nothing of it is in the state."""

    ledger: Ledger
    model: Model
    toolbox: Toolbox
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    settings: Settings = field(default_factory=Settings)
    verifier: Verifier | None = None
    output: OutputType | None = None
    """The type of the answer; None: text."""
    larger: Model | None = None
    """A second, dearer model that `auto` may turn to."""
    classifier: Classifier = field(default_factory=Cascade)
    """Estimates how hard the question is, for `auto`."""
    calibration: Calibration | None = None
    """What was learned of this model's difficulty with questions like these."""
    tell_budget: bool = False
    """Whether the model is told what remains."""
    watched: bool = True
    """Whether anybody looks at the events; without, none are made."""
    approver: Approver = refuse
    """Asked before each call of a tool with side effects."""
    memory: dict[str, ToolResult] = field(default_factory=dict)
    """Tool calls that the branch has made, by name and arguments."""
    memo: Memo[ToolResult] = field(default_factory=Memo)
    """Calls of pure tools, shared by all branches of the run."""
    scope: Scope = field(default_factory=Scope)
    used: set[str] = field(default_factory=set)
    """Names of the tools that it has called in this life of it."""
    best: str = ""
    """The best candidate so far: what a run that is cut short answers. Set by `offer`."""
    whole: bool = False
    """Whether the best candidate is a finished reply, and not the beginning of one."""
    exhausted: BudgetExhausted | None = None
    """The refusal that ended the thinking, if the budget did."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    """Steps as they end, for a run that is cut short."""
    told: int = 0
    """Steps of the trace that a graph has handed on."""
    parent: Run | None = None
    """The run that this is a branch of."""
    varied: bool = False
    """A chain that must differ from its siblings: sampled at a temperature above 0."""
    watch: Callable[[Delta], None] | None = None
    """Sees each piece of text as it arrives, with logprobs; what it raises ends the call."""
    failure: Exception | None = None
    """What the first branch that failed raised."""
    attachments: list[Attachment] = field(default_factory=list)
    """Files and pictures that tools made; a branch hands its own on when it ends."""
    race: Race | None = None
    """The wave of chains that is running."""
    nodes: int = 0
    """Nodes at work."""
    forget: Callable[[], None] | None = None
    """Takes a run that its own graph opened off the list; None: whoever opened it closes it."""
    timer: asyncio.TimerHandle | None = None
    """Closes a run that its graph opened and then left without concluding."""

    @property
    def branch(self) -> str:
        """Name of the branch, for events: a path below `main`."""
        return self.scope.branch

    async def ask(
        self,
        request: Request,
        call_id: str,
        emit: Emit,
        *,
        landing: bool = False,
        thinks: bool = False,
    ) -> Reply:
        """One model call for a node: paid, streamed as events, and followed by the budget's state.

        Args:
            landing: May use what is held back for the final answer. A branch leaves that to its
                run, until the run has an answer.
            thinks: The run's limits of thinking hold: it may become several calls.

        Raises what `Model.ask` raises, and what `watch` raises.
        """

        def tell(delta: Delta) -> None:
            if self.watch is not None:
                self.watch(delta)
            if self.watched and delta.reasoning:
                emit(Thinking(branch=self.branch, text=delta.reasoning, attempt=delta.attempt))
            if self.watched and delta.text:
                emit(Text(branch=self.branch, text=delta.text, attempt=delta.attempt))

        async def once(request: Request, call_id: str) -> Reply:
            return await self.model.ask(
                self._shaped(request, call_id),
                ledger=self.ledger,
                call_id=call_id,
                landing=self._may_land(landing),
                on_delta=tell if self.watched or self.watch is not None else None,
            )

        forced = Forced(at_least=self.settings.think_at_least, at_most=self.settings.think_at_most)
        try:
            if not thinks or forced == Forced():
                return await once(request, call_id)
            prefill = (await self.model.capabilities()).prefill
            prompts = self.model.profile.prompts
            return await ask_forced(
                once, request, call_id, forced, prefill=prefill, prompts=prompts
            )
        except BudgetExhausted as error:
            self.exhausted = self.exhausted or error
            raise
        finally:
            self.tell_state(emit)

    def _shaped(self, request: Request, call_id: str) -> Request:
        """The request with the run's settings, where it does not say otherwise."""
        changes: dict[str, Any] = {}
        if self.settings.effort and request.reasoning_effort is None:
            changes["reasoning_effort"] = self.settings.effort
        if self.settings.seed is not None and request.seed is None:
            place = zlib.crc32(f"{self.branch}/{call_id}".encode())
            changes["seed"] = (self.settings.seed * 1_000_003 + place) % 2**31
        if self.varied and request.temperature is None:
            changes["temperature"] = self.model.profile.sampling_temperature
        if self.watch is not None:
            changes["logprobs"] = True
        return replace(request, **changes) if changes else request

    def tell_state(self, emit: Emit) -> None:
        """Emit what is spent and what remains, of the whole run."""
        if self.watched:
            top = self.root.ledger
            emit(
                BudgetState(
                    branch=self.branch,
                    spent=top.spent().as_dict(),
                    left=top.left().as_dict(),
                )
            )

    def _may_land(self, landing: bool) -> bool:
        """Whether a call may use what is held back: the final answer, or any once there is one."""
        return (landing and self.parent is None) or self.root.states_answer()

    def left(self) -> Budget:
        """What the next call may spend at most."""
        return self.ledger.left(landing=self.root.states_answer())

    @property
    def root(self) -> Run:
        """The run that this is a branch of, at the top; itself, if it is none."""
        return self if self.parent is None else self.parent.root

    def offer(self, text: str, *, whole: bool) -> None:
        """A candidate for the answer.

        Only another stated answer displaces a stated one, and only a longer fragment a fragment.
        """
        if whole:
            better = self._states(text) or not self.states_answer()
        else:
            better = not self.whole and len(text) > len(self.best)
        if text.strip() and better:
            self.best, self.whole = text, whole

    def prefer(self, text: str) -> None:
        """The answer that is best by all that is known, here and in the runs above."""
        run: Run | None = self
        while run is not None:
            run.best, run.whole = text, True
            run = run.parent

    def states_answer(self) -> bool:
        """Whether the best candidate is finished and says in so many words what its answer is."""
        return self.whole and self._states(self.best)

    def _states(self, text: str) -> bool:
        if comparable(text) is None:
            return False
        return self.output is None or self.output.key_in(text) is not None

    def prompt(self, name: str, default: str) -> str:
        """A node's prompt, or the one that the model's profile has in its place."""
        return self.model.profile.prompts.get(name, default)

    def thinking_seconds(self) -> float | None:
        """Seconds until the final answer must be begun; None: no time limit."""
        if self.parent is not None:
            return self.parent.thinking_seconds()
        left, limit = self.ledger.seconds_left(), self.ledger.budget.seconds
        if left is None:
            return None
        return max(0.0, left - min(LANDING_SECONDS, (limit if limit is not None else left) / 5))

    def note(self, node: str, reason: str, reply: Reply | None = None, **more: Any) -> None:
        """Add a step to the trace."""
        if reply is not None:
            more |= {"tokens": reply.usage.total_tokens, "seconds": round(reply.seconds, 3)}
        self.trace.append({"node": node, "reason": reason, **more})

    def news(self) -> list[dict[str, Any]]:
        """The steps of the trace that no graph has handed on yet."""
        new, self.told = self.trace[self.told :], len(self.trace)
        return new

    async def conclude(self) -> list[dict[str, Any]]:
        """The rest of the trace; a run that its graph opened by itself ends here."""
        if self.forget is not None:
            if self.timer is not None:
                self.timer.cancel()
            self.forget()
            await self.scope.aclose()
        return self.news()
