"""What the embedded model solves in a conversation: after 0, 1 and 3 earlier questions.

    python benchmarks/demo_conversation.py [--problems 150] [--seed 77]

Greedy, under the prompt of `direct`; the earlier turns are other problems with right solutions.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from pathlib import Path

from mull import Ledger, Model
from mull.graphs.nodes.answer import SYSTEM
from mull.models import Message, Request, resolve_model, system, user
from mull.models.demo.problems import Problem, problems

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks.shares import shown

FAMILIES = ("words", "countdown-3")
TURNS = (0, 1, 3)
AT_ONCE = 8
"""Calls at work at the same time."""


async def solved(model: Model, chosen: list[Problem], turns: int) -> int:
    """How many of the problems are solved after so many earlier turns."""
    gate, ledger = asyncio.Semaphore(AT_ONCE), Ledger()

    async def one(place: int, problem: Problem) -> bool:
        history: list[Message] = []
        for step in range(1, turns + 1):
            before = chosen[(place + step) % len(chosen)]
            history += [user(before.question), {"role": "assistant", "content": before.solution}]
        messages = [system(SYSTEM), *history, user(problem.question)]
        async with gate:
            request = Request(messages=messages, temperature=0.0)
            reply = await model.ask(request, ledger=ledger, call_id=str(place))
        return problem.solved_by(reply.text)

    return sum(await asyncio.gather(*itertools.starmap(one, enumerate(chosen))))


async def main(count: int, seed: int) -> None:
    """Measure every family."""
    model = resolve_model("demo")
    for family in FAMILIES:
        chosen = list(itertools.islice(problems(seed, family), count))
        for turns in TURNS:
            right = await solved(model, chosen, turns)
            print(f"{family}, {turns} earlier turns: {shown(right, count)} %")
    await model.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=150)
    parser.add_argument("--seed", type=int, default=77)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.problems, arguments.seed))
