"""Templates and expressions of a script: what they name, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .errors import StepFailed

ROOTS = ("inputs", "steps")


@dataclass(frozen=True, slots=True)
class Reference:
    """One name that a template uses: `inputs.y` or `steps.x.answer`."""

    root: str
    name: str
    field: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Uses:
    """All that a template names."""

    references: tuple[Reference, ...] = ()
    others: frozenset[str] = frozenset()
    """Names that are neither `inputs` nor `steps`."""
    faults: tuple[tuple[int, str], ...] = ()
    """Line and complaint, where the template is malformed."""


def uses(source: str, *, expression: bool) -> Uses:
    """What a template, or a bare expression, names. Lines count from 1."""
    try:
        tree = _parsed_expression(source) if expression else ENVIRONMENT.parse(source)
    except TemplateSyntaxError as error:
        return Uses(faults=((error.lineno, error.message or "malformed"),))
    others = frozenset(meta.find_undeclared_variables(tree)) - set(ROOTS)
    found = list(_references(tree))
    return Uses(
        tuple(one for one in found if isinstance(one, Reference)),
        others,
        tuple(one for one in found if not isinstance(one, Reference)),
    )


def render(source: str, names: Mapping[str, Any]) -> str:
    """The text of a template. Raises `StepFailed`."""
    try:
        return str(ENVIRONMENT.from_string(source).render(names))
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise StepFailed(f"the template {source.strip()!r}: {error}", final=True) from error


def evaluate(source: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression. Raises `StepFailed`."""
    try:
        value = ENVIRONMENT.compile_expression(source, undefined_to_none=False)(**names)
        if isinstance(value, StrictUndefined):
            str(value)  # Says what is undefined, as an error.
        return value
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise StepFailed(f"the expression {source.strip()!r}: {error}", final=True) from error


def namespace(values: Mapping[str, Any]) -> SimpleNamespace:
    """Values as attributes, so that a key such as `items` is not a method."""
    return SimpleNamespace(**values)


def _parsed_expression(source: str) -> nodes.Template:
    parser = Parser(ENVIRONMENT, source, state="variable")
    inner = parser.parse_expression()
    if not parser.stream.eos:
        raise TemplateSyntaxError("one expression is wanted, without {{ }}", 1)
    tree = nodes.Template([nodes.Output([inner], lineno=1)], lineno=1)
    tree.set_environment(ENVIRONMENT)
    return tree


def _references(node: nodes.Node) -> Iterator[Reference | tuple[int, str]]:
    """Every use of `inputs` and `steps`; line and complaint where it names none of them."""
    way = _way(node)
    if way is not None and way[0] in ROOTS:
        root, *rest = way
        if rest:
            yield Reference(root, rest[0], rest[1] if len(rest) > 1 else None, node.lineno)
        else:
            yield node.lineno, f"`{root}` needs a name after it, as in {root}.x"
        return
    for child in node.iter_child_nodes():
        yield from _references(child)


def _way(node: nodes.Node) -> list[str] | None:
    """The names of `a.b.c` or `a['b']`."""
    if isinstance(node, nodes.Name):
        return [node.name]
    if isinstance(node, nodes.Getattr):
        inner, last = _way(node.node), node.attr
    elif (
        isinstance(node, nodes.Getitem)
        and isinstance(node.arg, nodes.Const)
        and isinstance(node.arg.value, str)
    ):
        inner, last = _way(node.node), node.arg.value
    else:
        return None
    return None if inner is None else [*inner, last]


def _present(value: Any) -> Any:
    """What is printed must exist: the text `None` in a question is never meant."""
    if value is None:
        raise ValueError("it prints a value that is not there (None): was a step skipped?")
    return value


ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, finalize=_present, autoescape=False
)
ENVIRONMENT.globals.clear()
