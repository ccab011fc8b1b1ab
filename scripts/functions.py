"""The plain Python functions that a script names."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import WrongUsage
from .errors import StepFailed


def load_function(name: str, folder: Path) -> Callable[..., Any]:
    """The function `module:function`. Raises `WrongUsage` as `load_named`, and for no function."""
    function = load_named(name, folder)
    if not callable(function):
        raise WrongUsage(f"{name} is no function")
    return function  # type: ignore[no-any-return]


def load_named(name: str, folder: Path) -> Any:
    """What `module:name` is: from a file beside the script, else from what is installed.

    Raises `WrongUsage` when there is none, or its module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    file = folder.joinpath(*module_name.split(".")).with_suffix(".py")
    try:
        module = _from_file(file) if file.is_file() else import_module(module_name)
    except Exception as error:
        told = f"{name}: its module cannot be imported: {type(error).__name__}: {error}"
        raise WrongUsage(told) from error
    if not hasattr(module, attribute):
        raise WrongUsage(f"{name}: there is no such name in {module.__file__ or module_name}")
    return getattr(module, attribute)


async def call_function(function: Callable[..., Any], name: str, *given: Any) -> Any:
    """What the function returns, as JSON keeps it. Raises `StepFailed` for whatever it raises.

    A plain function runs in a thread of its own and cannot be cancelled.
    """
    try:
        if inspect.iscoroutinefunction(function):
            value = await function(*given)
        else:
            value = await asyncio.to_thread(function, *given)
    except Exception as error:
        raise StepFailed(f"{name} raised {type(error).__name__}: {error}") from error
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        told = f"{name} returned what JSON cannot hold ({error}): return plain values"
        raise StepFailed(told, final=True) from error


def _from_file(file: Path) -> ModuleType:
    # A name of its own: another script's helper may be called the same.
    name = f"mull_script_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
