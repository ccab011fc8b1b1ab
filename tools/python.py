"""The `python` tool: a Python session behind a boundary, one for each branch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .sandbox import Execution, Sandbox, open_sandbox
from .tool import Scope, ToolError, ToolOutput

DESCRIPTION = (
    "Run Python and read what it prints and the value of its last line. Variables stay for the "
    "next call. No network and no access to files of this machine."
)
START_AND_STOP_SECONDS = 5.0
"""Added to the code's own time: opening the sandbox, and stopping code that ran out of time."""
TEXT_CHARACTERS = 16_000
"""The most of an execution that the model reads."""
_FENCE = re.compile(r"\A\s*```[\w+-]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class PythonTool:
    """Satisfies `tools.tool.Tool`. Code runs for at most `timeout` seconds.

    `require` names the only boundary to accept (`sandlock`, `monty`); by default the strongest
    that works here. A call raises `SandboxUnavailable` when there is none.
    """

    name = "python"
    pure = False
    side_effects = False

    def __init__(
        self,
        description: str = DESCRIPTION,
        timeout: float = 10.0,
        require: str | None = None,
    ) -> None:
        self.description = description
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
        """Seconds for the whole call: the code's limit and `START_AND_STOP_SECONDS`."""
        return self._seconds + START_AND_STOP_SECONDS

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Run `arguments["code"]` in the branch's session.

        Raises `ToolError` without code and `SandboxUnavailable` without a boundary.
        """
        code = arguments.get("code")
        if not isinstance(code, str) or not code.strip():
            raise ToolError('python needs {"code": "..."} with some Python in it.')
        sandbox = await scope.once(("python", self._require), lambda: open_sandbox(self._require))
        execution = await sandbox.run_code(_unfenced(code), self._seconds)
        return ToolOutput(render(execution, sandbox), failed=execution.error is not None)


def render(execution: Execution, sandbox: Sandbox) -> str:
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
    text = "\n".join(part for part in parts if part)
    if not text:
        text = execution.stderr.strip() or "[No output: print a value or end with an expression.]"
    return _shortened(text, TEXT_CHARACTERS)


def _frames(traceback: str) -> list[str]:
    """Where in the cell it happened: the last two lines of the traceback before the message."""
    lines = [line for line in traceback.splitlines() if line.strip()]
    place = next(
        (i for i in reversed(range(len(lines))) if lines[i].lstrip().startswith("File")), None
    )
    return [] if place is None else [_shortened(line, 500) for line in lines[place : place + 2]]


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
