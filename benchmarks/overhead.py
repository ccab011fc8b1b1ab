"""CPU milliseconds of this process for each question, beside a bare HTTP client and the plain SDK.

    python benchmarks/overhead.py [--tokens 20] [--rounds 7] [--questions 60]

The server runs in a process of its own and answers at once. Rounds of all contenders alternate, and
the median round counts, so that a busy machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from openai import AsyncOpenAI
from rich.console import Console
from rich.table import Table

from mull import Agent, Budget, Ledger, Model
from mull.models import Request, user

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from fault_server import serve_in_process

QUESTION = "What is 12 + 30? Think first."
Contender = Callable[[], Awaitable[object]]


async def main(tokens: int, rounds: int, questions: int) -> None:
    """Measure and print the table."""
    with serve_in_process("none", tokens=tokens) as server:
        body = {
            "model": "m",
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 2 * tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        url = f"{server.base_url}/chat/completions"
        sdk = AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        model = Model("m", server.base_url)
        ledger = Ledger(Budget(tokens=10**9))
        agent = Agent(model, budget="tokens=100000,seconds=60", depth="direct")
        request = Request(messages=[user(QUESTION)], max_tokens=2 * tokens)
        numbers = iter(range(10**9))

        async with aiohttp.ClientSession() as session:

            async def bare() -> None:
                async with session.post(url, json=body) as response:
                    async for line in response.content:
                        if line.startswith(b"data: {"):
                            json.loads(line[6:])

            async def plain() -> None:
                async for _ in await sdk.chat.completions.create(**body):  # type: ignore[call-overload]
                    pass

            async def client() -> None:
                await model.ask(request, ledger=ledger, call_id=str(next(numbers)))

            async def direct() -> None:
                await agent.arun(QUESTION)

            async def streamed() -> None:
                async for _ in agent.astream(QUESTION):
                    pass

            contenders: dict[str, Contender] = {
                "bare aiohttp": bare,
                "plain openai SDK": plain,
                "mull Model.ask": client,
                "mull Agent.arun, direct": direct,
                "mull Agent.astream, direct": streamed,
            }
            for work in contenders.values():
                await _measure(work, 5, 1)  # Connections and caches are warm from here on.
            one: dict[str, list[float]] = {name: [] for name in contenders}
            eight: dict[str, list[float]] = {name: [] for name in contenders}
            for _ in range(rounds):
                for name, work in contenders.items():
                    one[name].append(await _measure(work, questions, 1))
                    eight[name].append(await _measure(work, questions, 8))
        await sdk.close()
        await model.aclose()
    table = Table("", "CPU ms, one at a time", "CPU ms, eight at once", title=f"{tokens} tokens")
    for name in contenders:
        figures = (statistics.median(times[name]) for times in (one, eight))
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    Console().print(table)


async def _measure(work: Contender, questions: int, at_once: int) -> float:
    """CPU milliseconds of this process for each question."""
    started = time.process_time()
    for _ in range(questions // at_once):
        await asyncio.gather(*(work() for _ in range(at_once)))
    asked = questions // at_once * at_once
    return 1000 * (time.process_time() - started) / asked


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tokens", type=int, default=20, help="length of each reply")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--questions", type=int, default=60, help="for each round")
    given = parser.parse_args()
    asyncio.run(main(given.tokens, given.rounds, given.questions))
