"""The branches of a run on a time line, as one SVG picture. Pure."""

from __future__ import annotations

import math

from .markup import clean, cut
from .story import Branch, Story

WIDTH, LABEL, RIGHT, ROW, HEAD = 1000, 180, 12, 24, 26
"""In the picture's own units: its width, the names' width, the right margin, a row, the axis."""
TICKS = 8
"""At most this many marks on the axis."""


def timeline(story: Story) -> str:
    """One row for each branch: a bar from its start to its end, its calls, its tool calls."""
    end = story.seconds
    height = HEAD + ROW * len(story.branches) + 6
    scale = (WIDTH - LABEL - RIGHT) / end
    marks = [_mark(LABEL + at * scale, at, height) for at in ticks(end)]
    rows = [
        _row(branch, HEAD + ROW * place, scale, end) for place, branch in enumerate(story.branches)
    ]
    said = f"{len(story.branches)} branches in {end:.2f} seconds"
    return (
        f'<svg class="timeline" role="img" aria-label="{said}" '
        f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n'
        + "\n".join(marks + rows)
        + "\n</svg>"
    )


def ticks(end: float) -> list[float]:
    """Round times from 0 up to `end`, which is above 0: at most `TICKS` of them after the 0."""
    power = 10.0 ** math.floor(math.log10(end / TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor * TICKS >= end)
    return [number * step for number in range(int(end / step) + 1)]


def _mark(x: float, at: float, height: int) -> str:
    return (
        f'<line class="grid" x1="{x:.1f}" y1="{HEAD - 6}" x2="{x:.1f}" y2="{height}"/>'
        f'<text class="axis" x="{x:.1f}" y="14" text-anchor="middle">{at:g} s</text>'
    )


def _row(branch: Branch, y: int, scale: float, end: float) -> str:
    def bar(kind: str, start: float, until: float, top: int, high: int) -> str:
        x, wide = LABEL + start * scale, max(1.5, (until - start) * scale)
        return (
            f'<rect class="{kind}" x="{x:.1f}" y="{y + top}" width="{wide:.1f}" '
            f'height="{high}" rx="2"/>'
        )

    until = end if branch.until is None else branch.until
    title = f"{branch.name}: {branch.ended}, {branch.began:.2f} to {until:.2f} s"
    if branch.tokens is not None:
        title += f", {branch.tokens:,} tokens"
    kind = branch.ended if branch.ended in STATES else "whole"
    parts = [
        f"<g><title>{clean(title)}</title>",
        f'<text class="name" x="{LABEL - 8}" y="{y + 16}" text-anchor="end">'
        f"{clean(cut(branch.name, 26))}</text>",
        bar(f"bar {kind}", branch.began, until, 4, 16),
        *(bar("call", start, stop, 4, 16 if start == stop else 8) for start, stop in branch.calls),
        *(bar("tool", start, stop, 13, 7) for start, stop in branch.tools),
        "</g>",
    ]
    return "".join(parts)


STATES = frozenset(("cut", "weak", "failed", "refused", "cancelled", "open", "budget", "deadline"))
"""Ends that a bar's colour tells from a whole one."""
