"""Typed output: what the caller wants back, found in what a model wrote, validated, compared."""

from .errors import InvalidOutput, Unreadable
from .output_type import OutputType, resolve_output

__all__ = ["InvalidOutput", "OutputType", "Unreadable", "resolve_output"]
