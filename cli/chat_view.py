"""An answer while it is made, on a terminal: what is being said grows above a line of figures."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ..budgets import Budget
from ..graphs import (
    BudgetState,
    DepthChosen,
    Event,
    Thinking,
    ToolFinished,
    ToolStarted,
    VerdictGiven,
)
from ..graphs import Text as Said
from .branches import BranchBoard
from .live import meter, readable, tool_line
from .printable import printable

AROUND = 6
"""Rows of the terminal that are kept for what is not said: figures, and lines above."""
THOUGHT = 4
"""Lines of the model's reasoning that are shown."""
ALONE = frozenset({"main", "direct", "reason", "reflect", "draft"})
"""Branches that have no siblings: what they say may become the answer."""


class ChatView:
    """Shows events as they come. A context manager; pass each event to `show`.

    Tool calls stay on the terminal, with what was said before them. The rest of what the model says
    is shown while it is said, and goes: the answer is printed once it is known which of it that is.
    """

    def __init__(self, console: Console, limits: Budget) -> None:
        self._console = console
        self._limits = limits.as_dict()
        self._depth = Text("")
        self._said: list[tuple[bool, str]] = []
        """What the present call says, in pieces: whether it is reasoning, and the text."""
        self._voice: tuple[str, int] = ("", 0)
        """Who says it: branch, and attempt of the call."""
        self._board = BranchBoard()
        self._meter: RenderableType = Text("")
        self._live = Live(console=console, refresh_per_second=12, transient=True)

    def __enter__(self) -> ChatView:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.update(Text(""))
        self._live.stop()
        if self._board.votes:
            self._board.running.clear()
            self._lasting(self._board.draw())

    def show(self, event: Event) -> None:
        """Take one event."""
        match event:
            case DepthChosen(depth=depth, reason=reason):
                self._depth = Text.assemble(
                    ("depth  ", "dim"), (depth, "cyan"), (f"  {printable(reason)}", "dim")
                )
            case BudgetState():
                self._meter = meter(event.spent, event.left, self._limits)
            case _ if alone(event.branch):
                self._take(event)
            case ToolFinished():
                self._lasting(Text.assemble((f"{event.branch} ", "cyan"), tool_line(event)))
            case _:
                self._board.take(event)
        self._live.update(self.draw())

    def keep_said(self) -> None:
        """Let what was said so far stay on the terminal."""
        said = "".join(text for thought, text in self._said if not thought).strip()
        self._said.clear()
        if said:
            self._lasting(Text(said))

    def draw(self) -> RenderableType:
        """The end of what is being said, the branches at work, and what is spent."""
        board = self._board.draw()
        rows = [self._depth] if self._depth else []
        return Group(*rows, *self._tail(), *([] if board is None else [board]), self._meter)

    def _take(self, event: Event) -> None:
        match event:
            case Said(text=text, attempt=attempt) | Thinking(text=text, attempt=attempt):
                if (event.branch, attempt) != self._voice:
                    self._said.clear()
                    self._voice = event.branch, attempt
                self._said.append((isinstance(event, Thinking), printable(text)))
            case ToolStarted(tool=tool, arguments=arguments):
                self.keep_said()
                call = Text.assemble(("call   ", "dim"), (f"{printable(tool)} ", "bold"))
                self._lasting(call.append(readable(arguments)))
            case ToolFinished():
                self._lasting(tool_line(event))
            case VerdictGiven():
                self._said.clear()
                self._lasting(self._board.take(event))
            case _:
                pass

    def _tail(self) -> list[Text]:
        """As much of the end of what is said as there is room for."""
        said = "".join(text for thought, text in self._said if not thought)
        thoughts = "".join(text for thought, text in self._said if thought)
        if said.strip():
            return self._last_lines(said, self._console.height - AROUND, "")
        return self._last_lines(thoughts, THOUGHT, "dim italic")

    def _last_lines(self, text: str, rows: int, style: str) -> list[Text]:
        rows, width = max(rows, 1), self._console.width
        # Only what can be seen is broken into lines: it is done again for every piece.
        near = Text(text.strip("\n")[-rows * width :], style)
        return list(near.wrap(self._console, width))[-rows:]

    def _lasting(self, line: RenderableType | None) -> None:
        if line is not None:
            self._console.print(line)


def alone(branch: str) -> bool:
    """Whether what the branch says may become the answer: it is no chain of a vote, no critic."""
    return all(part in ALONE or part.startswith("refine.") for part in branch.split("/"))
