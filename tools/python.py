"""The `python` tool: a Python session behind a boundary, one for each branch."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .sandbox import Execution, Sandbox, SandboxFileError, Session, open_session
from .sandbox.pool import WAIT_SECONDS
from .tool import Attachment, Scope, ToolError, ToolOutput

DESCRIPTION = (
    "Run Python and read what it prints and the value of its last line. Variables stay for the "
    "next call. No network and no access to files of this machine. Files in the working directory "
    "and open matplotlib figures are kept for the user."
)
START_AND_STOP_SECONDS = 5.0
"""Added to the code's own time: opening the sandbox, and stopping code that ran out of time."""
ATTACHMENTS = 16
"""The most files of one call that are handed on, pictures included."""
ATTACHED_BYTES = 16 * 1024 * 1024
"""Their most bytes together."""
NAMES = 20
"""Names of files that the model is told."""
TEXT_CHARACTERS = 16_000
"""The most of an execution that the model reads."""
_FENCE = re.compile(r"\A\s*```[\w+-]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class PythonTool:
    """Satisfies `tools.tool.Tool`. Each branch has a session of its own, from a pool of them.

    A call raises `SandboxUnavailable` when no boundary may be used, or no place is free.

    Args:
        description: What the model reads.
        timeout: Seconds that the code of one call may run.
        require: The only boundary to accept (`e2b`, `sandlock`, `monty`); by default the strongest
            that works here. The operator's `MULL_SANDBOX` holds as well.
        inputs: Files that are in each session's working directory, by relative name: their bytes,
            or where to read them.
    """

    name = "python"
    pure = False
    side_effects = False

    def __init__(
        self,
        description: str = DESCRIPTION,
        timeout: float = 10.0,
        require: str | None = None,
        inputs: Mapping[str, bytes | Path] | None = None,
    ) -> None:
        self.inputs = dict(inputs or {})
        self.description = description
        if self.inputs:
            self.description += f" Files there: {', '.join(self.inputs)}."
        self.parameters: Mapping[str, Any] = {
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "Python code or one expression"}
            },
            "required": ["code"],
            "additionalProperties": False,
        }
        self._seconds = timeout
        self._require = require

    @property
    def timeout(self) -> float:
        """Seconds for the whole call: the code's, `START_AND_STOP_SECONDS`, and for a place."""
        return self._seconds + START_AND_STOP_SECONDS + WAIT_SECONDS

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Run `arguments["code"]` in the branch's session.

        Raises `ToolError` without code and `SandboxUnavailable` without a boundary.
        """
        code = arguments.get("code")
        if not isinstance(code, str) or not code.strip():
            raise ToolError('python needs {"code": "..."} with some Python in it.')
        held = await scope.once(("python", self), self._open)
        execution = await held.session.run_code(_unfenced(code), self._seconds)
        made = await _made(execution, held)
        text = render(execution, held.session.sandbox, _told(execution, made))
        return ToolOutput(text, failed=execution.error is not None, attachments=made)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[_Held]:
        async with await open_session(self._require) as session:
            for name, given in self.inputs.items():
                data = given if isinstance(given, bytes) else await _read(given)
                await session.sandbox.write_file(name, data)
            yield _Held(session)


@dataclass(slots=True)
class _Held:
    """What a branch holds between its calls."""

    session: Session
    pictures: int = 0
    """Drawn so far: their names count on."""


async def _read(path: Path) -> bytes:
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise ToolError(f"The input file {path} cannot be read: {error.strerror}.") from error


async def _made(execution: Execution, held: _Held) -> tuple[Attachment, ...]:
    """Pictures, then the files that the call made or changed, as many as are handed on."""
    made: list[Attachment] = []
    left = ATTACHED_BYTES
    for result in execution.results:
        if result.png is not None and len(result.png) <= left and len(made) < ATTACHMENTS:
            held.pictures += 1
            while f"figure-{held.pictures}.png" in execution.files:
                held.pictures += 1
            made.append(Attachment(f"figure-{held.pictures}.png", "image/png", result.png))
            left -= len(result.png)
    for name in execution.files:
        if len(made) >= ATTACHMENTS:
            break
        try:
            data = await held.session.sandbox.read_file(name)
        except SandboxFileError:
            continue  # A name that only looked like a file, or one too large to hand on.
        if len(data) <= left:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            made.append(Attachment(name, kind, data))
            left -= len(data)
    return tuple(made)


def _told(execution: Execution, made: tuple[Attachment, ...]) -> str:
    """One line: what was handed to the user, and what is only there. Empty where nothing is."""
    given = [attachment.name for attachment in made]
    kept = [name for name in execution.files if name not in given]
    parts = [
        f"{what}: {_listed(names)}"
        for what, names in (("kept for the user", given), ("made and not kept", kept))
        if names
    ]
    return f"[Files {'; '.join(parts)}]" if parts else ""


def _listed(names: list[str]) -> str:
    shown = ", ".join(" ".join(name.split())[:100] for name in names[:NAMES])
    return shown + (f" and {len(names) - NAMES} more" if len(names) > NAMES else "")


def render(execution: Execution, sandbox: Sandbox, files: str = "") -> str:
    """The text the model reads: output, value, error, and what it must know to go on."""
    parts = [execution.stdout.rstrip("\n")]
    parts += [result.text or "" for result in execution.results]
    error = execution.error
    if error:
        if execution.stderr.strip():
            parts.append("stderr: " + _shortened(execution.stderr.strip(), 2_000))
        parts += [*_frames(error.traceback), _shortened(f"{error.name}: {error.value}", 2_000)]
        if not sandbox.capabilities.full_cpython:
            parts.append(f"[{sandbox.capabilities.lacks}]")
    if execution.truncated:
        parts.append("[The output was too long: its end is missing.]")
    if execution.session_lost:
        parts.append("[The session was restarted: variables of earlier calls are gone.]")
    text = "\n".join(part for part in (*parts, files) if part)
    if not text:
        text = execution.stderr.strip() or "[No output: print a value or end with an expression.]"
    return _shortened(text, TEXT_CHARACTERS)


def _frames(traceback: str) -> list[str]:
    """Where in the cell it happened: the last two lines of the traceback before the message."""
    lines = [line for line in traceback.splitlines() if line.strip()]
    # A notebook's kernel, as E2B has, says "Cell In[1], line 2" and marks the line with an arrow.
    heads = ("File", "Cell In")
    places = [i for i, line in enumerate(lines) if line.lstrip().startswith(heads)]
    if not places:
        return []
    after = lines[places[-1] + 1 :]
    marked = [line for line in after if line.startswith("-")] or after
    return [_shortened(line, 500) for line in (lines[places[-1]], *marked[:1])]


def _shortened(text: str, most: int) -> str:
    """`text` with its middle left out when it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - most} characters left out …]\n{text[-half:]}"


def _unfenced(code: str) -> str:
    """Code without the Markdown fence that models put around it."""
    fenced = _FENCE.match(code)
    return fenced.group(1) if fenced else code
