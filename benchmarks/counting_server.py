"""A chat server in a process of its own that answers fast and counts what each question was asked.

    python benchmarks/counting_server.py [--delay 0]

It prints its address, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

REPLY = "There are as many as the number says."
STREAM = {"Content-Type": "text/event-stream"}


@dataclass
class Server:
    """Answers every question with the same words."""

    delay: float
    """Seconds before each answer."""
    asked: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    """Of prompts that arrived and of replies that were sent, at four bytes a token."""

    async def chat(self, request: web.Request) -> web.Response:
        """One stream, sent in one piece."""
        body = await request.json()
        texts = [str(message["content"]) for message in body["messages"]]
        self.asked[texts[-1].splitlines()[0]] += 1
        prompt, reply = sum(len(text) for text in texts) // 4, len(REPLY) // 4
        self.tokens += prompt
        await asyncio.sleep(self.delay)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": reply,
            "total_tokens": prompt + reply,
        }
        choice = {"index": 0, "delta": {"content": REPLY}, "finish_reason": "stop"}
        events: list[dict[str, Any]] = [{"choices": [choice]}, {"choices": [], "usage": usage}]
        common = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        lines = [f"data: {json.dumps(common | event)}\n\n" for event in events]
        self.tokens += reply
        return web.Response(text="".join([*lines, "data: [DONE]\n\n"]), headers=STREAM)

    async def models(self, request: web.Request) -> web.Response:
        """The list of models."""
        return web.json_response({"object": "list", "data": [{"id": "m", "owned_by": "counter"}]})

    async def counts(self, request: web.Request) -> web.Response:
        """What was asked until now."""
        return web.json_response({"asked": self.asked, "tokens": self.tokens})


@dataclass(frozen=True)
class Counts:
    """What a server was asked."""

    asked: Counter[str]
    """How often each question arrived."""
    tokens: int


@dataclass(frozen=True)
class Counting:
    """A running server."""

    base_url: str

    def counts(self) -> Counts:
        """Its own account."""
        root = self.base_url.removesuffix("/v1")
        with urllib.request.urlopen(f"{root}/counts", timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
        return Counts(Counter(told["asked"]), told["tokens"])


@contextmanager
def counting_server(delay: float = 0.0) -> Iterator[Counting]:
    """Run one until the block ends."""
    command, pipe = [sys.executable, __file__, f"--delay={delay}"], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Counting(process.stdout.readline().strip())
        finally:
            process.stdin.close()


async def serve(delay: float) -> None:
    """Serve until standard input ends."""
    server = Server(delay)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/v1/models", server.models)
    app.router.add_get("/counts", server.counts)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    asyncio.run(serve(parser.parse_args().delay))
