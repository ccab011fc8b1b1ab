"""JSON schemas, as backends want them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .reading import OUTPUT, REASONING

Schema = Mapping[str, Any]

DEFINITIONS = ("$defs", "definitions")
_INSIDE_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains")
_INSIDE_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_INSIDE_NAMES = ("properties", "patternProperties", *DEFINITIONS)


def response_format(name: str, schema: Schema, *, reasoned: bool) -> Schema:
    """What a request carries so that the backend holds the reply to a schema.

    The output is a member of an object, since hosted APIs take nothing else at the top.

    Args:
        reasoned: The model writes its reasoning first, in a member before the output.
    """
    whole = wrapped(schema, reasoned=reasoned)
    named = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or OUTPUT
    form = {"name": named, "schema": whole, "strict": is_strict(whole)}
    return {"type": "json_schema", "json_schema": form}


def wrapped(schema: Schema, *, reasoned: bool) -> Schema:
    """The schema of an object that has the output in it. References still find their target."""
    moved = {name: schema[name] for name in DEFINITIONS if name in schema}
    inner = {name: part for name, part in schema.items() if name not in DEFINITIONS}
    inner.pop("$schema", None)
    members: dict[str, Any] = {REASONING: {"type": "string"}} if reasoned else {}
    members[OUTPUT] = _pointed(inner)
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
        **{name: _pointed(part) for name, part in moved.items()},
    }


def closed(schema: Schema) -> Schema:
    """The schema with no members in its objects but those that it names."""
    shut = {name: _each(name, part) for name, part in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        shut["additionalProperties"] = False
    return shut


def is_strict(schema: Schema) -> bool:
    """Whether every object has just the members that it must have: what strict modes take."""
    if schema.get("type") == "object" or "properties" in schema:
        members = set(schema.get("properties", ()))
        if schema.get("additionalProperties") is not False or members != set(
            schema.get("required", ())
        ):
            return False
    return all(map(is_strict, _inside(schema)))


def references(schema: Any) -> Iterator[str]:
    """Every `$ref` in it."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for part in schema.values():
            yield from references(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from references(part)


def sole_member(schema: Schema) -> str | None:
    """The only member of an object that has just one; else None."""
    members = list(schema.get("properties", ()))
    return members[0] if len(members) == 1 and schema.get("type", "object") == "object" else None


def _each(name: str, part: Any) -> Any:
    if name == "allOf":
        return part  # Its parts describe one object together: each may name only some members.
    if name in _INSIDE_ONE and isinstance(part, Mapping):
        return closed(part)
    if name in _INSIDE_LIST and isinstance(part, Sequence):
        return [closed(one) if isinstance(one, Mapping) else one for one in part]
    if name in _INSIDE_NAMES and isinstance(part, Mapping):
        return {key: closed(one) if isinstance(one, Mapping) else one for key, one in part.items()}
    return part


def _inside(schema: Schema) -> Iterator[Schema]:
    for name, part in schema.items():
        found: Sequence[Any] = ()
        if name in _INSIDE_ONE:
            found = [part]
        elif name in _INSIDE_LIST:
            found = part
        elif name in _INSIDE_NAMES:
            found = list(part.values())
        yield from (one for one in found if isinstance(one, Mapping))


def _pointed(part: Any) -> Any:
    """A part of the schema, whose references to its top now lead to the member `output`."""
    if isinstance(part, list | tuple):
        return [_pointed(one) for one in part]
    if not isinstance(part, Mapping):
        return part
    moved = {name: _pointed(one) for name, one in part.items()}
    target = part.get("$ref")
    kept = tuple(f"#/{name}/" for name in DEFINITIONS)
    if isinstance(target, str) and target.startswith("#") and not target.startswith(kept):
        moved["$ref"] = f"#/properties/{OUTPUT}{target[1:]}"
    return moved
