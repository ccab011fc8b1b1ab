"""Runs the steps of a script: independent ones at once, all of them under one ledger."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..agents import Agent
from ..budgets import BudgetExhausted, Ledger, Usage
from ..errors import MullError
from ..graphs import InvalidOutput, OutputType, Settings
from ..graphs.approvals import Approver
from ..models import BackendError, Model
from ..tools.registry import resolve_tools
from .check import needed
from .errors import StepFailed
from .functions import call_function
from .records import Records, write_whole
from .results import State, StepResult, gathered
from .shares import beyond, part
from .step import Step
from .templates import evaluate, namespace, render

ANOTHER = 7919
"""Added to the seed for each further try, so that it is another try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A step began, got one more item, or ended."""

    step: str
    state: State | Literal["running"]
    done: int = 0
    of: int = 1
    result: StepResult | None = None
    """When it has ended."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """All that a run of a script has."""

    model: Model
    model_name: str
    ledger: Ledger
    inputs: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]]
    types: Mapping[str, OutputType]
    """What the answers of steps must be, by step."""
    seed: int | None
    tools: Mapping[str, Any]
    """Tools of the caller, beside those built in, by name."""
    approve: Approver | Literal["all"] | None
    records: Records | None
    """None: nothing is stored."""
    out: Path
    """Where output files go."""
    watch: Callable[[Progress], None]
    at_once: asyncio.Semaphore
    """Of questions and functions."""
    results: dict[str, StepResult] = field(default_factory=dict)


async def walk(means: Means, steps: Iterable[Step]) -> None:
    """Run every step as soon as those it needs have ended. `steps` are in order."""
    tasks: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        for step in steps:
            before = [tasks[name] for name in needed(step)]
            tasks[step.id] = group.create_task(_step(means, step, before))


async def _step(means: Means, step: Step, before: list[asyncio.Task[None]]) -> None:
    if before:
        await asyncio.wait(before)
    result = await _result(means, step)
    means.results[step.id] = result
    count = len(result.items) or 1
    means.watch(Progress(step=step.id, state=result.state, done=count, of=count, result=result))


async def _result(means: Means, step: Step) -> StepResult:
    for name in needed(step):
        if means.results[name].state in ("failed", "blocked"):
            return StepResult(state="blocked", error=f"it needs {name!r}, which has no result")
    seen = {name: means.results[name].visible() for name in needed(step)}
    names = {
        "inputs": namespace(means.inputs),
        "steps": namespace({name: namespace(fields) for name, fields in seen.items()}),
    }
    account: Ledger | None = None
    try:
        if step.when is not None and not evaluate(step.when, names):
            return StepResult(state="skipped")
        account = _account(means, step)
        if step.foreach is None:
            means.watch(Progress(step=step.id, state="running"))
            return await _kept(means, step, account, names, seen, None)
        items = _items(step, names)
    except MullError as error:
        return _failed(error, account)
    return await _each(means, step, account, names, seen, items)


def _account(means: Means, step: Step) -> Ledger:
    """A step's account, under the same name in each life of the run: a call is known again by it.

    A life may spend a whole share; what the lives before it spent counts in the whole budget alone.
    """
    before = means.ledger.child(step.id).spent()
    return means.ledger.child(step.id, beyond(before, part(means.ledger.budget, step.share)))


async def _each(
    means: Means,
    step: Step,
    account: Ledger,
    names: Mapping[str, Any],
    seen: Mapping[str, Any],
    items: list[Any],
) -> StepResult:
    """Every item of a `foreach`. One that fails does not stop the others."""
    done = 0

    async def one(index: int, item: Any) -> StepResult:
        nonlocal done
        here = {**names, "item": item, "index": index}
        own = account.child(str(index))
        try:
            result = await _kept(means, step, own, here, seen, index)
        except MullError as error:
            result = _failed(error, own)
        done += 1
        means.watch(Progress(step=step.id, state="running", done=done, of=len(items)))
        return result

    means.watch(Progress(step=step.id, state="running", of=len(items)))
    return gathered(tuple(await _all(one(index, item) for index, item in enumerate(items))))


async def _all(work: Iterable[Any]) -> list[StepResult]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]


async def _kept(
    means: Means,
    step: Step,
    account: Ledger,
    names: Mapping[str, Any],
    seen: Mapping[str, Any],
    index: int | None,
) -> StepResult:
    """One result: read from the run folder, else made and stored; its output file is written."""
    question = "" if step.question is None else render(step.question, names).strip()
    mark = _fingerprint(means, step, question, seen, names.get("item"))
    records = means.records
    result = None if records is None else records.load(step.id, index, mark)
    if result is None:
        acting = {tool.name for tool in resolve_tools(_tools(means, step)) if tool.side_effects}
        with (
            nullcontext()
            if records is None
            else records.replies(step.id, index, mark, acting) as replies
        ):
            async with means.at_once:
                own = account.child(mark[:16], recorder=replies)
                result = await _tried(means, step, own, question, seen, names)
                result = replace(result, usage=account.spent())
            if records is not None:
                records.save(step.id, index, mark, result)
    if step.output is not None:
        _write(means.out, render(step.output, names), result)
    return result


async def _tried(
    means: Means,
    step: Step,
    account: Ledger,
    question: str,
    seen: Mapping[str, Any],
    names: Mapping[str, Any],
) -> StepResult:
    """One result, tried as often as the step allows. Raises `MullError` after the last."""
    attempt = 0
    while True:
        try:
            if step.python is None:
                payer = account.child(f"try{attempt}")
                return await _asked(means, step, payer, question, attempt)
            return await _called(means, step, seen, names)
        except (BackendError, InvalidOutput, StepFailed) as error:
            final = isinstance(error, StepFailed) and error.final
            if final or attempt >= step.retry:
                raise
        attempt += 1


async def _asked(
    means: Means, step: Step, account: Ledger, question: str, attempt: int
) -> StepResult:
    if not question:
        raise StepFailed("its question is empty", final=True)
    wanted = means.types.get(step.id)
    agent = agent_for(means, step, account, attempt)
    answer = await agent.arun(question, output_type=wanted, key="run")
    if not answer.text or (wanted and answer.output is None and answer.stopped != "answered"):
        ended = answer.stopped in ("budget", "deadline")
        why = answer.trace[-1]["reason"] if answer.trace else answer.stopped
        raise StepFailed(f"no answer: {why}", final=ended, budget=ended)
    return StepResult(
        state="done",
        answer=answer.final,
        text=answer.text,
        output=answer.as_dict()["output"],
        confidence=answer.confidence,
        stopped=answer.stopped,
        question=question,
    )


async def _called(
    means: Means, step: Step, seen: Mapping[str, Any], names: Mapping[str, Any]
) -> StepResult:
    assert step.python is not None, "a step has either a question or a python function"
    # A copy: what a function does to its arguments is not seen by other steps.
    given = json.loads(json.dumps([means.inputs, seen]))
    if step.foreach is not None:
        given.append(names["item"])
    value = await call_function(means.functions[step.python], step.python, *given)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return StepResult(state="done", answer=value, text=text)


def agent_for(means: Means, step: Step, account: Ledger, attempt: int = 0) -> Agent:
    """The agent that answers a step's question, paid from `account`."""
    seed = None if means.seed is None else means.seed + attempt * ANOTHER
    return Agent(
        means.model,
        tools=_tools(means, step),
        depth=step.depth,
        verifier=step.verify,
        settings=Settings(seed=seed),
        approve=means.approve,
        ledger=account,
    )


def _tools(means: Means, step: Step) -> list[Any]:
    return [means.tools.get(name, name) for name in step.tools]


def _items(step: Step, names: Mapping[str, Any]) -> list[Any]:
    value = evaluate(step.foreach, names) if isinstance(step.foreach, str) else step.foreach
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        told = f"foreach {step.foreach!r} gives {type(value).__name__}: a list is wanted"
        raise StepFailed(told, final=True)
    try:
        plain: list[Any] = json.loads(json.dumps(list(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise StepFailed(f"foreach {step.foreach!r}: plain values are wanted: {error}") from error
    return plain


def _fingerprint(
    means: Means, step: Step, question: str, seen: Mapping[str, Any], item: Any
) -> str:
    """What a stored result depends on. Another question, model or seed makes another result."""
    about: list[Any]
    if step.python is None:
        tools = list(step.tools)
        wanted = means.types.get(step.id)
        about = [question, step.depth, tools, step.verify, means.seed, means.model_name]
        about.append(wanted and wanted.schema)
    else:
        about = [step.python, means.inputs, seen, item]
    plain = json.dumps(about, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _write(out: Path, name: str, result: StepResult) -> None:
    """Write a step's text. Its name may come from a model: it cannot leave `out`."""
    path = out / name
    if not path.resolve().is_relative_to(out.resolve()) or path.resolve() == out.resolve():
        raise StepFailed(f"the output {name!r} is not below {out}", final=True)
    try:
        write_whole(path, f"{result.text.rstrip()}\n")
    except (OSError, ValueError) as error:
        raise StepFailed(f"the output {name!r}: {error}", final=True) from error


def _failed(error: MullError, account: Ledger | None = None) -> StepResult:
    ended = isinstance(error, BudgetExhausted) or (isinstance(error, StepFailed) and error.budget)
    usage = Usage() if account is None else account.spent()
    return StepResult(state="failed", error=str(error), budget_ended=ended, usage=usage)
