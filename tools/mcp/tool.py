"""An MCP server's tool as a tool of ours: its name, its schema, and what it gives back as text."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..tool import Scope, ToolOutput
from .server import Server

if TYPE_CHECKING:
    from mcp.types import ContentBlock
    from mcp.types import Tool as Listed

NAME = 64
"""The most characters of a tool's name that backends take."""
DESCRIPTION = 4000
"""Characters of a description that the model is shown: a server may send any number."""
_ODD = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class McpTool:
    """Satisfies `tools.tool.Tool`. Another name or limit: `dataclasses.replace(tool, name=…)`."""

    server: Server
    original: str
    """Its name at the server."""
    name: str
    description: str
    parameters: Mapping[str, Any]
    side_effects: bool
    """True unless the server says that it only reads. That is the server's word, and no proof."""
    timeout: float
    pure: bool = False

    async def call(self, arguments: Mapping[str, Any], scope: Scope) -> ToolOutput:
        """Have the server do it. Raises `ToolError` where the server is lost or refuses."""
        result = await self.server.call(self.original, arguments)
        text = rendered(result.content, result.structuredContent)
        if result.isError:
            text = " ".join(text[:5000].split())[:500]
        return ToolOutput(text, source=f"MCP server {self.server.name}", failed=result.isError)


def tools_of(listed: Sequence[tuple[Server, Listed]], timeout: float) -> tuple[McpTool, ...]:
    """The tools that servers list, each with a name of its own."""
    names = unique_names([(server.name, tool.name) for server, tool in listed])
    return tuple(
        McpTool(
            server=server,
            original=tool.name,
            name=name,
            description=(tool.description or tool.title or tool.name)[:DESCRIPTION],
            parameters=_schema(tool.inputSchema),
            side_effects=not _only_reads(tool),
            timeout=timeout,
        )
        for (server, tool), name in zip(listed, names, strict=True)
    )


def unique_names(listed: Sequence[tuple[str, str]]) -> list[str]:
    """A name for each server's tool, as backends take it: where two clash, their servers' first."""
    plain = [_allowed(tool) for _, tool in listed]
    clashing = {name for name, count in Counter(plain).items() if count > 1}
    taken = set(plain) - clashing
    names = []
    for (server, _), name in zip(listed, plain, strict=True):
        if name in clashing:
            name = _free(_allowed(f"{server}_{name}"), taken)
            taken.add(name)
        names.append(name)
    return names


def rendered(content: Iterable[ContentBlock], structured: Mapping[str, Any] | None) -> str:
    """A result as text: what is no text is named with its size."""
    parts = [_block(block) for block in content]
    if not parts and structured is not None:
        parts = [json.dumps(structured, ensure_ascii=False)]
    return "\n".join(parts) or "[nothing]"


def _block(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return _data(block.mimeType, block.data)
        case "resource_link":
            return f"[link to {block.name}: {block.uri}]"
        case "resource":
            held = block.resource
            text = getattr(held, "text", None)
            if isinstance(text, str):
                return f"[{held.uri}]\n{text}"
            return f"[{held.uri}] {_data(held.mimeType, getattr(held, 'blob', ''))}"


def _data(kind: str | None, base64: str) -> str:
    return f"[{kind or 'data'}, {len(base64) * 3 // 4} bytes, not shown]"


def _only_reads(tool: Listed) -> bool:
    said = tool.annotations
    return said is not None and said.readOnlyHint is True and said.destructiveHint is not True


def _schema(given: Mapping[str, Any]) -> dict[str, Any]:
    """A server's schema in the shape that a tool's must have, whatever it sent."""
    properties, required = given.get("properties"), given.get("required")
    named = properties if isinstance(properties, dict) else {}
    needed = [key for key in required if isinstance(key, str)] if isinstance(required, list) else []
    schema = {key: value for key, value in given.items() if key != "required"}
    schema |= {"type": "object", "properties": named}
    return schema | ({"required": needed} if needed else {})


def _allowed(name: str) -> str:
    return _ODD.sub("_", name)[:NAME] or "tool"


def _free(name: str, taken: set[str]) -> str:
    """The name, or its first numbered form that is not taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        end = f"_{number}"
        free = name[: NAME - len(end)] + end
    return free
