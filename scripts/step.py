"""Step: one thing that a script does. Also what editors are told of it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..graphs import DEPTHS
from ..graphs.verifiers.registry import BUILT_IN as VERIFIERS

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Step(BaseModel):
    """One step: a question for the model, or a Python function.

    Raises pydantic's `ValidationError`, a `ValueError`, for what cannot be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=NAME, description="What other steps call it.")]
    question: str | None = Field(
        default=None,
        min_length=1,
        description="A jinja2 template: {{ inputs.x }}, {{ steps.y.answer }}, {{ item }}.",
    )
    python: Annotated[str, Field(pattern=FUNCTION)] | None = Field(
        default=None, description="module:function, called with inputs and steps (and item)."
    )
    depth: str = Field(
        default="auto", description="How far to go.", json_schema_extra={"enum": list(DEPTHS)}
    )
    tools: tuple[str, ...] = Field(default=(), description="Names of the tools that it may call.")
    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="The most it may spend, as a part of the whole budget.",
    )
    needs: tuple[str, ...] = Field(
        default=(), description="Steps that must end first, beside those that its templates name."
    )
    foreach: str | list[Any] | None = Field(
        default=None,
        description="A list, or an expression that gives one: done once for each item.",
    )
    when: str | None = Field(default=None, description="An expression; false skips the step.")
    retry: int = Field(
        default=0, ge=0, description="How many more times it is tried where it fails."
    )
    verify: str | None = Field(
        default=None,
        description="The verifier of its candidates.",
        json_schema_extra={"enum": [*VERIFIERS, None]},
    )
    output_type: dict[str, Any] | str | None = Field(
        default=None,
        description="The form of its answer: a JSON schema, a .json file of one, or module:Name.",
    )
    output: str | None = Field(
        default=None, min_length=1, description="A file to write its text to; a template."
    )

    @field_validator("depth")
    @classmethod
    def _known_depth(cls, depth: str) -> str:
        if depth not in DEPTHS:
            raise ValueError(f"there is no depth {depth!r}: choose {', '.join(DEPTHS)}")
        return depth

    @field_validator("verify")
    @classmethod
    def _known_verifier(cls, name: str | None) -> str | None:
        if name is not None and name not in VERIFIERS:
            raise ValueError(f"there is no verifier {name!r}: choose {', '.join(VERIFIERS)}")
        return name

    @field_validator("output_type")
    @classmethod
    def _known_type(cls, given: dict[str, Any] | str | None) -> dict[str, Any] | str | None:
        if isinstance(given, str) and not (given.endswith(".json") or re.match(FUNCTION, given)):
            raise ValueError("give a JSON schema, a .json file with one, or module:Name")
        return given

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        if (self.question is None) == (self.python is None):
            raise ValueError("a step has either a question or a python function")
        idle = self.model_fields_set & {"depth", "tools", "verify", "share", "output_type"}
        if self.python is not None and idle:
            raise ValueError(f"{', '.join(sorted(idle))}: of no use to a python function")
        return self
