"""land: the final answer, paid from the slice that was held back for it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from langgraph.runtime import Runtime

from ...budgets import Amount, Budget, BudgetExhausted, Price
from ...models import BackendError, DeadlineReached, Message, Profile, Request, user
from ...models.messages import prompt_bound
from ..history import size
from ..opening import run_of
from ..output import InvalidOutput, OutputType
from ..run import Emit, Run
from ..state import Context, State, Stopped, why_stopped
from .answer import LEAST, said, verdict
from .repair import conform
from .typed import LAND, form_of, format_of, told

OUTPUT = 256
"""Output tokens wanted for the final answer."""
TYPED_OUTPUT = 512
"""The same where a type was asked for: JSON is longer."""
BYTES_PER_TOKEN = 4
"""Of prose, with the usual tokenizers."""


async def land(state: State, runtime: Runtime[Context]) -> State:
    """Ask for the answer with what is known. Without the means, the best candidate is the answer.

    A candidate that already states its answer is taken as it is: it costs nothing. A branch whose
    budget or time is up has what it has: the means that are left are the run's.
    """
    async with run_of(state, runtime) as run:
        return await _land(run, state, runtime.stream_writer)


async def _land(run: Run, state: State, emit: Emit) -> State:
    stopped: Stopped = state.get("stopped", "budget")
    ended = run.parent is not None and stopped in ("budget", "deadline")
    if not (run.states_answer() or ended):
        try:
            reply = await run.ask(
                Request(
                    messages=await _messages(run, state),
                    identity=_identity(state),
                    max_tokens=_wanted(run.output),
                    response_format=format_of(run, form_of(run), reasoned=False),
                ),
                "land",
                emit,
                landing=True,
            )
            run.note("land", reply.finish_reason, reply)
            run.offer(said(run, reply), whole=reply.finish_reason == "stop")
            if verdict(reply) != "answered":
                stopped = verdict(reply)
            elif run.output is not None:
                text, ended_by = await conform(run, state["question"], said(run, reply), emit)
                run.offer(text, whole=True)
                stopped = ended_by if stopped == "answered" else stopped
        except InvalidOutput as error:
            run.note("land", str(error))
            if stopped == "answered":
                raise
        except BudgetExhausted as error:
            run.note("land", str(error))
            if stopped == "answered":
                stopped = why_stopped(error)
        except BackendError as error:
            run.note("land", str(error))
            if isinstance(error, DeadlineReached) and run.ledger.seconds_left() == 0:
                stopped = "deadline"
                run.offer(error.partial.text if error.partial else "", whole=False)
            elif stopped == "answered" or not run.best:
                raise
    return {"text": run.best, "stopped": stopped, "trace": await run.conclude()}


def slice_for(
    question: str,
    history: Sequence[Message],
    profile: Profile,
    budget: Budget,
    price: Price,
    output: OutputType | None = None,
) -> Amount:
    """What to hold back for the final answer: a third of the budget at most.

    Nothing, where a third would likely not pay for that answer's prompt: the first call is the only
    one then, and needs all there is.
    """
    finish = FINISH if output is None else LAND + output.schema_text
    request = Request(
        messages=[*history, user(f"{question}\n\n{NOTES}\n\n{finish}")],
        response_format=None if output is None else output.response_format(reasoned=False),
    )
    likely = size(request.messages) / BYTES_PER_TOKEN + LEAST
    if budget.tokens is not None and budget.tokens // 3 < likely:
        return Amount()
    prompt, wanted = prompt_bound(request, profile.allowance), _wanted(output)
    cost = price.cost(prompt, wanted)
    return Amount(
        tokens=0 if budget.tokens is None else min(prompt + wanted, budget.tokens // 3),
        calls=0 if budget.calls is None else min(1, budget.calls // 2),
        cost=cost if budget.cost is None else min(cost, budget.cost / 3),
    )


async def _messages(run: Run, state: State) -> list[Message]:
    """The conversation, and as many notes of the way as the tokens left and the context allow."""
    history = list(state.get("history", ()))
    finish = told(run, run.prompt("land.user", FINISH), form_of(run), reasoned=False)
    if not finish:
        return [*history, user(state["question"])]
    notes = [note for message in state.get("messages", ()) if (note := note_of(message))]
    context = (await run.model.capabilities()).context
    rooms = [room for room in (run.ledger.left().tokens, context) if room is not None]
    allowance = run.model.profile.allowance
    while True:
        heard = [NOTES, "\n".join(notes)] if notes else []
        messages = [*history, user("\n\n".join([state["question"], *heard, finish]))]
        need = prompt_bound(Request(messages=messages), allowance) + _wanted(run.output)
        if not notes or all(need <= room for room in rooms):
            return messages
        notes = notes[1:]


def _identity(state: State) -> str:
    """What the landing answers, whatever of its notes there is room for."""
    told = [state["question"], state.get("history", []), state.get("messages", [])]
    return json.dumps(told)


def _wanted(output: OutputType | None) -> int:
    return OUTPUT if output is None else TYPED_OUTPUT


def note_of(message: Message) -> str:
    """A message of the way, as one line of notes."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    asked = "".join(f"[called {call['name']}: {call['arguments']}]" for call in calls)
    result = "[result] " if message["role"] == "tool" else ""
    return f"{result}{message['content']}{asked}".strip()


NOTES = "What has been worked out so far:"

FINISH = "There is no more room to work. Give the best answer you can now, as `Answer: …`."
