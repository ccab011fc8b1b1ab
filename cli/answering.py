"""What the shared options of `options.py` come down to, and the exit code of an answer."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from ..agents import Answer
from ..graphs import Settings
from . import ANSWERED, FAILED, NO_BUDGET
from .documents import documents_tool


def tools_of(arguments: argparse.Namespace, console: Console) -> list[Any]:
    """The tools that are asked for; documents are read here, which the console shows."""
    tools: list[Any] = [name.strip() for name in arguments.tools.split(",") if name.strip()]
    if arguments.docs:
        tools.append(documents_tool(arguments.docs, console))
    return tools


def settings_of(arguments: argparse.Namespace) -> Settings:
    """How far the depths may go."""
    given = {"samples": arguments.samples, "seed": arguments.seed}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def code_of(answer: Answer) -> int:
    """The exit code that an answer stands for."""
    if answer.text:
        return ANSWERED
    return NO_BUDGET if answer.stopped in ("budget", "deadline") else FAILED
