"""The key of an output: two are equal when every field is equal. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

from pydantic_core import to_jsonable_python

from ..comparison import canonical
from ..comparison.rounding import number_key


def key_of(value: Any) -> str:
    """The key of a plain value: numbers by value, texts by their canonical form if they have one.

    Lists are compared in order; objects and sets without; names of members exactly.
    """
    match value:
        case None | bool():
            return json.dumps(value)
        case Enum():
            return key_of(value.value)
        case int() | float() | Decimal():
            return _number(value)
        case str():
            known = canonical(value)
            return f"x:{json.dumps(value.strip())}" if known is None else f"t:{json.dumps(known)}"
        case Mapping():
            members = sorted(f"{_name(name)}:{key_of(member)}" for name, member in value.items())
            return "{" + ",".join(members) + "}"
        case Set():
            return "<" + ",".join(sorted(map(key_of, value))) + ">"
        case bytes() | bytearray():
            return f"b:{value.hex()}"
        case Sequence():
            return "[" + ",".join(map(key_of, value)) + "]"
    return key_of(to_jsonable_python(value, fallback=repr))


def _name(name: Any) -> str:
    return json.dumps(name) if type(name) is str else key_of(name)


def _number(value: float | Decimal) -> str:
    try:
        return number_key(Fraction(value))
    except (ValueError, OverflowError):  # Not finite; or an integer of thousands of digits.
        return f"n:{value:x}" if isinstance(value, int) else f"n:{value}"
