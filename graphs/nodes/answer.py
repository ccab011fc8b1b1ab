"""answer: one call, no tools."""

from __future__ import annotations

from langgraph.runtime import Runtime

from ...budgets import BudgetExhausted
from ...models import DeadlineReached, MalformedReply, Message, Reply, Request, system, user
from ..opening import run_of
from ..run import Emit, Run
from ..state import Context, State, Stopped, why_stopped
from .repair import conform
from .typed import Form, form_of, format_of, told

LEAST = 24
"""Output tokens below which a call of a branch is not worth its prompt."""


async def answer(state: State, runtime: Runtime[Context]) -> State:
    """Ask once and take the reply. Raises `BackendError`."""
    async with run_of(state, runtime) as run:
        return await _answer(run, state, runtime.stream_writer)


async def _answer(run: Run, state: State, emit: Emit) -> State:
    stopped: Stopped = "answered"
    form = form_of(run)
    request = Request(
        messages=opening(run, state, "direct.system", SYSTEM, form),
        response_format=format_of(run, form),
        # A branch leaves the run the time to land; the run itself may use all of it.
        timeout=None if run.parent is None else run.thinking_seconds(),
        least_tokens=1 if run.parent is None else LEAST,
    )
    try:
        # The only call of this depth is also its landing.
        reply = await run.ask(request, "answer", emit, landing=True, thinks=True)
        run.note("answer", reply.finish_reason, reply)
        run.offer(said(run, reply), whole=True)
        stopped = verdict(reply)
        if stopped == "answered":
            text, stopped = await conform(run, state["question"], run.best, emit)
            run.offer(text, whole=True)
    except BudgetExhausted as error:
        stopped = why_stopped(error)
        run.note("answer", str(error))
    except DeadlineReached as error:
        if run.ledger.seconds_left() is None:
            raise
        stopped = "deadline"
        run.offer(error.partial.text if error.partial else "", whole=False)
        run.note("answer", str(error))
    return {
        "run": run.key,
        "limits": run.ledger.budget.as_dict(),
        "text": run.best,
        "stopped": stopped,
        "trace": await run.conclude(),
    }


def opening(run: Run, state: State, prompt: str, default: str, form: Form) -> list[Message]:
    """The conversation up to and with the question, under a node's system prompt."""
    text = told(run, run.prompt(prompt, default), form)
    head = [system(text)] if text else []
    return [*head, *state.get("history", ()), user(state["question"])]


def said(run: Run, reply: Reply) -> str:
    """What a final reply says. Raises `MalformedReply` where it says nothing at all."""
    text = reply.text if reply.text.strip() else reply.refusal
    if not text and verdict(reply) == "answered":
        raise MalformedReply(f"{run.model.backend.base_url}: the model's reply has no text in it")
    return text


def verdict(reply: Reply) -> Stopped:
    """Why this reply ends the run."""
    if reply.refusal or reply.finish_reason == "content_filter":
        return "refused"
    if reply.finish_reason == "length":
        return "budget"
    return "answered"


SYSTEM = """\
Answer the question. Give the reasons first, as briefly as the question allows. \
Write the final answer alone on the last line, as `Answer: …`."""
