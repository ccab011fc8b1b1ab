"""The `read` tool: the text of one address, a window of it at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..functions import in_thread
from ..tool import Scope, ToolError, ToolOutput
from .extraction import Document, extract
from .fetch import Fetcher
from .recent import Recent
from .turns import Turns
from .windows import Window, by_relevance, windows

DESCRIPTION = (
    "Read a web page, PDF or text file at an address. A long one comes in parts: "
    "the one that fits the question best, or the part asked for."
)
MOST_QUESTION = 1_000
"""Characters."""
OTHERS_NAMED = 4
"""Further parts that fit the question and are named."""
KEPT_DOCUMENTS = 16
KEPT_SECONDS = 300.0
AT_ONCE = 16
"""Pages that are fetched at a time, each of up to 5 MB."""
TIMEOUT = 45.0
"""Seconds for fetching, making text, and waiting for other branches' pages."""


class ReadTool:
    """Satisfies `tools.tool.Tool`.

    Pages that were read within the last five minutes are there for all branches of a run.

    Args:
        fetcher: How pages are fetched; the public web alone.
    """

    name = "read"
    description = DESCRIPTION
    pure = True
    side_effects = False
    timeout = TIMEOUT

    def __init__(self, fetcher: Fetcher | None = None) -> None:
        self.parameters: Mapping[str, Any] = {
            "type": "object",
            "properties": {
                "address": {"type": "string", "description": "As https://example.com/page"},
                "question": {
                    "type": "string",
                    "description": "What you want to know: picks the part of a long page",
                },
                "part": {"type": "integer", "minimum": 1, "description": "Which part to read"},
            },
            "required": ["address"],
            "additionalProperties": False,
        }
        self._fetcher = fetcher or Fetcher()
        self._turns = Turns(AT_ONCE)
        self._recent: Recent[Document] = Recent(KEPT_DOCUMENTS, KEPT_SECONDS)

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Read `arguments["address"]`. Raises `ToolError`."""
        address, question = arguments.get("address"), arguments.get("question")
        if not isinstance(address, str) or not address.strip():
            raise ToolError('read needs {"address": "https://..."}')
        part = _part(arguments.get("part"))
        asked = question[:MOST_QUESTION] if isinstance(question, str) else ""
        document = await self._document(address.strip())
        # In a thread: cutting and ranking a million characters takes longer than a loop should.
        text = await in_thread(lambda: render(document, asked, part))
        return ToolOutput(text, source=document.address)

    async def _document(self, address: str) -> Document:
        document = self._recent.get(address)
        if document is None:
            async with self._turns.here():
                document = await extract(await self._fetcher.get(address))
            self._recent.put(address, document)
        return document


def render(document: Document, question: str = "", part: int | None = None) -> str:
    """What the model reads: title, where in the page this is, and the text.

    Raises `ToolError` where there is no such part.
    """
    parts = windows(document.pages)
    if part is not None and part > len(parts):
        raise ToolError(f"{document.address} has {len(parts)} parts: there is no part {part}")
    fitting = by_relevance(parts, question) if len(parts) > 1 and part is None else []
    chosen = part - 1 if part is not None else (fitting or [0])[0]
    head = [f"Title: {document.title}"] if document.title else []
    if len(parts) > 1:
        missed = bool(question) and part is None and not fitting
        head.append(_position(document, parts, chosen, fitting, missed))
    if document.note:
        head.append(document.note)
    body = parts[chosen].text.strip("\n")
    return "\n".join([*head, "", body]) if head else body


def _position(
    document: Document, parts: list[Window], chosen: int, fitting: list[int], missed: bool
) -> str:
    window = parts[chosen]
    where = f"Part {chosen + 1} of {len(parts)}"
    if document.paged:
        where += f", pages {window.first_page} to {window.last_page} of {len(document.pages)}"
    if fitting:
        others = ", ".join(str(index + 1) for index in fitting[1 : OTHERS_NAMED + 1])
        where += ", the one that fits the question best" + (f"; then {others}" if others else "")
    elif missed:
        where += "; no part has a word of the question"
    return f'{where}. For another part, call read again with "part".'


def _part(given: object) -> int | None:
    """Models also write "2" and 2.0. Raises `ToolError` for what is no part's number."""
    if given is None or given == "":
        return None
    try:
        part = int(float(given)) if isinstance(given, (int, float, str)) else 0
    except (ValueError, OverflowError):
        part = 0
    if part < 1:
        raise ToolError("part must be a number from 1 up")
    return part
