"""Fetcher: GET a page of the public web, whatever address a model comes up with."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterable
from dataclasses import dataclass
from http import HTTPStatus

import httpcore2
import httpx2

from .addresses import public_web
from .guard import Allow, FetchError, Guard, Resolve, resolve

MOST_BYTES = 5_000_000
"""Of a body, on the wire and unpacked."""
MOST_SECONDS = 20.0
"""For a page, redirects included."""
MOST_REDIRECTS = 5
MOST_CHARACTERS = 2_000
"""Of an address."""
CONNECT_SECONDS = 5.0
"""For each address of a host."""
_REDIRECTS = {301, 302, 303, 307, 308}
_SUBTYPES = {"pdf", "json", "xml", "xhtml+xml", "javascript", "x-ndjson", "yaml", "octet-stream"}
"""Of application/…; what an octet-stream holds is seen in its bytes."""


class BadStatus(FetchError):
    """The server answered with a status other than 200."""

    def __init__(self, address: str, status: int) -> None:
        self.status = status
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
        super().__init__(f"{address} answered {status} {phrase}")


@dataclass(frozen=True, slots=True)
class Page:
    """What an address held."""

    address: str
    """The one it came from in the end, after redirects."""
    media_type: str
    """As `text/html`, in lower case; empty where the server did not say."""
    charset: str
    """As the server named it; empty where it did not."""
    body: bytes


class Fetcher:
    """Fetches pages for a model, which may ask for any address, its own network's included.

    Each connection goes through a `Guard`, redirects too. No cookies, no credentials, no proxy of
    the environment.

    Args:
        allow: Which addresses and ports may be connected to; the public web. An application whose
            agent is to read its intranet allows that here, and nothing else can.
        resolve: The addresses of a host name.
        tls: For https; the machine's certificates.
        most_bytes: Of a body; more is refused.
        seconds: For one page, redirects included.
    """

    def __init__(
        self,
        *,
        allow: Allow = public_web,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        most_bytes: int = MOST_BYTES,
        seconds: float = MOST_SECONDS,
    ) -> None:
        self._guard = Guard(allow, resolve)
        self._tls = tls
        self._most_bytes = most_bytes
        self._seconds = seconds

    async def get(self, address: str) -> Page:
        """The page at `address`. Raises `FetchError`, `BadStatus`."""
        url = _url(address)
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(MOST_REDIRECTS + 1):
                    found = await self._hop(url)
                    if isinstance(found, Page):
                        return found
                    url = found
        except TimeoutError:
            raise FetchError(f"{_short(url)} took longer than {self._seconds:.3g} s") from None
        raise FetchError(f"{_short(url)}: redirected more than {MOST_REDIRECTS} times")

    async def _hop(self, url: httpx2.URL) -> Page | httpx2.URL:
        """The page at `url`, or where it redirects to."""
        if self._tls is None and url.scheme == "https":
            self._tls = httpcore2.default_ssl_context()  # Slow: it reads all the certificates.
        target = httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        try:
            async with (
                httpcore2.AsyncConnectionPool(self._tls, network_backend=self._guard) as pool,
                pool.stream(
                    "GET",
                    target,
                    headers=[(b"Host", url.netloc), *_HEADERS],
                    extensions={"timeout": {"connect": CONNECT_SECONDS}},
                ) as response,
            ):
                return await self._read(url, response)
        except httpcore2.TimeoutException:
            raise FetchError(f"{_short(url)} did not answer in time") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError) as error:
            why = str(error) or type(error).__name__
            raise FetchError(f"{_short(url)} could not be read: {why[:200]}") from error

    async def _read(self, url: httpx2.URL, response: httpcore2.Response) -> Page | httpx2.URL:
        headers = {
            name.decode("latin-1").lower(): value.decode("utf-8", "replace")
            for name, value in response.headers
        }
        if response.status in _REDIRECTS and "location" in headers:
            return _url(headers["location"], url)
        if response.status != HTTPStatus.OK:
            raise BadStatus(_short(url), response.status)
        media_type, _, rest = headers.get("content-type", "").lower().partition(";")
        media_type = media_type.strip()
        if not _readable(media_type):
            raise FetchError(
                f"{_short(url)} is {media_type[:50]!r}: only text, HTML, JSON, XML and PDF"
            )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._most_bytes:
            raise self._too_large(url)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        body = await self._unpacked(url, response.aiter_stream(), encoding)
        return Page(str(url), media_type, _charset(rest), body)

    async def _unpacked(
        self, url: httpx2.URL, chunks: AsyncIterable[bytes], encoding: str
    ) -> bytes:
        """The body. Reading ends with the chunk that goes over the limit, unpacked or not."""
        if encoding not in {"identity", "gzip", "x-gzip", ""}:
            raise FetchError(
                f"{_short(url)} is packed as {encoding[:50]!r}, which was not asked for"
            )
        gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in encoding else None
        body, received = bytearray(), 0
        async for chunk in chunks:
            received += len(chunk)
            if gzip is None:
                body += chunk
            else:
                try:
                    body += gzip.decompress(chunk, self._most_bytes + 1 - len(body))
                except zlib.error:
                    raise FetchError(f"{_short(url)} is not the gzip that it says it is") from None
            if max(received, len(body)) > self._most_bytes:
                raise self._too_large(url)
        if gzip is not None and received and not gzip.eof:
            raise FetchError(f"{_short(url)} broke off before its end")
        return bytes(body)

    def _too_large(self, url: httpx2.URL) -> FetchError:
        return FetchError(f"{_short(url)} is larger than {self._most_bytes / 1e6:.3g} MB")


def _url(written: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """A web address from the model, or from a redirect of `base`. Raises `FetchError`."""
    short = written[:100]
    if len(written) > MOST_CHARACTERS:
        raise FetchError(f"{short!r}… is longer than {MOST_CHARACTERS} characters")
    try:
        url = httpx2.URL(written.strip()) if base is None else base.join(written.strip())
        host, _port = url.raw_host, url.port
    except (httpx2.InvalidURL, ValueError) as error:
        raise FetchError(f"{short!r} is not an address: {error}") from None
    if url.scheme not in {"http", "https"}:
        raise FetchError(f"{short!r} is not a web address: it must start with https:// or http://")
    if not host:
        raise FetchError(f"{short!r} names no host")
    if url.userinfo:
        raise FetchError(f"an address with a user name or password is refused ({url.scheme}://…)")
    return url.copy_with(fragment=None)


def _short(url: httpx2.URL) -> str:
    """For a message, whose end must be read too."""
    written = str(url)
    return written if len(written) <= 200 else f"{written[:200]}…"


def _readable(media_type: str) -> bool:
    kind, _, subtype = media_type.partition("/")
    return (
        kind in {"text", ""}
        or (kind == "application" and subtype in _SUBTYPES)
        or subtype.endswith(("+json", "+xml"))
    )


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return value.strip().strip("\"'")
    return ""


_HEADERS = (
    (b"User-Agent", b"Mozilla/5.0 (compatible; mull)"),
    (b"Accept", b"text/html,application/xhtml+xml,application/pdf;q=0.9,*/*;q=0.8"),
    (b"Accept-Language", b"en,*;q=0.5"),
    (b"Accept-Encoding", b"gzip"),
)
