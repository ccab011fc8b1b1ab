"""How sure a model was of a chain, from its logprobs: DeepConf (Fu et al., 2025). Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

from ..models.reply import TokenLogprob

GROUP = 128
"""Tokens of one group: the window that a chain's confidence is averaged over."""
WARM_UP = 8
"""Whole chains before the weak ones can be told from the rest."""
LEAST = -100.0
"""A logprob below this counts as this: backends report minus infinity for what cannot be."""
KEPT = 0.9
"""Share of the chains that a cut-off would have kept: conservative, as in the paper."""


class Confidence:
    """Fed with tokens as they arrive; knows the weakest group so far.

    A token's confidence is the mean of the negative logprobs of its likeliest alternatives where
    they are given: large where one token has all the probability. With only the token's own
    logprob, it is that logprob: near 0 where the model was sure. Both grow with certainty.
    """

    def __init__(self, group: int = GROUP) -> None:
        self._window: deque[float] = deque(maxlen=group)
        self._group = group
        self._sum = 0.0
        self._least: float | None = None

    def feed(self, tokens: Iterable[TokenLogprob]) -> None:
        """Take what has arrived."""
        for token in tokens:
            if len(self._window) == self._group:
                self._sum -= self._window[0]
            value = _of(token)
            self._window.append(value)
            self._sum += value
            if len(self._window) == self._group:
                mean = self._sum / self._group
                self._least = mean if self._least is None else min(self._least, mean)

    @property
    def least(self) -> float | None:
        """The weakest whole group's mean; of a shorter chain, the mean of all. None: no tokens."""
        if self._least is None and self._window:
            return self._sum / len(self._window)
        return self._least

    @property
    def weakest_group(self) -> float | None:
        """As `least`, but None until a whole group has arrived: what a chain may be cut for."""
        return self._least


def cut_off(finished: Sequence[float]) -> float | None:
    """The confidence below which a chain is dropped; None while too few are finished."""
    if len(finished) < WARM_UP:
        return None
    return sorted(finished)[len(finished) - math.ceil(KEPT * len(finished))]


def weights(confidences: Sequence[float | None]) -> list[float]:
    """Votes' weights by confidence, with mean 1: each chain's share of its rank, from ½ to 1½.

    Ranks and not values: how logprobs are scaled differs from backend to backend.
    """
    known = sorted(value for value in confidences if value is not None)
    if len(known) < 2 or known[0] == known[-1]:
        return [1.0] * len(confidences)
    span = len(known) - 1
    return [1.0 if value is None else 0.5 + _place(known, value) / span for value in confidences]


def _place(known: Sequence[float], value: float) -> float:
    """Mean rank of a value among the sorted ones, from 0."""
    first = known.index(value)
    return first + (known.count(value) - 1) / 2


def _of(token: TokenLogprob) -> float:
    if not token.top:
        return _sane(token.logprob)
    return -sum(_sane(logprob) for _, logprob in token.top) / len(token.top)


def _sane(logprob: float) -> float:
    """A number from `LEAST` to 0, whatever came: what is not a number counts as 0."""
    return max(LEAST, min(0.0, logprob))
