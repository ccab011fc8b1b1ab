"""Names and sizes of a sandbox's files, whatever boundary keeps them."""

from __future__ import annotations

from pathlib import PurePosixPath

from .protocol import SandboxFileError

FILE_BYTES = 64 * 1024 * 1024
"""The largest file a sandbox may hold, write or be given."""


def relative(name: str) -> PurePosixPath:
    """The name as a path that stays inside the sandbox's directory. Raises `SandboxFileError`."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise SandboxFileError(f"File name {name!r} is refused: use a relative name without '..'.")
    return path
