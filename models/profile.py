"""Profile: what is known of a model before it is asked anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .messages import Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How to speak to a model. The defaults suit large instruction-tuned ones."""

    prompts: Mapping[str, str] = field(default_factory=dict)
    """Prompts to use in place of a node's own, by name (`"direct.system"`). Empty: none at all."""
    tool_specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`description` and `parameters` to show of tools in place of their own, by tool name."""
    max_tokens: int = 4096
    """Output tokens of a call that does not say, reasoning included."""
    temperature: float | None = None
    """Of calls that do not say; None: the backend's default."""
    sampling_temperature: float | None = None
    """Of chains that must differ from each other; None: the backend's default."""
    reasons_in_json: bool = True
    """It can write its reasoning as a string inside JSON. Otherwise a typed answer is asked for as
    text that ends in JSON."""
    step_separator: str = "\n\n"
    """What stands between two steps of its reasoning, for searches."""
    typical_output: int = 400
    """Output tokens of a usual reply, for estimates until real replies have been seen."""
    allowance: Allowance = field(default_factory=Allowance)
    """What the chat template may add to a prompt."""
