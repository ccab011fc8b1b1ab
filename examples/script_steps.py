"""The Python steps of `script.yaml`: each takes the inputs and the steps that it needs."""

from typing import Any


def draw(inputs: dict[str, Any], steps: dict[str, Any]) -> list[int]:
    """How many balls each one buys."""
    return [30 + place + len(name) for place, name in enumerate(inputs["names"])]


def total(inputs: dict[str, Any], steps: dict[str, Any]) -> int:
    """The sum of what `each` found."""
    return sum(int(answer) for answer in steps["each"]["answer"])


def report(inputs: dict[str, Any], steps: dict[str, Any]) -> str:
    """All answers as a table."""
    rows = [f"| {name} | {step['answer']} |" for name, step in sorted(steps.items())]
    return "\n".join(["| step | answer |", "|---|---|", *rows])
