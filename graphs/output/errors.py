"""What can be wrong with an output."""

from __future__ import annotations

from ...errors import MullError


class Unreadable(Exception):
    """A text has no output of the wanted type. The message says why, for people and models."""


class InvalidOutput(MullError):
    """The model answered, and after its repairs still not with the type that was asked for.

    Attributes:
        text: What it said last.
        errors: What is wrong with it.
    """

    def __init__(self, name: str, text: str, errors: str) -> None:
        super().__init__(
            f"the model gave no valid {name}: {errors}. Ask a larger model, or for a simpler type"
        )
        self.text, self.errors = text, errors
