"""The verifiers that can be asked for by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from ...errors import WrongUsage
from .code import CodeCheck
from .equations import Equations
from .function import FunctionVerifier
from .human import Human
from .judge import Judge
from .verifier import Verifier

BUILT_IN: Mapping[str, Callable[[], Verifier]] = {
    "equations": Equations,
    "code": CodeCheck,
    "judge": Judge,
    "human": Human,
}


def resolve_verifier(thing: str | Verifier | Callable[..., Any]) -> Verifier:
    """A verifier from a name or a function; a verifier as it is. Raises `WrongUsage`."""
    known = ", ".join(BUILT_IN)
    if isinstance(thing, str):
        if thing not in BUILT_IN:
            raise WrongUsage(f"there is no verifier {thing!r}: known by name are {known}")
        return BUILT_IN[thing]()
    if isinstance(thing, type):
        raise WrongUsage(f"{thing.__name__} is a class: give one made of it, {thing.__name__}(…)")
    if hasattr(thing, "verify") and hasattr(thing, "decisive"):
        return cast(Verifier, thing)
    if callable(thing):
        return FunctionVerifier(thing)
    raise WrongUsage(
        f"{thing!r} is not a verifier: give a name ({known}), a function or a Verifier"
    )
