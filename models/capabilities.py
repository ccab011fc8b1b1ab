"""What a backend can do, found out once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from .backend import Backend
from .errors import BackendError, KeyRefused
from .messages import Request

Kind = Literal["llama.cpp", "vllm", "sglang", "openai", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One backend's abilities, for one model."""

    kind: Kind = "other"
    models: tuple[str, ...] = ()
    """Names it serves; empty where it does not say."""
    context: int | None = None
    """Tokens of prompt and reply together."""
    counts_prompts: bool = False
    """It has a tokenizer endpoint."""
    max_tokens_field: str = "max_tokens"
    prefill: bool = False
    """It continues a last assistant message."""
    logprobs: bool = False
    """It tells the logprobs of the tokens it generates."""
    refuses: frozenset[str] = frozenset()
    """Optional settings that it turned down for this model: they are left out from then on."""
    keep_alive: bool = True
    """Its connections may be used again. llama.cpp closes them after a stream without saying so."""

    def stream_options(self) -> dict[str, Any]:
        """The part of a request's body that asks for the stream and its accounts."""
        body: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        if self.kind == "vllm":
            body["stream_options"]["continuous_usage_stats"] = True
        if self.kind == "llama.cpp":
            body["timings_per_token"] = True
        return body

    def prefill_options(self) -> dict[str, Any]:
        """The part of a body that asks for the last assistant message to be continued."""
        if self.kind in ("vllm", "sglang"):
            return {"continue_final_message": True, "add_generation_prompt": False}
        return {}


async def probe(backend: Backend, model: str | None) -> Capabilities:
    """Ask the backend what it is. Spends no tokens.

    Raises `KeyRefused` and the retryable errors; a backend that will not say otherwise counts as
    "other".
    """
    try:
        listing = await backend.get("/v1/models")
    except BackendError as error:
        if error.retryable or isinstance(error, KeyRefused):
            raise
        return unprobed(backend)
    data = listing.get("data") if isinstance(listing, dict) else None
    entries = [e for e in data if isinstance(e, dict)] if isinstance(data, list) else []
    names = tuple(str(entry.get("id")) for entry in entries)
    entry = next((e for e in entries if e.get("id") == model), entries[0] if entries else {})
    context = entry.get("max_model_len")
    context = context if isinstance(context, int) and context > 0 else None
    match entry.get("owned_by"):
        case "llamacpp":
            return Capabilities(
                kind="llama.cpp",
                models=names,
                context=await _slot_context(backend),
                counts_prompts=True,
                prefill=True,
                logprobs=True,
                keep_alive=False,
            )
        case "vllm":
            return Capabilities(
                kind="vllm",
                models=names,
                context=context,
                counts_prompts=True,
                prefill=True,
                logprobs=True,
            )
        case "sglang":
            return Capabilities(
                kind="sglang", models=names, context=context, prefill=True, logprobs=True
            )
    if _is_openai(backend):
        return replace(unprobed(backend), models=names)
    return Capabilities(models=names, context=context)


def unprobed(backend: Backend) -> Capabilities:
    """What is known of a backend without asking it."""
    if _is_openai(backend):
        return Capabilities(kind="openai", max_tokens_field="max_completion_tokens", logprobs=True)
    return Capabilities()


async def count_prompt(
    backend: Backend, capabilities: Capabilities, model: str, request: Request
) -> int:
    """The prompt's exact tokens, by the backend's own tokenizer. Raises `BackendError`."""
    messages = list(request.messages)
    if capabilities.kind == "llama.cpp":
        templated = await backend.post(
            "/apply-template", {"tools": list(request.tools), **request.body()}
        )
        counted = await backend.post(
            "/tokenize",
            {"content": templated["prompt"], "add_special": True, "parse_special": True},
        )
        return len(counted["tokens"])
    body = {"model": model, "messages": messages, "add_generation_prompt": not request.continues}
    body |= {name: request.extra_body[name] for name in _TEMPLATING if name in request.extra_body}
    if request.continues:
        body["continue_final_message"] = True
    if request.tools:
        body["tools"] = list(request.tools)
    counted = await backend.post("/tokenize", body)
    return int(counted["count"])


_TEMPLATING = ("chat_template", "chat_template_kwargs", "documents", "add_special_tokens")
"""What a body may have beside the standard fields that changes the prompt."""


async def _slot_context(backend: Backend) -> int | None:
    """llama.cpp shares its context among its slots: what one request gets."""
    try:
        settings = (await backend.get("/props"))["default_generation_settings"]
        return int(settings["n_ctx"])
    except (BackendError, KeyError, TypeError, ValueError):
        return None


def _is_openai(backend: Backend) -> bool:
    return "://api.openai.com" in backend.base_url
