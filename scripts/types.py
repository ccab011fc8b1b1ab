"""The types that a script's steps name for their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import WrongUsage
from ..graphs import OutputType, resolve_output
from .functions import load_named


def load_type(given: Mapping[str, Any] | str, folder: Path) -> OutputType:
    """The type: a JSON schema, a `.json` file with one beside the script, or `module:Name`.

    Raises `WrongUsage` for what is none, or is not there.
    """
    if isinstance(given, Mapping):
        return resolve_output(given)
    if not given.endswith(".json"):
        return resolve_output(load_named(given, folder))
    file = folder / given
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUsage(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise WrongUsage(f"{file} is no JSON: {error}") from error
    if not isinstance(schema, dict):
        raise WrongUsage(f"{file} has no JSON schema in it: an object is wanted")
    return resolve_output(schema)
