"""OutputType: what the caller asked for, as a schema to show and a way to read it from text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import isroutine
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from ...errors import WrongUsage
from ..answers import comparable
from .errors import InvalidOutput, Unreadable
from .keys import key_of
from .reading import bare, places
from .schemas import Schema, closed, references, response_format, sole_member

ERRORS = 6
"""Complaints that are told of one output; more do not help to mend it."""
LONGEST_ERROR = 200
"""Characters of one complaint: some repeat the value."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputType:
    """A type of output. Made by `resolve_output`."""

    name: str
    schema: Schema
    """JSON Schema, as the model and the backend are shown it."""
    validate: Callable[[str], Any]
    """From JSON text to the output. Raises `Unreadable`."""
    plain: Callable[[Any], Any]
    """From the output to dicts, lists, sets and scalars."""

    @property
    def schema_text(self) -> str:
        """The schema, for prompts."""
        return json.dumps(self.schema, ensure_ascii=False)

    def response_format(self, *, reasoned: bool) -> Schema:
        """The `response_format` of a request. `reasoned`: the reasoning comes first, in it."""
        return response_format(self.name, self.schema, reasoned=reasoned)

    def read(self, text: str) -> Any:
        """The output in a text. Raises `Unreadable`, whose message says what is wrong."""
        return self._found(text)[0]

    def given(self, text: str, stopped: str) -> Any:
        """The output of a run that ended with this text; None: it ended before it had one.

        Raises `InvalidOutput` for one that answered without an output of the type.
        """
        if stopped == "refused" or (stopped != "answered" and comparable(text) is None):
            return None
        try:
            return self.read(text)
        except Unreadable as error:
            if stopped == "answered":
                raise InvalidOutput(self.name, text, str(error)) from None
            return None

    def key(self, value: Any) -> str:
        """Equal outputs have equal keys: field by field, numbers by value."""
        return key_of(self.plain(value))

    def key_in(self, text: str) -> str | None:
        """The key of the output in a text; None: there is none."""
        try:
            return self.key(self.read(text))
        except Unreadable:
            return None

    def plain_in(self, text: str) -> Any:
        """The output in a text as JSON-able values; None: there is none."""
        try:
            return to_jsonable_python(self.plain(self.read(text)))
        except Unreadable:
            return None

    def stated(self, text: str) -> str:
        """The text with its output as its last `Answer: …` line. Raises `Unreadable`.

        A text whose answer can be read as it stands stays as it is.
        """
        return self._found(text)[1]

    def _found(self, text: str) -> tuple[Any, str]:
        """The output, and the text that states it."""
        told = ""
        for place in places(text):
            try:
                value = self.validate(place.json)
            except Unreadable as error:
                told = told or str(error)
                continue
            if place.stated:
                return value, text
            return value, f"{place.before.strip()}\n\nAnswer: {place.json}".lstrip()
        # A bare answer to a type of one member is that member.
        sole = sole_member(self.schema)
        inner = [] if sole is None else [f"{{{json.dumps(sole)}: {said}}}" for said in bare(text)]
        for said in (*bare(text), *inner):
            try:
                return self.validate(said), text
            except Unreadable:
                continue
        raise Unreadable(told or "there is no JSON in it")


def resolve_output(wanted: Any, *, name: str = "") -> OutputType:
    """The type that a caller asked for.

    Args:
        wanted: A JSON schema as a dict (the output is then plain dicts, lists and scalars), or
            what pydantic validates: a model, a dataclass, `list[Invoice]`, `int`, `Literal[…]`.
        name: Of a schema, in place of its title.

    Raises `WrongUsage` for anything else.
    """
    if isinstance(wanted, OutputType):
        return wanted
    if isinstance(wanted, Mapping):
        made = _of_schema(dict(wanted))
        return replace(made, name=name) if name else made
    if wanted is None or isinstance(wanted, str) or isroutine(wanted):
        raise WrongUsage(f"output_type={wanted!r} is no type: give a type, or a JSON schema")
    return _of_type(wanted)


class _Untitled(GenerateJsonSchema):
    """Without the titles that pydantic makes of the fields' names: they only cost tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def _of_type(wanted: Any) -> OutputType:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(wanted)
        schema = adapter.json_schema(schema_generator=_Untitled)
    except (PydanticUserError, PydanticUndefinedAnnotation, TypeError) as error:
        raise WrongUsage(
            f"output_type={wanted!r} has no JSON schema: {str(error).splitlines()[0]} Give a "
            "pydantic model, a dataclass or a JSON schema"
        ) from error

    def validate(text: str) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            raise Unreadable(_told((one["loc"], one["msg"]) for one in found)) from None

    name = getattr(wanted, "__name__", None) or schema.get("title") or "output"
    plain = partial(adapter.dump_python, by_alias=True)  # As in the schema.
    return OutputType(str(name), closed(schema), validate, plain)


def _of_schema(schema: dict[str, Any]) -> OutputType:
    try:
        Draft202012Validator.check_schema(schema)
        json.dumps(schema, allow_nan=False)
        resource = Resource.from_contents(schema, default_specification=DRAFT202012)
        registry: Registry[Any] = Registry().with_resource("", resource)
        for target in references(schema):
            registry.resolver().lookup(target)  # Here, not over the network in the midst of a run.
    except SchemaError as error:
        raise WrongUsage(
            f"output_type is no JSON schema: {error.json_path}: {error.message}"
        ) from None
    except (TypeError, ValueError) as error:
        raise WrongUsage(f"output_type is no JSON schema: {error}") from None
    except Unresolvable as error:
        raise WrongUsage(f"output_type refers to what is not in it: {error}") from None
    checker = Draft202012Validator(schema, registry=Registry())

    def validate(text: str) -> Any:
        value = json.loads(text)
        found = sorted(checker.iter_errors(value), key=lambda one: one.json_path)
        if found:
            raise Unreadable(_told((one.absolute_path, one.message) for one in found))
        return value

    return OutputType(str(schema.get("title", "output")), schema, validate, lambda value: value)


def _told(errors: Any) -> str:
    """Where and what, of the first few."""
    lines = [
        f"{'.'.join(map(str, place)) or 'the output'}: {what[:LONGEST_ERROR]}"
        for place, what in errors
    ]
    more = [f"and {len(lines) - ERRORS} more"] if len(lines) > ERRORS else []
    return "; ".join([*lines[:ERRORS], *more])
