"""A chain: one depth walked in a branch of its own, and what came of it as a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langgraph.errors import GraphBubbleUp

from ..errors import StorageFailed
from ..models import Delta, Message
from .confidence import Confidence
from .events import BranchFinished, VerdictGiven
from .run import Emit, Run
from .samples import Ended, Sample, candidate_of, judged, sample_of
from .verifiers import Human, Verdict, verify

OUTPUT = ("text", "stopped", "messages", "samples", "trace")
"""Channels of a depth's state that its branch is read from."""


class Walkable(Protocol):
    """A depth's compiled graph."""

    async def ainvoke(self, input: Any, *, output_keys: Sequence[str]) -> Any:
        """Walk it to its end."""


class WeakChain(Exception):
    """The model is less sure of this chain than of nearly all the others."""


class Watcher:
    """Measures a chain's confidence while it streams, and ends one that is too weak.

    Args:
        cut_off: The confidence below which a chain is too weak by now; None: too early to say.
    """

    def __init__(self, cut_off: Callable[[], float | None]) -> None:
        self.confidence = Confidence()
        self._cut_off = cut_off
        self._attempt = 1

    def __call__(self, delta: Delta) -> None:
        """Take a piece of the reply. Raises `WeakChain`."""
        if delta.attempt > self._attempt:
            self.confidence = Confidence()  # A stream that broke is no part of the chain.
        self._attempt = delta.attempt
        self.confidence.feed(delta.logprobs)
        weakest = self.confidence.weakest_group
        if weakest is None:
            return
        limit = self._cut_off()
        if limit is not None and weakest < limit:
            raise WeakChain


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of a branch."""

    sample: Sample
    """Its answer."""
    samples: list[Sample] = field(default_factory=list)
    """All the samples it knows of: those it was given, and those it drew."""


async def walk(
    branch: Run,
    graph: Walkable,
    question: str,
    history: Sequence[Message] = (),
    samples: Sequence[Sample] = (),
    *,
    watcher: Watcher | None = None,
) -> Walked:
    """Walk a depth's graph in a branch. Whatever goes wrong in it is the sample's, and only its.

    What was raised is kept in `branch.failure`.

    Args:
        watcher: Watches the branch where the backend tells logprobs.
    """
    given: Mapping[str, Any] = {
        "question": question,
        "history": list(history),
        "run": branch.key,
        "samples": list(samples),
    }
    try:
        if watcher is not None and (await branch.model.capabilities()).logprobs:
            branch.watch = watcher
        outcome = await graph.ainvoke(given, output_keys=OUTPUT)
    except (GraphBubbleUp, StorageFailed):
        raise  # A pause; or the disk does not take what the other branches would say.
    except WeakChain:
        return Walked(_ended(branch, question, "weak"))
    except Exception as error:  # noqa: BLE001 - one branch must not lose the others
        branch.failure = error
        branch.note("chain", f"{type(error).__name__}: {error}")
        said = f"{type(error).__name__}: {error}"
        return Walked({**_ended(branch, question, "failed"), "error": said})
    told = outcome.get("trace") or []
    if len(told) > len(branch.trace):
        branch.trace = list(told)  # Another life of the run took the first steps.
    stopped = outcome.get("stopped", "answered")
    ended: Ended = "whole" if stopped == "answered" else "cut"
    if stopped == "refused":
        ended = "refused"
    turns = outcome.get("messages") or ()
    evidence = turns if any(turn["role"] == "tool" for turn in turns) else ()
    text = outcome.get("text") or branch.best
    sample = _ended(branch, question, ended, text=text, evidence=evidence)
    return Walked(sample, outcome.get("samples") or [])


async def check(run: Run, sample: Sample, question: str, emit: Emit, *, name: str) -> Sample:
    """The sample with the verdict of the run's verifier, where there is one.

    A person is not asked about every sample: the graph asks once, in a node of its own. A verifier
    that raises leaves the sample unverified: the answer is paid for, and may still be right.
    """
    verifier = run.verifier
    whole = sample["ended"] == "whole" and sample["text"].strip()
    if verifier is None or isinstance(verifier, Human) or not whole:
        return sample
    try:
        verdict = await verdict_on(run, sample, question, emit, name=name)
    except (GraphBubbleUp, StorageFailed):
        raise
    except Exception as error:  # noqa: BLE001 - foreign code: the reason is told
        said = f"not verified: {type(error).__name__}: {error}"
        verdict = Verdict(score=0.5, passed=None, reasons=said, verifier=verifier.name)
        tell_verdict(run, verdict, emit)
    return judged(sample, verdict, decisive=verifier.decisive)


async def verdict_on(run: Run, sample: Sample, question: str, emit: Emit, *, name: str) -> Verdict:
    """What the run's verifier says of the sample. `name` is unique among the run's branches."""
    assert run.verifier is not None, "asked only where there is one"
    verdict = await verify(
        run.verifier,
        candidate_of(question, sample),
        ledger=run.ledger,
        model=run.model,
        name=name,
        seconds=run.thinking_seconds(),
    )
    tell_verdict(run, verdict, emit)
    return verdict


def tell_verdict(run: Run, verdict: Verdict, emit: Emit) -> None:
    """Write a verdict into the trace, and say it."""
    run.note(
        "verify",
        verdict.reasons or f"score {verdict.score:.2f}",
        verifier=verdict.verifier,
        score=round(verdict.score, 3),
        passed=verdict.passed,
        tokens=verdict.usage.total_tokens,
    )
    if run.watched:
        emit(
            VerdictGiven(
                branch=run.branch,
                verifier=verdict.verifier,
                score=verdict.score,
                passed=verdict.passed,
                reasons=verdict.reasons,
            )
        )


def tell_end(branch: Run, sample: Sample, emit: Emit) -> None:
    """Say how a branch ended."""
    if branch.watched:
        answer = sample.get("error") or sample.get("key") or sample.get("text", "")
        emit(
            BranchFinished(
                branch=branch.branch,
                ended=sample["ended"],
                answer=answer,
                tokens=sample.get("tokens", 0),
            )
        )


def _ended(
    branch: Run,
    question: str,
    ended: Ended,
    *,
    text: str = "",
    evidence: Sequence[Message] = (),
) -> Sample:
    sample = sample_of(
        branch.branch,
        question,
        text or branch.best,
        ended=ended,
        evidence=evidence,
        tokens=branch.ledger.spent().total_tokens,
        output=branch.output,
    )
    if isinstance(branch.watch, Watcher) and (least := branch.watch.confidence.least) is not None:
        sample["confidence"] = least
    return sample
