"""A small web server on loopback: a path gives an answer, byte for byte as the test wrote it."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from listener import Listener


@dataclass(frozen=True)
class Answer:
    """What a path answers."""

    body: bytes = b""
    media_type: str | None = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    """Seconds before each kilobyte of the body."""
    declare_length: bool = True
    """False: the body ends where the connection does."""


def redirect(location: str, status: int = 302) -> Answer:
    """An answer that sends the client elsewhere."""
    return Answer(status=status, headers={"Location": location})


@dataclass
class Request:
    """One that arrived."""

    target: str
    headers: dict[str, str]
    """Names in lower case."""


class Site(Listener):
    """Serves `answers` on a free port of 127.0.0.1 inside ``async with``; 404 for other paths."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines if line)
            target = first.split(" ")[1]
            self.requests.append(Request(target, {name.lower(): value for name, value in pairs}))
            missing = Answer(b"no such page", status=404)
            await send(writer, self.answers.get(target.partition("?")[0], missing))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The client went away: what the test is about, where it happens.
        except asyncio.CancelledError:
            writer.transport.abort()  # Closing TLS would wait for the client.
            raise
        finally:
            writer.close()


async def send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Write `answer` and say that the connection ends."""
    headers = {"Connection": "close", **answer.headers}
    if answer.media_type is not None:
        headers["Content-Type"] = answer.media_type
    if answer.declare_length:
        headers["Content-Length"] = str(len(answer.body))
    head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*head, "", ""]).encode())
    size = 1024 if answer.pause else 1 << 16
    for start in range(0, len(answer.body), size):
        await asyncio.sleep(answer.pause)
        writer.write(answer.body[start : start + size])
        await writer.drain()
    await writer.drain()
