"""One run of the demo as a small tree: its nodes, branches, verdicts and tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .branches import readable_key
from .demo_figures import Asked


@dataclass(frozen=True, slots=True)
class Step:
    """A node that ran."""

    node: str
    reason: str
    answer: str
    tokens: int
    passed: bool | None
    judged: bool
    """Whether it is a verdict."""


@dataclass(slots=True)
class Branch:
    """A branch: its nodes, and the branches below it, in order."""

    name: str
    items: list[Step | Branch] = field(default_factory=list)

    @property
    def branches(self) -> list[Branch]:
        """Those right below it."""
        return [item for item in self.items if isinstance(item, Branch)]

    @property
    def steps(self) -> list[Step]:
        """Its own nodes."""
        return [item for item in self.items if isinstance(item, Step)]

    @property
    def tokens(self) -> int:
        """Spent by it and by all below it."""
        return sum(item.tokens for item in self.items)

    @property
    def answer(self) -> str:
        """The last answer that it noted; empty without one."""
        return next((step.answer for step in reversed(self.steps) if step.answer), "")

    @property
    def verdict(self) -> Step | None:
        """The last verdict on it."""
        return next((step for step in reversed(self.steps) if step.judged), None)


def grown(trace: Sequence[Mapping[str, Any]]) -> Branch:
    """The tree of a trace's entries."""
    root = Branch("main")
    places = {"": root}
    for entry in trace:
        path = str(entry.get("branch", ""))
        _place(places, path).items.append(_step(entry))
    return root


def _place(places: dict[str, Branch], path: str) -> Branch:
    if path not in places:
        above, _, name = path.rpartition("/")
        places[path] = Branch(name)
        _place(places, above).items.append(places[path])
    return places[path]


def _step(entry: Mapping[str, Any]) -> Step:
    depth = entry.get("depth")
    return Step(
        node=f"{entry['node']} → {depth}" if depth else str(entry["node"]),
        reason=str(entry.get("reason", "")),
        answer=readable_key(str(entry.get("answer", ""))),
        tokens=int(entry.get("tokens", 0)),
        passed=entry.get("passed"),
        judged="passed" in entry,
    )


def telling(done: Sequence[Asked]) -> Asked | None:
    """The run worth showing: of auto, right, through several depths, and small."""
    ran = [asked for asked in done if asked.way == "auto" and not asked.cut and asked.answer.text]

    def worth(asked: Asked) -> tuple[bool, bool, int]:
        deepened = len(grown(asked.answer.trace).branches) > 1
        return not (asked.right and deepened), not deepened, len(asked.answer.trace)

    return min(ran, key=worth, default=None)
