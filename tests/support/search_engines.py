"""What the real ddgs client meets: a forward proxy that plays every search engine, over TLS.

`DdgsProvider(proxy=engines.proxy, verify=engines.authority_file)` then searches for real, offline.
"""

import asyncio
import ssl
from collections.abc import Callable
from html import escape
from pathlib import Path

import trustme
from listener import Listener
from site_server import Answer, send

Engine = Callable[[str, str], Answer]
"""From host and target of a request to its answer."""


def results(*hits: tuple[str, str, str]) -> Engine:
    """Mojeek's page of results (title, address, snippet); the other engines find nothing."""
    items = "".join(
        f"<li><h2><a href='{escape(address)}'>{escape(title)}</a></h2>"
        f"<p class='s'>{escape(snippet)}</p></li>"
        for title, address, snippet in hits
    )
    page = f"<html><body><ul class='results-standard'>{items}</ul></body></html>"

    def answer(host: str, target: str) -> Answer:
        return Answer(page.encode()) if "mojeek" in host else empty(host, target)

    return answer


def empty(host: str, target: str) -> Answer:
    """Nothing found, as each kind of engine says it."""
    if "wikipedia" in host:
        return Answer(b'["q", [], [], []]', media_type="application/json")
    if "grokipedia" in host:
        return Answer(b'{"results": []}', media_type="application/json")
    return Answer(b"<html><body><p>No results.</p></body></html>")


def too_many(host: str, target: str) -> Answer:
    """429 from every engine."""
    return Answer(b"Too many requests", status=429, headers={"Retry-After": "60"})


def challenge(host: str, target: str) -> Answer:
    """The page that asks to prove to be human, with status 200 as some do."""
    return Answer(b"<html><body><form id='challenge'>Select all ducks</form></body></html>")


def hang(host: str, target: str) -> Answer:
    """Headers at once, and then nothing for ten minutes."""
    return Answer(b"x" * 2048, pause=600)


class SearchEngines(Listener):
    """The proxy, on a free port of 127.0.0.1 inside ``async with``. `engine` may change."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.engine: Engine = empty
        self.requests: list[str] = []
        """Host and target of each."""
        self._authority = trustme.CA()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.authority_file = str(folder / "authority.pem")
        self._authority.cert_pem.write_to_path(self.authority_file)

    @property
    def proxy(self) -> str:
        """Address for a client."""
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            opening = (await reader.readuntil(b"\r\n\r\n")).decode()
            host = opening.split(" ")[1].rpartition(":")[0]
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self._context(host))
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            target = head.split(" ")[1]
            self.requests.append(host + target)
            await send(writer, self.engine(host, target))
        except (asyncio.IncompleteReadError, OSError):
            pass  # The client went away.
        except asyncio.CancelledError:
            writer.transport.abort()  # Closing TLS would wait for the client.
            raise
        finally:
            writer.close()

    def _context(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert(host).configure_cert(context)
            self._contexts[host] = context
        return self._contexts[host]
