"""Which model to use: what the caller says, else the environment, else `mull.toml`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..budgets import Price
from ..errors import WrongUsage
from .backend import Backend
from .demo import DEMO_PROFILE, demo_url
from .errors import NoBackend
from .model import Model

OPENAI = "https://api.openai.com/v1"
FILE = Path("mull.toml")
"""Looked for in the working directory: `model`, `base_url`, `api_key`, and a table `price`."""


def resolve_model(
    name: str | None = None,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    price: Price | None = None,
    environ: Mapping[str, str] = os.environ,
    file: Path = FILE,
) -> Model:
    """The model to use. `"demo"` is the embedded one.

    Each setting comes from the arguments, else from `MULL_MODEL`, `OPENAI_BASE_URL` and
    `OPENAI_API_KEY`, else from `mull.toml`. A key without an address means OpenAI's own. The key
    of the environment never goes to an address that the file names.

    Raises `NoBackend` when nothing says where to go, `WrongUsage` for a file that cannot be read.
    """
    name = name or environ.get("MULL_MODEL")
    settings = {} if name == "demo" and base_url is None else _read(file)
    name = name or settings.get("model")
    if name == "demo" and base_url is None:
        return Model("demo", _backend(demo_url(), ""), price=price or Price(), profile=DEMO_PROFILE)
    # A file in some folder must not be able to send the user's key to an address of its choice.
    address, key = base_url or environ.get("OPENAI_BASE_URL"), api_key
    if address is None and "base_url" in settings:
        address, key = settings["base_url"], key or settings.get("api_key")
    elif key is None:
        key = environ.get("OPENAI_API_KEY")
    key = key or ""
    if address is None and key and name:
        address = OPENAI
    if not address:
        raise NoBackend(name)
    if not address.startswith(("http://", "https://")):
        raise WrongUsage(f"base_url {address!r}: give an http:// or https:// address")
    return Model(name, _backend(address, key), price=price or settings.get("price") or Price())


_backends: dict[tuple[str, str], Backend] = {}


def _backend(address: str, key: str) -> Backend:
    """One backend for each address and key: its connections and its limit are shared."""
    return _backends.setdefault((address, key), Backend(address, key))


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
        for name in ("model", "base_url", "api_key"):
            if not isinstance(settings.get(name, ""), str):
                raise TypeError(f"{name} is not text: put it in quotes")
        if "price" in settings:
            settings["price"] = Price(**settings["price"])
    except (OSError, ValueError, TypeError, ArithmeticError) as error:
        raise WrongUsage(f"{file}: {error}") from error
    return settings
