"""The one base of every error mull raises."""

from __future__ import annotations


class MullError(Exception):
    """Something mull could not do. The message says what happened, to what, and what to do next."""


class WrongUsage(MullError, ValueError):
    """The caller asked for something that cannot be: an empty question, an unknown depth."""


class StorageFailed(MullError):
    """What must be kept cannot be: the disk is full, or a file on it is broken or not whole."""
