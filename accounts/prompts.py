"""Prompts in a page: each message stands in it once, however many calls were sent it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .markup import clean, folded, note, pre
from .story import Call

NOT_SETTINGS = ("messages", "tools", "model", "queries")


class Prompts:
    """Writes the calls' prompts in the order of the page. One for a page."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}
        """Of each beginning of a prompt that was written: the call that it stands with."""
        self._tools: set[str] = set()
        self._calls = 0

    def anchor(self) -> str:
        """The name of the next call's place in the page."""
        self._calls += 1
        return f"call-{self._calls}"

    def prompt(self, call: Call, anchor: str) -> str:
        """What the call was asked, folded: what is new in full, the rest as a link to it."""
        messages = call.asked.get("messages")
        if messages is None:
            asked = json.dumps(call.asked.get("queries", call.asked), ensure_ascii=False, indent=1)
            return folded("asked", pre(asked))
        place, link = self._place_of(messages, call, anchor)
        new = messages[place:]
        parts = [note(f"{_count(place)} as in {link}.")] if place else []
        parts += [_message(message) for message in new]
        parts += [_settings(call.asked), *_formats(call.asked), *self._tools_of(call.asked)]
        told = _count(len(messages)) + (f", {len(new)} new" if place else "")
        return folded(f"prompt: {told}", "\n".join(part for part in parts if part))

    def _place_of(self, messages: list[dict[str, Any]], call: Call, anchor: str) -> tuple[int, str]:
        """How many of the messages an earlier call began with as well, and a link to that call."""
        link = f'<a href="#{anchor}">{clean(call.id)}</a>'
        place, found, so_far = 0, "", hashlib.blake2b(digest_size=16)
        for number, message in enumerate(messages, 1):
            so_far.update(json.dumps(message, sort_keys=True).encode() + b"\n")
            known = self._known.setdefault(so_far.digest(), link)
            if known != link:
                place, found = number, known
        return place, found

    def _tools_of(self, asked: Mapping[str, Any]) -> list[str]:
        """What the model was told of each tool, the first time."""
        parts = []
        for tool in asked.get("tools", ()):
            told = json.dumps(tool, ensure_ascii=False, indent=1)
            if told not in self._tools:
                self._tools.add(told)
                parts.append(folded(f"tool: {_name(tool)}", pre(told)))
        return parts


def _message(message: Mapping[str, Any]) -> str:
    content = message.get("content", "")
    said = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    calls = [_tool_call(call) for call in message.get("tool_calls") or ()]
    text = "\n".join(part for part in (said, *calls) if part)
    return f"<h4>{clean(message['role'])}</h4>\n{pre(text)}"


def _tool_call(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return json.dumps(call, ensure_ascii=False)
    return f"calls {function.get('name')}: {function.get('arguments')}"


def _settings(asked: Mapping[str, Any]) -> str:
    """The rest of the request, in a line."""
    plain = {name: value for name, value in asked.items() if not isinstance(value, dict | list)}
    said = [f"{name} {value}" for name, value in plain.items() if name not in NOT_SETTINGS]
    names = ", ".join(_name(tool) for tool in asked.get("tools", ()))
    return note(clean(" · ".join([*said, *([f"tools {names}"] if names else [])])))


def _formats(asked: Mapping[str, Any]) -> list[str]:
    """What is too large for the line: a schema of the reply."""
    return [
        folded(name, pre(json.dumps(value, ensure_ascii=False, indent=1)))
        for name, value in asked.items()
        if isinstance(value, dict | list) and name not in NOT_SETTINGS
    ]


def _name(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    return str(function.get("name", "")) if isinstance(function, dict) else "?"


def _count(messages: int) -> str:
    return f"{messages} message{'' if messages == 1 else 's'}"
