"""How an MCP server is reached, from what the user wrote. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import WrongUsage

STDIO = ("command", "args", "env", "cwd")
HTTP = ("url", "headers")
HOW = 'give {"command": …, "args": […], "env": {…}, "cwd": …} or {"url": …, "headers": {…}}'


def connection(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The connection as langchain-mcp-adapters takes it. Raises `WrongUsage`."""
    if not isinstance(name, str) or not name.strip():
        raise WrongUsage(f"an MCP server is called {name!r}: give it a name")
    if not isinstance(given, Mapping):
        raise WrongUsage(f"MCP server {name!r}: {HOW}")
    known = STDIO if "command" in given else HTTP if "url" in given else ()
    if unknown := [str(key) for key in given if key not in known]:
        raise WrongUsage(f"MCP server {name!r}: {', '.join(unknown)} cannot be used here: {HOW}")
    if known == STDIO:
        return _stdio(name, given)
    if known == HTTP:
        return _http(name, given)
    raise WrongUsage(f"MCP server {name!r} has neither a command nor a url: {HOW}")


def _stdio(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    command, args = given["command"], given.get("args", [])
    if not isinstance(command, str) or not command.strip():
        raise WrongUsage(f"MCP server {name!r}: command={command!r} is no program: {HOW}")
    if isinstance(args, str) or not all(isinstance(arg, str) for arg in args):
        raise WrongUsage(f"MCP server {name!r}: args={args!r} is no list of texts: {HOW}")
    made: dict[str, Any] = {"transport": "stdio", "command": command, "args": list(args)}
    if given.get("env") is not None:
        made["env"] = _texts(name, "env", given["env"])
    if given.get("cwd") is not None:
        made["cwd"] = str(given["cwd"])
    return made


def _http(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    url = given["url"]
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise WrongUsage(f"MCP server {name!r}: url={url!r}: give an http:// or https:// address")
    made: dict[str, Any] = {"transport": "streamable_http", "url": url}
    if given.get("headers") is not None:
        made["headers"] = _texts(name, "headers", given["headers"])
    return made


def _texts(name: str, what: str, given: Any) -> dict[str, str]:
    fits = isinstance(given, Mapping) and all(
        isinstance(key, str) and isinstance(value, str) for key, value in given.items()
    )
    if not fits:
        # The values may be secrets: they are not repeated.
        raise WrongUsage(f"MCP server {name!r}: {what} must map texts to texts: {HOW}")
    return dict(given)
