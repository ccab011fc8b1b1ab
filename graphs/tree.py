"""The search tree as a plain value: what was expanded so far → what to expand next.

TreeQuest holds the algorithms: AB-MCTS-A (Inoue et al., 2025), Tree of Thoughts by breadth (Yao et
al., 2023), MCTS with UCT. Its state is rebuilt from the rows each time, so that a search can go on
after a crash from nothing but them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from threading import Lock
from typing import Any, TypedDict

from .settings import Algorithm

ROOT = -1
"""Number of the root."""
ACTION = "step"
BREADTH = 3
"""tot-bfs: nodes kept at each level …"""
BRANCHING = 4
"""… and steps proposed from each of them; mcts: steps proposed from a leaf."""
EXPLORATION = math.sqrt(2)
"""mcts: weight of rarely visited nodes in UCT."""


class Expansion(TypedDict):
    """A node: one step that was proposed and scored."""

    wave: int
    place: int
    """Within its wave."""
    parent: int
    """Number of the node it was proposed from."""
    steps: list[str]
    """From the root to it."""
    score: float
    """From 0 to 1."""
    final: bool
    """Whether it states an answer."""
    reasons: str
    """What was said of it."""


class Target(TypedDict):
    """A node to propose a step from. Plain values: a checkpoint holds it while it is expanded."""

    node: int
    """Its number; `ROOT`."""
    steps: list[str]
    """From the root to it."""
    final: bool
    """Whether it states an answer."""
    reasons: str
    """What was said of it."""


def plan(
    rows: Sequence[Expansion], algorithm: Algorithm, width: int, *, seed: int | None = None
) -> list[Target]:
    """The next nodes to expand at once: at most `width`, at least one.

    A seed makes the choice of `ab-mcts`, which is drawn at random, repeatable. The rows are those
    that earlier plans led to; places that are missing in a wave are expansions that failed.
    """
    rows = in_order(rows)
    if algorithm == "tot-bfs" and not rows:
        # The library takes one step from the root: ToT proposes as many as from any node.
        return [_target(rows, ROOT)] * min(width, BRANCHING)
    with _seeded(seed, len(rows)):
        grown = _Grown(algorithm, rows)
        return [_target(rows, node) for node in grown.ask(width)]


def in_order(rows: Sequence[Expansion]) -> list[Expansion]:
    """The rows as they were told to the tree: a row's place in it is its node's number."""
    return sorted(rows, key=lambda row: (row["wave"], row["place"]))


def _target(rows: Sequence[Expansion], node: int) -> Target:
    if node == ROOT:
        return Target(node=ROOT, steps=[], final=False, reasons="")
    row = rows[node]
    return Target(node=node, steps=row["steps"], final=row["final"], reasons=row["reasons"])


class _Grown:
    """TreeQuest's algorithm and state, grown from rows."""

    def __init__(self, algorithm: Algorithm, rows: Sequence[Expansion]) -> None:
        import treequest  # A second of imports: only a search pays it.

        made: dict[Algorithm, Any] = {
            "ab-mcts": lambda: treequest.ABMCTSA(dist_type="beta"),
            "mcts": lambda: treequest.StandardMCTS(
                samples_per_action=BRANCHING, exploration_weight=EXPLORATION
            ),
            "tot-bfs": lambda: treequest.TreeOfThoughtsBFSAlgo(
                breadth_limit=BREADTH, size_limit=BRANCHING
            ),
        }
        self._algo = made[algorithm]()
        self._state = self._algo.init_tree()
        self._queued = algorithm != "ab-mcts"
        # Breadth-first: a node that stands for the root, so that it is expanded like any other.
        self._shift = 1 if algorithm == "tot-bfs" else 0
        if self._shift:
            (trial,) = self._trials(1)
            self._tell(trial.trial_id, 0.5)
        for _, wave in groupby(rows, key=lambda row: row["wave"]):
            self._replay(list(wave))

    def ask(self, width: int) -> list[int]:
        """Numbers of the nodes to expand."""
        nodes = [trial.node_to_expand for trial in self._trials(width)]
        return [max(ROOT, node - self._shift) for node in nodes]

    def _trials(self, width: int) -> list[Any]:
        # Asked for nothing, it fills its queue; asked for more than is queued, it would repeat.
        self._state, _ = self._algo.ask_batch(self._state, 0, [ACTION])
        if self._queued:
            width = min(width, sum(map(len, self._state.trial_store.next_nodes.values())))
        self._state, trials = self._algo.ask_batch(self._state, width, [ACTION])
        return list(trials)

    def _replay(self, wave: Sequence[Expansion]) -> None:
        if not self._queued:
            self._algo.ask_batch(self._state, 0, [ACTION])
            for row in wave:
                node = self._state.tree.get_node(row["parent"])
                self._state.thompson_states.get_or_create(node, [ACTION])
                trial = self._state.trial_store.create_trial(node, ACTION)
                self._tell(trial.trial_id, row["score"])
            return
        waiting = self._trials(len(wave) + BREADTH * BRANCHING)
        for row in wave:
            parent = row["parent"] + self._shift
            trial = next(t for t in waiting if t.node_to_expand == parent)
            waiting.remove(trial)
            self._tell(trial.trial_id, row["score"])

    def _tell(self, trial: str, score: float) -> None:
        self._state = self._algo.tell(self._state, trial, ("", min(1.0, max(0.0, score))))


@contextmanager
def _seeded(seed: int | None, move: int) -> Iterator[None]:
    """TreeQuest draws from numpy's global generator: seeded for one move, then put back."""
    import numpy

    with _DRAWING:
        before = numpy.random.get_state()
        numpy.random.seed(None if seed is None else (seed * 100_003 + move) % 2**32)
        try:
            yield
        finally:
            numpy.random.set_state(before)


_DRAWING = Lock()
"""Searches of other threads draw from the same generator."""
