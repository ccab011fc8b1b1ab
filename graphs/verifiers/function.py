"""function: your own function as a verifier."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from langgraph.errors import GraphBubbleUp

from ...errors import WrongUsage
from ...tools.functions import in_thread
from .verifier import Candidate, Means, Verdict


class FunctionVerifier:
    """Asks `function(candidate)` or `function(question, answer)`, sync or async.

    It returns a bool, a score from 0 to 1 (1 passes, 0 fails, what lies between only weighs), one
    of them with a text that says why, or a `Verdict`. A sync function runs in a thread of its own.
    What it raises, and what cannot be read, make the candidate unverified and are told as the
    reason.

    Args:
        decisive: Whether a pass settles the question.

    Raises `WrongUsage` for a function that takes neither one nor two arguments.
    """

    def __init__(self, function: Callable[..., Any], *, decisive: bool = True) -> None:
        self.name = str(getattr(function, "__name__", type(function).__name__)).strip("<>")
        self.decisive = decisive
        self._function = function
        self._two = _takes_two(function)

    async def verify(self, candidate: Candidate, means: Means) -> Verdict:
        """See `Verifier.verify`. The function has as long as the run can spare."""
        given = (candidate.question, candidate.answer) if self._two else (candidate,)
        limits = [means.seconds, means.ledger.seconds_left()]
        limit = min((left for left in limits if left is not None), default=None)
        try:
            async with asyncio.timeout(limit):
                return self._read(await self._call(given))
        except GraphBubbleUp:  # An interrupt: the graph waits for a person.
            raise
        except Exception as error:  # noqa: BLE001 - foreign code: the reason is told
            what = f"{type(error).__name__}: {error}".strip().rstrip(":")
            reason = f"the verifier {self.name} failed: {what[:500]}"
            return Verdict(score=0.5, passed=None, reasons=reason, verifier=self.name)

    async def _call(self, given: tuple[Any, ...]) -> Any:
        if inspect.iscoroutinefunction(_called(self._function)):
            return await self._function(*given)
        result = await in_thread(lambda: self._function(*given))
        return await result if inspect.isawaitable(result) else result

    def _read(self, result: Any) -> Verdict:
        """A verdict from what the function returned. Raises `TypeError` and `WrongUsage`."""
        if isinstance(result, Verdict):
            return result
        value, reasons = result if isinstance(result, tuple) and len(result) == 2 else (result, "")
        if hasattr(value, "item"):  # numpy's own kinds of bool and float
            value = value.item()
        if not isinstance(value, bool | int | float) or not isinstance(reasons, str):
            raise TypeError(
                f"it returned {result!r:.200}: return a bool, a score from 0 to 1, one of them "
                "with a text, or a Verdict"
            )
        passed = True if value == 1 else False if value == 0 else None
        return Verdict(score=float(value), passed=passed, reasons=reasons, verifier=self.name)


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is called in the end: a callable object's method."""
    is_plain = inspect.isroutine(function) or hasattr(function, "func")
    return function if is_plain else type(function).__call__


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether it takes a question and an answer, and not one candidate."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True  # Some built-in functions have none.
    one, two = _takes(signature, 1), _takes(signature, 2)
    if not (one or two):
        raise WrongUsage(
            f"{function!r} cannot be a verifier: it takes {signature}, and should take (candidate) "
            "or (question, answer)"
        )
    # A second parameter with a default is the function's own affair.
    return two and (not one or _takes(signature, 0))


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
