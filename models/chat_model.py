"""A LangChain chat model around `Model`, so that LangChain code can spend from a ledger."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    convert_to_openai_messages,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict

from ..budgets import Ledger
from ..errors import WrongUsage
from ..portal import run_blocking
from .messages import Request
from .model import Model
from .reply import Delta, Reply

_SETTINGS = frozenset(
    {
        "max_tokens",
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "seed",
        "logprobs",
        "top_logprobs",
        "response_format",
        "reasoning_effort",
        "extra_body",
    }
)


class BudgetedChatModel(BaseChatModel):
    """A chat model whose every call is paid by `ledger`. Raises as `Model.ask` does."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Model
    ledger: Ledger

    @property
    def _llm_type(self) -> str:
        return "mull"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools, in any form that LangChain knows."""
        specs = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=specs, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run_blocking(lambda: self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = await self.model.ask(
            _request(messages, stop, kwargs), ledger=self.ledger, call_id=_call_id()
        )
        return ChatResult(generations=[ChatGeneration(message=_message(reply))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        pieces: asyncio.Queue[Delta | None] = asyncio.Queue()
        work = asyncio.create_task(
            self.model.ask(
                _request(messages, stop, kwargs),
                ledger=self.ledger,
                call_id=_call_id(),
                on_delta=pieces.put_nowait,
            )
        )
        work.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (delta := await pieces.get()) is not None:
                chunk = AIMessageChunk(
                    content=delta.text,
                    additional_kwargs=_reasoning(delta.reasoning),
                )
                yield ChatGenerationChunk(message=chunk)
            yield ChatGenerationChunk(message=_closing(await work))
        finally:
            work.cancel()
            await asyncio.wait([work])


def _call_id() -> str:
    return f"chat.{uuid.uuid4().hex}"


def _request(
    messages: list[BaseMessage], stop: list[str] | None, settings: dict[str, Any]
) -> Request:
    unknown = settings.keys() - _SETTINGS
    if unknown:
        raise WrongUsage(
            f"{', '.join(sorted(unknown))}: not a setting of this model. Known: "
            f"{', '.join(sorted(_SETTINGS))}; extra_body takes any other"
        )
    wire: Any = convert_to_openai_messages(messages)
    for message in wire:
        message["content"] = message.get("content") or ""
        if not isinstance(message["content"], str):
            raise WrongUsage("only text can be sent: a message holds images or other parts")
    return Request(messages=wire, stop=tuple(stop or ()), **settings)


def _message(reply: Reply) -> AIMessage:
    calls, invalid = [], []
    for call in reply.tool_calls:
        try:
            arguments = json.loads(call.arguments or "{}")
            if not isinstance(arguments, dict):
                raise TypeError("the arguments are not an object")
        except (ValueError, TypeError, RecursionError) as error:
            invalid.append(
                {"name": call.name, "args": call.arguments, "id": call.id, "error": str(error)}
            )
        else:
            calls.append({"name": call.name, "args": arguments, "id": call.id})
    return AIMessage(
        content=reply.text,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        additional_kwargs=_reasoning(reply.reasoning),
        response_metadata={"finish_reason": reply.finish_reason, "model_name": reply.model},
        usage_metadata=_usage(reply),
    )


def _closing(reply: Reply) -> AIMessageChunk:
    """What a stream ends with: tool calls, usage and the reason; the text has gone before."""
    return AIMessageChunk(
        content="",
        tool_call_chunks=[
            {
                "name": call.name,
                "args": call.arguments,
                "id": call.id,
                "index": index,
                "type": "tool_call_chunk",
            }
            for index, call in enumerate(reply.tool_calls)
        ],
        response_metadata={"finish_reason": reply.finish_reason, "model_name": reply.model},
        usage_metadata=_usage(reply),
    )


def _reasoning(text: str) -> dict[str, Any]:
    return {"reasoning_content": text} if text else {}


def _usage(reply: Reply) -> UsageMetadata:
    usage = reply.usage
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details={"cache_read": usage.cached_tokens},
        output_token_details={"reasoning": usage.reasoning_tokens},
    )
