"""Answering one question of a batch: its account, its run, and the row that comes of them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from ..agents import Agent, Answer
from ..agents.artifacts import Artifacts
from ..budgets import Bound, Budget, Ledger, Usage
from ..errors import StorageFailed
from ..models import KeyRefused, Request, UnknownModel, Unreachable, user
from ..models.messages import prompt_bound
from ..models.model import CALL_TIMEOUT
from .item import Item, Refused
from .row import Row, answered, failed

HOPELESS = (Unreachable, KeyRefused, UnknownModel, StorageFailed)
"""Errors that every other question would have as well."""

PROMPTS = 4096
"""Tokens, at most, that the depths' own prompts and the tools usually add to a question."""

SMALLEST_CALL = Bound(output_tokens=1, calls=1)


class Answering:
    """Answers questions, each from an account of its own below the batch's.

    The account is named by the question's id: a question that is asked again after a crash goes on
    with what it has already spent, and with the replies that had arrived.
    """

    def __init__(
        self,
        agent: Callable[[Ledger], Agent],
        ledger: Ledger,
        budget: Budget,
        replies: Artifacts,
    ) -> None:
        self._agent = agent
        self._ledger = ledger
        self._budget = budget
        self._replies = replies
        self._ended = False

    def over(self) -> bool:
        """Whether the batch's own budget has ended."""
        if not self._ended:
            self._ended = lacks(self._ledger.budget, self._ledger.spent(), SMALLEST_CALL)
        return self._ended

    async def __call__(self, item: Item | Refused) -> Row | None:
        """The row of a question; None where the batch's budget ended before there was an answer.

        Raises those errors, of a backend and of the disk, that every other question would have as
        well.
        """
        if isinstance(item, Refused):
            return failed(item.id, "Refused", f"line {item.line}: {item.reason}")
        limits = self._budget.merged(item.budget or Budget())
        account = self._ledger.child(
            quote(str(item.id), safe=""),
            None if limits == Budget() else limits,
            recorder=self._replies.of(str(item.id)),
        )
        agent = self._agent(account)
        try:
            answer = await agent.arun(item.question, depth=item.depth, budget=limits, key="run")
        except HOPELESS:
            raise
        except Exception as error:  # noqa: BLE001 - one question must not lose the others
            if self.over():
                return None
            return failed(item.id, type(error).__name__, str(error), account.spent())
        if self._cut_off(answer, agent, item.question):
            self._ended = True
            return None
        return answered(item.id, answer, account.spent())

    def _cut_off(self, answer: Answer, agent: Agent, question: str) -> bool:
        """Whether it was the batch's budget, not the question's, that left no room for an answer.

        That is so when what is left to the batch could not pay a whole call.
        """
        if answer.text or answer.stopped not in ("budget", "deadline"):
            return False
        profile, asked = agent.model.profile, Request(messages=[user(question)])
        whole = Bound(
            input_tokens=PROMPTS + prompt_bound(asked, profile.allowance),
            output_tokens=profile.max_tokens,
            calls=1,
            price=agent.model.price,
            seconds=CALL_TIMEOUT,
        )
        return lacks(self._ledger.budget, self._ledger.spent(), whole)


def lacks(limits: Budget, spent: Usage, call: Bound) -> bool:
    """Whether what is not spent cannot pay the call. Pure."""
    need = call.amount()
    return (
        (limits.tokens is not None and spent.total_tokens + need.tokens > limits.tokens)
        or (limits.calls is not None and spent.calls + need.calls > limits.calls)
        or (limits.cost is not None and spent.cost + need.cost > limits.cost)
        or (limits.seconds is not None and spent.seconds >= limits.seconds)
    )
