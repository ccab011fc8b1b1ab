"""Right answers over tokens, drawn with plain characters. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count

from rich.text import Text

from .demo_figures import WAYS, Score

LEFT = 6
"""Columns of the vertical axis."""
STEPS = (1, 2, 5)

Cell = tuple[str, str]
"""A character and its style."""


def scale(table: Sequence[Score]) -> tuple[float, float]:
    """Both ends of the axis of tokens: round numbers around all points."""
    if not table:
        return 100, 1000
    tokens = [max(1.0, score.tokens) for score in table]
    low = max(tick for tick in _round_numbers(max(tokens)) if tick <= min(tokens))
    high = next(tick for tick in _round_numbers(math.inf) if tick > max(tokens))
    return low, high


def ticks(low: float, high: float) -> list[int]:
    """The round numbers from one end of the axis to the other."""
    return [tick for tick in _round_numbers(high) if tick >= low]


def along(tokens: float, low: float, high: float) -> float:
    """Where on the logarithmic axis: 0 at the low end, 1 at the high one."""
    return (math.log(max(tokens, low)) - math.log(low)) / (math.log(high) - math.log(low))


def chart(table: Sequence[Score], width: int, height: int) -> Text:
    """A plot of `width` columns and `height` lines, the axis of tokens among them."""
    columns, rows = width - LEFT, height - 3
    low, high = scale(table)
    grid: list[list[Cell]] = [[(" ", "")] * columns for _ in range(rows)]
    _draw_points(grid, table, low, high)
    lines = [
        Text.assemble((_margin(row, rows), "dim"), *cells, no_wrap=True)
        for row, cells in enumerate(grid)
    ]
    lines.append(Text(" " * (LEFT - 1) + "+" + "-" * columns, "dim", no_wrap=True))
    lines.append(Text(" " * LEFT + _tick_line(low, high, columns), "dim", no_wrap=True))
    lines.append(Text("right, over tokens a question (log)".rjust(width), "dim"))
    return Text("\n").join(lines)


def _round_numbers(most: float) -> Iterator[int]:
    """1, 2, 5, 10, 20, 50 and so on, up to `most`."""
    for power in count():
        for step in STEPS:
            if (tick := step * 10**power) > most:
                return
            yield tick


def _margin(row: int, rows: int) -> str:
    """The axis of right answers: a figure at its ends and its quarters."""
    marked = {round(quarter / 4 * (rows - 1)): 100 - 25 * quarter for quarter in range(5)}
    return f"{marked[row]:>3}% +" if row in marked else "     |"


def _tick_line(low: float, high: float, columns: int) -> str:
    line = ""
    for tick in ticks(low, high):
        name = f"{tick:,}"
        at = min(round(along(tick, low, high) * (columns - 1)), columns - len(name))
        if at >= len(line) + bool(line):
            line = line.ljust(at) + name
    return line.ljust(columns)


def _draw_points(grid: list[list[Cell]], table: Sequence[Score], low: float, high: float) -> None:
    """Each way's number at its place, and its name beside it where there is room."""
    rows, columns = len(grid), len(grid[0])
    places: dict[tuple[int, int], list[Score]] = {}
    for score in table:
        row = round((1 - score.share) * (rows - 1))
        column = round(along(score.tokens, low, high) * (columns - 1))
        places.setdefault((row, column), []).append(score)
    for (row, column), here in places.items():
        grid[row][column] = (mark_of(here[0]), f"bold reverse {here[0].way.style}")
    for (row, column), here in places.items():
        names = [score.way.name for score in here]
        if len(here) > 1:
            names = [f"{mark_of(score)} {score.way.name}" for score in here]
        _write(grid, row, column, ", ".join(names), here[0].way.style)


def mark_of(score: Score) -> str:
    """The number that stands for a way on the plot and in the table."""
    return str(WAYS.index(score.way) + 1)


def _write(grid: list[list[Cell]], row: int, column: int, name: str, style: str) -> None:
    """Beside the point, else a line above or below it, else nowhere: the table has the number."""
    for line in (row, row - 1, row + 1):
        for start in (column + 2, column - 1 - len(name)):
            end = start + len(name)
            if not (0 <= line < len(grid) and start >= 0 and end <= len(grid[0])):
                continue
            around = grid[line][max(0, start - 1) : end + 1]
            if all(character == " " for character, _ in around):
                grid[line][start:end] = [(character, style) for character in name]
                return
