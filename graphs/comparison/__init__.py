"""Which answers are the same answer: each has a key, and equal answers have equal keys."""

from .canonical import canonical, same
from .choices import choices_of

__all__ = ["canonical", "choices_of", "same"]
