"""Reply: what a model said, put together from the chunks of a stream. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..budgets import Usage

NO_USAGE = Usage()
LONGEST_TOKEN = 256
"""Bytes; a reply with more than this for each token allowed is not a reply."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for."""

    id: str
    name: str
    arguments: str
    """JSON text exactly as the model wrote it: perhaps not JSON at all."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token and how sure the model was of it."""

    token: str
    logprob: float
    """Natural logarithm of its probability."""
    top: tuple[tuple[str, float], ...] = ()
    """The likeliest alternatives, where asked for."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a reply as it arrives."""

    text: str = ""
    reasoning: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens that arrived since the delta before, where asked for: a chain can be judged
    while it streams (DeepConf, Fu et al. 2025)."""
    attempt: int = 1
    """A higher number than before means: the stream broke and starts again from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole reply (or, where an error carries it, as much as had arrived)."""

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    """`stop`, `length` (the output limit was reached), `tool_calls`, `content_filter`; empty when
    the stream was cut."""
    refusal: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    usage: Usage = NO_USAGE
    """What this call was charged."""
    model: str = ""
    seconds: float = 0.0
    """From sending the request to the end of the reply."""
    seconds_to_first: float | None = None
    """From sending the request to the first token."""


class Malformed(ValueError):
    """A chunk that is not of the expected shape."""


class ReplyBuilder:
    """Feed it the stream's chunks; ask it at any moment what arrived and what it cost.

    Args:
        max_tokens: The output limit that was sent. A backend that goes on beyond it is cut off.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.finish_reason = ""
        self.finished = False
        """Whether a finish reason or the end mark has been seen."""
        self.overrun = False
        """Whether the backend went on beyond `max_tokens`."""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._logprobs: list[TokenLogprob] = []
        self._heard = 0
        """How many of them went out with a delta."""
        self._refusal: list[str] = []
        self._model = ""
        self._pieces = 0
        self._bytes = 0
        self._most = 0
        self._counted: int | None = None
        self._prompt: int | None = None
        self._usage: Mapping[str, Any] | None = None

    def feed(self, chunk: object) -> Delta | None:
        """Take one chunk; what it adds to the visible text, if anything. Raises `Malformed`."""
        if not isinstance(chunk, dict):
            raise Malformed(f"a chunk is {type(chunk).__name__}, not an object")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        timings = chunk.get("timings")
        if isinstance(timings, dict):
            self._read_timings(timings)
        if isinstance(model := chunk.get("model"), str):
            self._model = model
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise Malformed("a chunk has no list of choices")
        return self._choice(choices[0]) if choices else None

    def _choice(self, choice: object) -> Delta | None:
        if not isinstance(choice, dict) or not isinstance(choice.get("delta") or {}, dict):
            raise Malformed("a choice has no delta")
        delta: dict[str, Any] = choice.get("delta") or {}
        text = _string(delta, "content")
        reasoning = _string(delta, "reasoning") or _string(delta, "reasoning_content")
        refusal = _string(delta, "refusal")
        arguments = sum(self._tool_call(call) for call in _list(delta, "tool_calls"))
        listed = self._read_logprobs(choice.get("logprobs"))
        if text or reasoning or refusal or arguments:
            size = arguments + len((text + reasoning + refusal).encode("utf-8", "replace"))
            self._pieces += 1
            self._bytes += size
            self._most += listed or size
        self._text.append(text)
        self._reasoning.append(reasoning)
        self._refusal.append(refusal)
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self.finish_reason = reason
            self.finished = True
        if self._seen() > self.max_tokens or self._bytes > LONGEST_TOKEN * (self.max_tokens + 64):
            self.overrun = True
            self.finished = True
            self.finish_reason = "length"
        return self._delta(text, reasoning) if text or reasoning else None

    def _delta(self, text: str, reasoning: str) -> Delta:
        logprobs = tuple(self._logprobs[self._heard :])
        self._heard = len(self._logprobs)
        return Delta(_mended(text), _mended(reasoning), logprobs)

    def _tool_call(self, fragment: object) -> int:
        """Add a fragment of a tool call; its bytes."""
        if not isinstance(fragment, dict) or not isinstance(fragment.get("function"), dict):
            raise Malformed("a tool call has no function")
        index = fragment.get("index", 0)
        if not isinstance(index, int):
            raise Malformed("a tool call's index is not a number")
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = fragment["function"]
        call["id"] = call["id"] or _string(fragment, "id")
        call["name"] += _string(function, "name")
        arguments = _string(function, "arguments")
        call["arguments"] += arguments
        return len(arguments.encode("utf-8", "replace")) + len(_string(function, "name"))

    def _read_timings(self, timings: Mapping[str, Any]) -> None:
        """llama.cpp's running count: of the prompt, what was cached and what was not."""
        made = _number(timings, "predicted_n")
        cached, fresh = _number(timings, "cache_n"), _number(timings, "prompt_n")
        if made is not None:
            self._counted = max(self._counted or 0, made)
        if cached is not None and fresh is not None:
            self._prompt = cached + fresh

    def _read_logprobs(self, logprobs: object) -> int:
        """Keep a chunk's logprobs; how many tokens they list."""
        items = _list(logprobs, "content")
        for item in items:
            top = tuple(_logprob(other) for other in _list(item, "top_logprobs"))
            self._logprobs.append(TokenLogprob(*_logprob(item), top))
        return len(items)

    def _seen(self) -> int:
        """Output tokens that have certainly been generated.

        The backend's running count where it sends one; else a piece of text is a token or more.
        """
        if self._counted is not None:
            return self._counted
        return max(self._pieces, len(self._logprobs))

    def output_tokens(self) -> int:
        """Output tokens to charge: the backend's own count, or without one what can be proved.

        Never below what was seen. Without any count, bytes bound the tokens from above, except
        in pieces whose logprobs list their tokens.
        """
        reported = _number(self._usage, "completion_tokens")
        if reported is None:
            return self._seen() if self._counted is not None else max(self._seen(), self._most)
        return max(reported, self._seen())

    def usage(self, prompt_bound: int, prompt_floor: int) -> Usage:
        """What this call spent, without its cost.

        `prompt_bound` stands in for a missing prompt count, and for one below `prompt_floor`,
        which cannot be true.
        """
        prompt = _number(self._usage, "prompt_tokens")
        if prompt is None:
            prompt = self._prompt
        if prompt is None or prompt < prompt_floor:
            prompt = prompt_bound
        return Usage(
            calls=1,
            input_tokens=prompt,
            output_tokens=self.output_tokens(),
            reasoning_tokens=_detail(self._usage, "completion_tokens_details", "reasoning_tokens"),
            cached_tokens=_detail(self._usage, "prompt_tokens_details", "cached_tokens"),
        )

    @property
    def empty(self) -> bool:
        """Whether nothing at all has been said."""
        return self._pieces == 0

    def reply(self, **known: Any) -> Reply:
        """The reply as far as it has arrived. A leading `<think>` block counts as reasoning."""
        text, reasoning = _mended("".join(self._text)), _mended("".join(self._reasoning))
        opened = text.lstrip()
        if not reasoning and opened.startswith("<think>"):
            thought, _, rest = opened.removeprefix("<think>").partition("</think>")
            text, reasoning = rest.lstrip(), thought.strip()
        calls = tuple(
            ToolCall(call["id"] or f"call_{index}", call["name"], _mended(call["arguments"]))
            for index, call in sorted(self._calls.items())
        )
        return Reply(
            text=text,
            reasoning=reasoning,
            tool_calls=calls,
            finish_reason=self.finish_reason,
            refusal=_mended("".join(self._refusal)),
            logprobs=tuple(self._logprobs),
            model=self._model,
            **known,
        )


def _mended(text: str) -> str:
    """`text` with surrogates in pairs joined, and lone ones, which cannot be sent, replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _string(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{name} is {type(value).__name__}, not text")
    return value


def _list(holder: object, name: str) -> list[Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    if value is not None and not isinstance(value, list):
        raise Malformed(f"{name} is {type(value).__name__}, not a list")
    return value or []


def _logprob(entry: object) -> tuple[str, float]:
    value = entry.get("logprob") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(value, int | float):
        raise Malformed("a logprob entry has no logprob")
    return str(entry.get("token")), value


def _number(holder: Mapping[str, Any] | None, name: str) -> int | None:
    value = None if holder is None else holder.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _detail(usage: Mapping[str, Any] | None, group: str, name: str) -> int:
    details = None if usage is None else usage.get(group)
    return _number(details, name) or 0 if isinstance(details, dict) else 0
