"""Backend: the connection to one OpenAI-compatible server, and its errors told apart."""

from __future__ import annotations

import asyncio
import email.utils
import ssl
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, cast

import aiohttp
import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream

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

CONNECT_TIMEOUT = 10.0
"""Seconds to get a connection."""
KEPT_FOR = 15.0
"""Seconds that an idle connection is kept for the next request."""


class _Lane:
    """What one event loop uses of a backend: the clients, and the permits for its calls."""

    def __init__(self, client: AsyncOpenAI, fresh: AsyncOpenAI, concurrency: int) -> None:
        self.client = client
        self.fresh = fresh
        """Uses each connection once."""
        self.permits = asyncio.Semaphore(concurrency)
        self.probing = asyncio.Lock()


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
        self._api_key = api_key
        self._lanes: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[_Lane, AsyncGenerator[_Lane, None]]
        ] = weakref.WeakKeyDictionary()

    async def get(self, url: str) -> Any:
        """JSON of a GET below the server's root. Raises `BackendError`."""
        lane = await self._lane()
        with self._typed_errors():
            response = await lane.client.get(self.root_url + url, cast_to=httpx2.Response)
        return self._json(response, url)

    async def post(self, url: str, body: Mapping[str, Any]) -> Any:
        """JSON of a POST below the server's root. Raises `BackendError`."""
        lane = await self._lane()
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
        lane = await self._lane()
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
        async with (await self._lane()).permits:
            yield

    @asynccontextmanager
    async def probing(self) -> AsyncIterator[None]:
        """Held by whoever asks the backend what it is: one asks, the others wait for it."""
        async with (await self._lane()).probing:
            yield

    async def aclose(self) -> None:
        """Close this event loop's connections. They also close when the loop ends."""
        known = self._lanes.pop(asyncio.get_running_loop(), None)
        if known is not None:
            await known[1].aclose()

    async def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        known = self._lanes.get(loop)
        if known is None:
            for ended in [other for other in self._lanes if other.is_closed()]:
                del self._lanes[ended]
            # A loop that shuts down closes its open async generators: no session outlives its loop.
            keeper = self._open()
            known = self._lanes[loop] = (await anext(keeper), keeper)
        return known[0]

    async def _open(self) -> AsyncGenerator[_Lane, None]:
        client = self._client(KEPT_FOR)
        fresh = self._client(0.0)
        try:
            yield _Lane(client, fresh, self.concurrency)
        finally:
            self._lanes.pop(asyncio.get_running_loop(), None)
            await client.close()
            await fresh.close()

    def _client(self, kept_for: float) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._api_key or "none",
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(
                verify=_tls(),
                timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),
                limits=httpx2.Limits(
                    max_connections=self.concurrency + 4,
                    max_keepalive_connections=self.concurrency,
                    keepalive_expiry=kept_for,
                ),
            ),
        )

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


@cache
def _tls() -> ssl.SSLContext:
    """Certificates take 40 ms to read."""
    return httpx2.create_ssl_context()


def explain_status(
    base_url: str, status: int, detail: str, code: str = "", retry_after: float | None = None
) -> BackendError:
    """The typed error for an HTTP status or an error event. Pure."""
    said = f"{base_url} said ({status}): {detail}"
    low = f"{detail} {code}".lower()
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
