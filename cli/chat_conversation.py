"""A conversation on a thread: asks, sees to what waits for a person, and says how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from ..agents import Agent, Answer, Pending, Thread, Turn
from ..budgets import Budget
from ..errors import MullError
from ..graphs import effort_of
from ..portal import run_blocking
from .chat_screen import Events, Screen
from .live import budget_text
from .printable import printable

SHOWN = 2
"""Turns that are shown of a thread that exists."""
CLIPPED = 10
"""Lines of an answer that are shown of them."""
CUT_OFF = "/resume goes on with it, another question takes its place"


class Undecided(MullError):
    """A run waits for a person who has not decided."""


class Conversation:
    """Asks on one thread, with the person's present choices of budget, depth and effort.

    Args:
        agent: Answers.
        screen: Whoever the conversation is held with.
        thread_budget: Limits of threads that are opened.
        approves_all: Approve what an earlier run still waits for, and do not ask.
    """

    def __init__(
        self,
        agent: Agent,
        screen: Screen,
        *,
        depth: str,
        effort: str | None,
        budget: Budget,
        thread_budget: Budget | None,
        approves_all: bool,
    ) -> None:
        self.agent, self.screen = agent, screen
        self.depth, self.effort, self.budget = depth, effort, budget
        self.ended = False
        """Set by /quit."""
        self._thread_budget = thread_budget
        self._approves_all = approves_all
        self._thread: Thread | None = None

    @property
    def thread(self) -> Thread:
        """The thread that was opened last."""
        assert self._thread is not None, "a thread is opened before anything is asked"
        return self._thread

    def open(self, name: str) -> None:
        """Go to a thread, new or old, and say where it stands."""
        self._thread = self.agent.thread(name, budget=self._thread_budget)
        model = printable(run_blocking(self.agent.model.name))
        turns = self.thread.history()
        self.note(f"{model} · thread {printable(self.thread.id)} · {counted(turns)}")
        if len(turns) > SHOWN:
            self.note(f"the last {SHOWN}; /history shows all")
        for turn in turns[-SHOWN:]:
            self.screen.say(exchange(turn, CLIPPED))

    def catch_up(self) -> Answer | None:
        """Offer to end what an earlier run has not ended. Raises as `ask`."""
        if self.thread.pending():
            return self.settle()
        if not self.cut_off():
            return None
        self.note("the last question was cut off")
        if self.screen.confirm("go on with it?"):
            return self.resume()
        self.note(CUT_OFF)
        return None

    def ask(self, question: str) -> Answer | None:
        """Ask it; None where the person stopped the answer.

        Raises `Undecided`, and what `Thread.astream` raises.
        """
        if pending := self.thread.pending():
            raise undecided(pending)
        if self.cut_off():
            self.note("it takes the place of the question that was cut off")
        return self._followed(
            lambda: self.thread.astream(
                question,
                depth=self.depth,
                budget=None if self.budget == Budget() else self.budget,
                effort=self.effort,
            )
        )

    def resume(self) -> Answer | None:
        """Go on with a question that was cut off; None where the person stopped it again."""
        if self.thread.pending():
            return self.settle()
        if not self.cut_off():
            self.note("nothing was cut off")
            return None
        return self._followed(lambda: self.thread.astream_resume({}))

    def settle(self) -> Answer | None:
        """Have decided what waits, and go on; None where nothing waits. Raises as `ask`."""
        pending = self.thread.pending()
        if not pending:
            self.note("nothing waits for a decision")
            return None
        return self._decided(pending)

    def cut_off(self) -> bool:
        """Whether the last question has no answer yet: it was stopped, it failed, or it waits."""
        return run_blocking(self.thread.ainterrupted)

    def note(self, text: str) -> None:
        """Show a line about the conversation itself."""
        self.screen.say(Text(text, "dim"))

    def _followed(self, events: Events) -> Answer | None:
        """Follow a run to its answer, through all that it waits for on the way."""
        try:
            answer = self.screen.follow(events, self.limits)
        except Exception:
            if self.cut_off():
                self.note(f"the question is kept: {CUT_OFF}")
            raise
        if answer is None:
            self.note(f"stopped: {CUT_OFF}" if self.cut_off() else "stopped")
            return None
        if answer.pending:
            return self._decided(answer.pending)
        self.screen.reply(answer)
        self.note(summary(answer))
        if not answer.text:
            self.screen.say(Text(f"mull: no answer: {why(answer)}", "red"))
        return answer

    def _decided(self, pending: Sequence[Pending]) -> Answer | None:
        """Go on with the person's decisions."""
        if self._approves_all and all(one.kind == "approval" for one in pending):
            decisions: Mapping[str, Any] = {one.id: True for one in pending}
        elif (made := self.screen.decide(pending)) is not None:
            decisions = made
        else:
            raise undecided(pending)
        return self._followed(lambda: self.thread.astream_resume(decisions))

    @property
    def limits(self) -> Budget:
        """Limits of each answer: the budget that was given, else the effort's."""
        if self.effort is not None and self.budget == Budget():
            return effort_of(self.effort).budget
        return self.budget


def undecided(pending: Sequence[Pending]) -> Undecided:
    """The error that says what waits. Pure."""
    waits = Counter(one.tool if one.kind == "approval" else "the answer" for one in pending)
    what = ", ".join(f"{name} ×{n}" if n > 1 else name for name, n in waits.items())
    how = "/pending asks for it on a terminal, /undo takes the question back"
    return Undecided(f"a run waits for a decision on {printable(what)}: {how}")


def counted(turns: Sequence[Turn]) -> str:
    """How many turns there are, in words. Pure."""
    return "new" if not turns else "1 turn" if len(turns) == 1 else f"{len(turns)} turns"


def exchange(turn: Turn, lines: int | None = None) -> Text:
    """A question and its answer, the answer cut to so many lines. Pure."""
    said = turn.text.splitlines()
    shown = said if lines is None or len(said) <= lines else [*said[:lines], "…"]
    return Text.assemble((f"> {printable(turn.question)}\n", "cyan"), printable("\n".join(shown)))


def summary(answer: Answer) -> str:
    """How it was answered and what it took, on one line. Pure."""
    parts = [f"depth {answer.depth}"]
    if answer.difficulty is not None:
        hard = answer.difficulty
        parts.append(f"{hard['level']} {hard['p_direct']:.2f} ({hard['source']})")
    spent = budget_text(answer.usage.as_dict(), answer.budget.as_dict())
    return printable(" · ".join([*parts, f"stopped: {answer.stopped}", spent]))


def why(answer: Answer) -> str:
    """The reason of the last step of a run that has no answer. Pure."""
    return printable(str(answer.trace[-1]["reason"] if answer.trace else answer.stopped))
