"""Spending as text for people, as CSV and as JSON. Pure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence

from .spending import Spending

SHOWN = ("calls", "tool_calls", "input_tokens", "output_tokens", "total_tokens", "wasted_tokens")
"""Columns that people always see; more are in the exports."""
WHEN_ANY = ("held_tokens", "swept")
"""Columns that people see where one line has something in them."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run."""
LONG_NAME = re.compile(r"([0-9a-f]{8})[0-9a-f]{24}")
"""A name of a run that an agent made up; people see its start, the exports have all of it."""


def as_text(names: Sequence[str], lines: Sequence[Spending], total: Spending) -> str:
    """Aligned columns: a head, one row for each line, the total. Costs are in US dollars."""
    sums = total.as_dict()
    columns = [*SHOWN, *(name for name in WHEN_ANY if sums[name])]
    heads = [name.removesuffix("_tokens").replace("total", "tokens") for name in columns]
    rows = [[*names, *(head.replace("_", " ") for head in heads), "cost"]]
    for group, values in [
        *((line.group, line.as_dict()) for line in lines),
        (("total", *("" for _ in names[1:])), sums),
    ]:
        figures = [f"{values[name]:,}" for name in columns]
        rows.append([*(_plain(value) for value in group), *figures, values["cost"]])
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        "  ".join(
            cell.ljust(wide[place]) if place < len(names) else cell.rjust(wide[place])
            for place, cell in enumerate(row)
        )
        for row in rows
    ]
    return "\n".join(aligned) + "\n"


def as_csv(names: Sequence[str], lines: Sequence[Spending]) -> str:
    """A head and one row for each line; no total, so that a sum over a column is right.

    A value that a spreadsheet would run as a formula gets a `'` before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, *Spending().as_dict()])
    for line in lines:
        group = [f"'{value}" if value.startswith(FORMULA) else value for value in line.group]
        writer.writerow([*group, *line.as_dict().values()])
    return out.getvalue()


def as_json(names: Sequence[str], lines: Sequence[Spending], total: Spending) -> str:
    """One object: `by`, the `lines` with their dimensions by name, and the `total`."""
    rows = [dict(zip(names, line.group, strict=True)) | line.as_dict() for line in lines]
    return json.dumps({"by": list(names), "lines": rows, "total": total.as_dict()})


def _plain(value: str) -> str:
    """A value with short names, that cannot steer the terminal."""
    short = LONG_NAME.sub(r"\1…", value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
