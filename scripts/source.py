"""A YAML file as plain values, with the line of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import WrongUsage
from .errors import Problem, ScriptError

Place = tuple[str | int, ...]
"""The way to a value: keys and indices from the top."""


@dataclass(frozen=True)
class Source:
    """What a file holds, and where."""

    name: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)
    """The line of each value (of its first character), from 1."""
    blocks: frozenset[Place] = frozenset()
    """Texts that begin on the line after their mark, `|` or `>`."""

    def where(self, place: Sequence[str | int], line: int = 1) -> str:
        """`file:line` of a value, or of the nearest one around it; `line` is one of its text."""
        way = tuple(place)
        while way and way not in self.lines:
            way = way[:-1]
        if not self.lines:
            return self.name
        inside = line if way in self.blocks else line - 1
        return f"{self.name}:{self.lines[way] + inside}"


def read_yaml(path: Path) -> Source:
    """Read a script's file. Raises `WrongUsage` when it cannot be read, or is no YAML."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WrongUsage(f"{path}: not UTF-8 text: {error}") from error


def parse_yaml(text: str, name: str) -> Source:
    """Parse YAML. Raises `ScriptError` for what is no YAML, for aliases and doubled keys."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise ScriptError([Problem(f"{name}:1", "the file is empty: give it `steps`")])
        lines: dict[Place, int] = {}
        blocks: set[Place] = set()
        problems: list[Problem] = []
        _mark(root, (), lines, blocks, problems, name, set())
        if problems:
            raise ScriptError(problems)
        return Source(name, loader.construct_document(root), lines, frozenset(blocks))
    except ScriptError:
        raise
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise ScriptError([Problem(f"{name}:{line}", f"no YAML: {error.problem}")]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ScriptError([Problem(name, f"no YAML: {error}")]) from error
    finally:
        loader.dispose()


def _mark(
    node: yaml.Node,
    place: Place,
    lines: dict[Place, int],
    blocks: set[Place],
    problems: list[Problem],
    name: str,
    seen: set[int],
) -> None:
    """Note the line of `node` and of all below it."""
    line = node.start_mark.line + 1
    lines[place] = line
    if id(node) in seen:
        problems.append(Problem(f"{name}:{line}", "an alias (*) is not supported: write it out"))
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        blocks.add(place)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _mark(child, (*place, index), lines, blocks, problems, name, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            below = (*place, str(key.value))
            if below in lines:
                told = f"{key.value!r} is given twice"
                problems.append(Problem(f"{name}:{key.start_mark.line + 1}", told))
            _mark(child, below, lines, blocks, problems, name, seen)
