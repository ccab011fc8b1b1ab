"""land: the final answer, paid from the slice that was held back for it."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.runtime import Runtime

from ...budgets import Amount, Budget, BudgetExhausted, Price
from ...models import BackendError, DeadlineReached, Message, Profile, Request, user
from ...models.messages import prompt_bound
from ..opening import run_of
from ..run import Emit, Run
from ..state import Context, State, Stopped
from .answer import said, verdict, why_stopped

OUTPUT = 256
"""Output tokens wanted for the final answer."""


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
                Request(messages=await _messages(run, state), max_tokens=OUTPUT),
                "land",
                emit,
                landing=True,
            )
            run.note("land", reply.finish_reason, reply)
            run.offer(said(run, reply), whole=reply.finish_reason == "stop")
            if verdict(reply) != "answered":
                stopped = verdict(reply)
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
    question: str, history: Sequence[Message], profile: Profile, budget: Budget, price: Price
) -> Amount:
    """What to hold back for the final answer: a third of the budget at most."""
    request = Request(messages=[*history, user(f"{question}\n\n{NOTES}\n\n{FINISH}")])
    prompt = prompt_bound(request, profile.allowance)
    cost = price.cost(prompt, OUTPUT)
    return Amount(
        tokens=0 if budget.tokens is None else min(prompt + OUTPUT, budget.tokens // 3),
        calls=0 if budget.calls is None else min(1, budget.calls // 2),
        cost=cost if budget.cost is None else min(cost, budget.cost / 3),
    )


async def _messages(run: Run, state: State) -> list[Message]:
    """The conversation, and as many notes of the way as the tokens left and the context allow."""
    history = list(state.get("history", ()))
    finish = run.prompt("land.user", FINISH)
    if not finish:
        return [*history, user(state["question"])]
    notes = [note for message in state.get("messages", ()) if (note := note_of(message))]
    context = (await run.model.capabilities()).context
    rooms = [room for room in (run.ledger.left().tokens, context) if room is not None]
    allowance = run.model.profile.allowance
    while True:
        heard = [NOTES, "\n".join(notes)] if notes else []
        messages = [*history, user("\n\n".join([state["question"], *heard, finish]))]
        need = prompt_bound(Request(messages=messages), allowance) + OUTPUT
        if not notes or all(need <= room for room in rooms):
            return messages
        notes = notes[1:]


def note_of(message: Message) -> str:
    """A message of the way, as one line of notes."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    asked = "".join(f"[called {call['name']}: {call['arguments']}]" for call in calls)
    result = "[result] " if message["role"] == "tool" else ""
    return f"{result}{message['content']}{asked}".strip()


NOTES = "What has been worked out so far:"

FINISH = "There is no more room to work. Give the best answer you can now, as `Answer: …`."
