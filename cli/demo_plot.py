"""Right answers over tokens, as inline SVG, with 95 % intervals. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .demo_chart import along, mark_of, scale, ticks
from .demo_figures import Score

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 50, 740, 15, 330
LETTER, LINE = 7.5, 15
"""About as wide as a letter and as high as a line of a name."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def plot(table: Sequence[Score]) -> str:
    """The ways as points with their names."""
    low, high = scale(table)

    def across(tokens: float) -> float:
        return LEFT + along(tokens, low, high) * (RIGHT - LEFT)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Right answers over tokens">'
    ]
    for percent in range(0, 101, 25):
        y = _height(percent / 100)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}%</text>')
    for tick in ticks(low, high):
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{tick:,}</text>')
    about = "right answers over tokens a question (logarithmic), with 95 % intervals"
    parts.append(f'<text x="{RIGHT}" y="{BOTTOM + 40}" text-anchor="end">{about}</text>')
    spots = [(across(score.tokens), _height(score.share)) for score in table]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in spots]
    for score, (x, y) in zip(table, spots, strict=True):
        parts.append(_point(score, x, y, taken))
    return "".join([*parts, "</svg>"])


def _height(share: float) -> float:
    return BOTTOM - share * (BOTTOM - TOP)


def _point(score: Score, x: float, y: float, taken: list[Box]) -> str:
    least, most = score.interval
    name = f"{mark_of(score)} {score.way.name}"
    left, base = _room(name, x, y, taken)
    return (
        f'<g class="w{mark_of(score)}"><line class="spread" stroke-width="2" x1="{x:.1f}" '
        f'y1="{_height(least):.1f}" x2="{x:.1f}" y2="{_height(most):.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
        f'<text class="name" x="{left:.1f}" y="{base:.1f}">{escape(name)}</text></g>'
    )


def _room(name: str, x: float, y: float, taken: list[Box]) -> tuple[float, float]:
    """Where a name stands free of others: right or left of its point, as near as can be."""
    wide = LETTER * len(name)
    near = [0.0] + [sign * LINE * step for step in range(1, 8) for sign in (-1, 1)]
    places = [(left, y + up) for up in near for left in (x + 11, x - 11 - wide)]
    for left, middle in places:
        box = (left, middle - LINE / 2, left + wide, middle + LINE / 2)
        inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= 0 and box[3] <= BOTTOM + 4
        if inside and not any(_meet(box, other) for other in taken):
            taken.append(box)
            return left, middle + 4
    return x + 11, y + 4


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
