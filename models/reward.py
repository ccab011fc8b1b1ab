"""RewardModel: scores answers, or their steps, by a reward model behind a server, on a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

from ..budgets import FREE, Ledger, Price
from ..errors import WrongUsage
from .backend import Backend
from .errors import BackendError, BadRequest
from .messages import Allowance, Message, Request, prompt_bound, user
from .model import LONGEST_RATE
from .posting import Payer, Poster, Query, unknown_here
from .retry import RetryPolicy
from .scores import by_step, last, listed, logistic
from .spans import calling

Style = Literal["score", "rerank", "pooling"]

STYLES: tuple[Style, ...] = ("score", "rerank", "pooling")
"""In the order in which they are tried."""
STEP_END = "\n\n"
"""Between the steps of a solution that is shown in one piece."""


class RewardModel:
    """A reward model behind vLLM, llama.cpp, SGLang, or a hosted rerank API.

    A server that gives raw rewards (logits) is noticed at the first value outside [0, 1]: from
    then on, every value goes through the logistic function, so that the order of the answers is
    kept. Say `logits=True` where scores must be comparable from the first call on.

    Args:
        name: The model's name there.
        backend: The server, or its address (up to and with `/v1`).
        api_key: For a backend given as an address.
        price: US dollars per million input tokens (or per second); free by default.
        style: Which of the server's doors: `score` (`/score`: sentence pairs), `rerank` (Jina's
            and Cohere's `/rerank`), `pooling` (`/pooling`: vLLM's for reward models). None: found
            out at the first scoring, by trying; what a try costs is paid like any other attempt.
        step_tag: Stands after each step for a process reward model, which answers there:
            `"<extra_0>"` for Qwen2.5-Math-PRM, `" ки\\n"` for Math-Shepherd (Wang et al. 2024).
            Implies the style `pooling`.
        positive: Where several labels are scored, the place of the one that means good. The last
            for Qwen2.5-Math-PRM, the first (0) for Math-Shepherd.
        logits: Its scores are raw rewards, which always go through the logistic function.
        allowance: What the server's template may add to each pair.
        retry: When to try again.
    """

    def __init__(
        self,
        name: str,
        backend: Backend | str,
        *,
        api_key: str = "",
        price: Price = FREE,
        style: Style | None = None,
        step_tag: str = "",
        positive: int = -1,
        logits: bool = False,
        allowance: Allowance | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        if step_tag and style not in (None, "pooling"):
            raise WrongUsage(f"step_tag={step_tag!r} needs the style pooling, not {style}")
        self.name = name
        self.backend = Backend(backend, api_key) if isinstance(backend, str) else backend
        self.allowance = allowance or Allowance()
        self._style: Style | None = "pooling" if step_tag else style
        self._tag = step_tag
        self._positive = positive
        self._logits = logits
        self._finding: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )
        self._poster = Poster(self.backend, price, retry or RetryPolicy())

    async def score(
        self, question: str, answers: Sequence[str], *, ledger: Ledger, call_id: str
    ) -> list[float]:
        """How good each answer is, in [0, 1], in the order of `answers`.

        All of it is reserved before anything is sent. A process reward model gives the value at
        the answer's end.

        Args:
            ledger: Pays for it.
            call_id: Names the call in the journal; attempts get numbers after it.

        Raises:
            BudgetExhausted: the ledger cannot pay; nothing was sent.
            BackendError: the type says what failed.
        """
        if not answers:
            return []
        asked, given = self._untagged(question), [self._untagged(answer) for answer in answers]
        payer = Payer.until(ledger, call_id)
        with calling("score", self.backend, self.name, ledger, call_id):
            if self._style is None:
                return self._within(await self._find(asked, given, payer))
            return self._within(await self._score_by(self._style, asked, given, payer))

    async def score_steps(
        self, question: str, steps: Sequence[str], *, ledger: Ledger, call_id: str
    ) -> list[float]:
        """How good the solution is after each of its steps, in [0, 1]; the same length as `steps`.

        With a `step_tag`, one request is enough (process reward, Lightman et al. 2023); else each
        beginning of the solution is scored as an answer. Arguments and errors as for `score`.
        """
        if not steps:
            return []
        if not self._tag:
            parts = [STEP_END.join(steps[: end + 1]) for end in range(len(steps))]
            return await self.score(question, parts, ledger=ledger, call_id=call_id)
        marked = "".join(f"{self._untagged(step)}{self._tag}" for step in steps)
        query = self._pooling(self._untagged(question), marked, len(steps))
        payer = Payer.until(ledger, call_id)
        with calling("score", self.backend, self.name, ledger, call_id):
            return self._within(await self._poster.ask([query], payer))

    async def aclose(self) -> None:
        """Close this event loop's connections to the backend."""
        await self.backend.aclose()

    async def _score_by(
        self, style: Style, question: str, answers: Sequence[str], payer: Payer
    ) -> list[float]:
        if style == "pooling":
            each = [self._pooling(question, answer + self._tag, 1) for answer in answers]
            return await self._poster.ask(each, payer)
        body: dict[str, Any]
        if style == "score":
            path = "/score"
            body = {"model": self.name, "text_1": question, "text_2": list(answers)}
        else:
            path = self.backend.base_url.removeprefix(self.backend.root_url) + "/rerank"
            body = {"model": self.name, "query": question, "documents": list(answers)}
        pairs = [_pair(question, answer) for answer in answers]
        query = self._query(path, body, pairs, lambda reply: listed(reply, len(answers)))
        return await self._poster.ask([query], payer)

    async def _find(self, question: str, answers: Sequence[str], payer: Payer) -> list[float]:
        """Score by the first style that the server knows. One call finds out, others wait."""
        lock = self._finding.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        try:
            async with asyncio.timeout_at(payer.deadline), lock:
                if self._style is None:
                    return await self._try(question, answers, payer)
        except TimeoutError:
            raise self._poster.late() from None
        return await self._score_by(self._style, question, answers, payer)

    async def _try(self, question: str, answers: Sequence[str], payer: Payer) -> list[float]:
        for style in STYLES:
            trial = replace(payer, call_id=f"{payer.call_id}/{style}")
            try:
                values = await self._score_by(style, question, answers, trial)
            except BackendError as error:
                if not unknown_here(error):
                    raise
            else:
                self._style = style
                return values
        raise BadRequest(
            f"{self.backend.root_url} has none of /score, /rerank and /pooling: is a reward model "
            "served there (vLLM: --runner pooling; llama.cpp: --reranking)?"
        )

    def _pooling(self, question: str, answer: str, steps: int) -> Query:
        messages = _pair(question, answer)

        def read(reply: Any) -> list[float]:
            if self._tag:
                return by_step(reply, self._positive, steps)
            return [last(reply, self._positive)]

        return self._query("/pooling", {"model": self.name, "messages": messages}, [messages], read)

    def _query(
        self,
        path: str,
        body: dict[str, Any],
        pairs: Sequence[Sequence[Message]],
        read: Callable[[Any], list[float]],
    ) -> Query:
        bounds = [prompt_bound(Request(messages=pair), self.allowance) for pair in pairs]
        floor = sum((bound - self.allowance.base) // LONGEST_RATE for bound in bounds)
        return Query(path, body, sum(bounds), floor, read)

    def _untagged(self, text: str) -> str:
        """`text` without step tags of its own: each would be answered as if it ended a step."""
        sendable = _sendable(text)
        return sendable.replace(self._tag, "\ufffd") if self._tag else sendable

    def _within(self, values: Sequence[float]) -> list[float]:
        """All in [0, 1]: as they are, or all by the logistic function."""
        self._logits = self._logits or any(not 0 <= value <= 1 for value in values)
        return [logistic(value) if self._logits else value for value in values]


def _pair(question: str, answer: str) -> list[Message]:
    return [user(question), {"role": "assistant", "content": answer}]


def _sendable(text: str) -> str:
    """`text` without lone surrogates, which no request can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
