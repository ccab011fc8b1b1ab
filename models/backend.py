"""Backend: the connection to one OpenAI-compatible server, and its errors told apart."""

from __future__ import annotations

import email.utils
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import aiohttp
import httpx2
import openai
from openai import AsyncStream

from .errors import (
    BackendError,
    BackendFailed,
    BadRequest,
    BrokenStream,
    ContextOverflow,
    KeyRefused,
    MalformedReply,
    RateLimited,
    UnknownModel,
    Unreachable,
)
from .lanes import Lanes


class Backend:
    """One server. Connections are shared by all models that use it in the same event loop.

    Args:
        base_url: Address up to and with `/v1`.
        api_key: Sent as a bearer token; empty for servers without keys.
        concurrency: Requests in flight at once, for each event loop.
    """

    def __init__(self, base_url: str, api_key: str = "", *, concurrency: int = 64) -> None:
        self.base_url = base_url.rstrip("/")
        self.root_url = self.base_url.removesuffix("/v1")
        self.concurrency = concurrency
        self.api_key = api_key
        self.lanes = Lanes(self.base_url, api_key, concurrency)

    async def get(self, url: str) -> Any:
        """JSON of a GET below the server's root. Raises `BackendError`."""
        lane = await self.lanes.here()
        with self._typed_errors():
            response = await lane.client.get(self.root_url + url, cast_to=httpx2.Response)
        return self._json(response, url)

    async def post(self, url: str, body: Mapping[str, Any]) -> Any:
        """JSON of a POST below the server's root. Raises `BackendError`."""
        lane = await self.lanes.here()
        with self._typed_errors():
            response = await lane.client.post(
                self.root_url + url, cast_to=httpx2.Response, body=body
            )
        return self._json(response, url)

    @asynccontextmanager
    async def stream(
        self, body: Mapping[str, Any], *, keep_alive: bool = True
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """The raw bytes of a streamed chat completion.

        Without `keep_alive`, the connection is a new one and is not used again.
        Leaving the block before the end, by an exception or a cancellation too, closes the
        connection, so that the server stops generating. Raises `BackendError`.
        """
        lane = await self.lanes.here()
        client = lane.client if keep_alive else lane.fresh
        with self._typed_errors():
            # With this cast the SDK hands back the response itself, unread.
            response = cast(
                httpx2.Response,
                await client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body=body,
                    options={} if keep_alive else {"headers": {"Connection": "close"}},
                    stream=True,
                    stream_cls=AsyncStream[Any],
                ),
            )
        try:
            kind = response.headers.get("content-type", "")
            if "event-stream" not in kind:
                raise MalformedReply(
                    f"{self.base_url} answered with {kind or 'no content type'} instead of an "
                    "event stream: is this an OpenAI-compatible address (often ending in /v1)?",
                    unread="json" in kind,
                )
            yield self._pieces(response)
        finally:
            await response.aclose()

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """One of the backend's places for a request; given back however the block ends."""
        async with (await self.lanes.here()).permits:
            yield

    @asynccontextmanager
    async def probing(self) -> AsyncIterator[None]:
        """Held by whoever asks the backend what it is: one asks, the others wait for it."""
        async with (await self.lanes.here()).probing:
            yield

    async def aclose(self) -> None:
        """Close this event loop's connections. They also close when the loop ends."""
        await self.lanes.aclose()

    async def _pieces(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except (httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            raise BrokenStream(
                f"{self.base_url}: the connection broke in the middle of a reply ({error!r})"
            ) from error

    def _json(self, response: httpx2.Response, url: str) -> Any:
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise MalformedReply(
                f"{self.root_url}{url} answered with something that is not JSON"
            ) from None

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        """Turn what the SDK raises, and what the layers below it let through, into our errors."""
        try:
            yield
        except openai.APIError as error:
            raise self._explain(error) from error
        except aiohttp.ClientResponseError as error:
            raise MalformedReply(
                f"{self.base_url} answered with something that is not HTTP: is the address right?"
            ) from error
        except (httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            raise BrokenStream(
                f"{self.base_url} closed the connection before it answered ({error!r})"
            ) from error

    def _explain(self, error: openai.APIError) -> BackendError:
        """The typed error for what the SDK raised."""
        if isinstance(error, openai.APIStatusError):
            return explain_status(
                self.base_url,
                error.status_code,
                _detail(error.body, error.message),
                _code(error.body),
                _retry_after(error.response.headers),
            )
        if isinstance(error, openai.APIConnectionError):
            if _never_connected(error):
                return Unreachable(
                    f"no backend answers at {self.base_url}: is the server running and the "
                    "address right? `mull doctor` looks for backends"
                )
            return BrokenStream(f"{self.base_url} closed the connection before it answered")
        return BackendFailed(f"{self.base_url}: {error}")


def explain_status(
    base_url: str, status: int, detail: str, code: str = "", retry_after: float | None = None
) -> BackendError:
    """The typed error for an HTTP status or an error event. Pure."""
    error = _typed(f"{base_url} said ({status}): {detail}", status, f"{detail} {code}", retry_after)
    error.status = status
    return error


def _typed(said: str, status: int, words: str, retry_after: float | None) -> BackendError:
    low = words.lower()
    if status in (401, 403):
        return KeyRefused(f"{said}. Check the API key")
    if status == 429:
        return RateLimited(f"{said}. Ask less often or raise the limit", retry_after=retry_after)
    if status == 404:
        if "model" in low:
            return UnknownModel(f"{said}. `mull doctor` lists the models served")
        return BadRequest(f"{said}. Is the address right (often ending in /v1)?")
    if "context" in low and ("length" in low or "size" in low or "window" in low):
        return ContextOverflow(f"{said}. Shorten the question or use a model with more context")
    if status >= 500:
        return BackendFailed(said, retry_after=retry_after)
    return BadRequest(said)


def _detail(body: object, otherwise: str) -> str:
    """What an error body says, on one short line."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("type")
    text = inner if isinstance(inner, str) and inner else otherwise
    if text.lstrip()[:9].lower() in ("<!doctype", "<html>") or "<html" in text[:300].lower():
        return "an HTML page. Is this an OpenAI-compatible address (often ending in /v1)?"
    return " ".join(text.split())[:300]


def _code(body: object) -> str:
    inner = body.get("error", body) if isinstance(body, dict) else None
    return f"{inner.get('code')} {inner.get('type')}" if isinstance(inner, dict) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `Retry-After` as a number or as a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


def _never_connected(error: BaseException) -> bool:
    """Whether the failure came before anything was sent."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        at = at.__cause__
    return False
