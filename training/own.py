"""The model's own replies to training problems: what it learns to criticise and to mend.

python -m training.own --model model.gguf --out own.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mull import Budget
from mull.budgets import Ledger
from mull.graphs.nodes.answer import SYSTEM
from mull.models import Backend, Model, Request, system, user
from mull.models.demo import DEMO_PROFILE
from mull.models.demo.problems import Problem, problems
from mull.models.demo.server import serve

EACH = 4
"""Replies to one problem."""


@dataclass(frozen=True, slots=True)
class Own:
    """The replies by family, and how often they are right, in percent."""

    replies: Mapping[str, Sequence[tuple[Problem, str]]] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)


def read_own(path: Path) -> Own:
    """What `main` wrote."""
    replies: dict[str, list[tuple[Problem, str]]] = defaultdict(list)
    right: Counter[str] = Counter()
    all_of: Counter[str] = Counter()
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        known = row["problem"]
        problem = Problem(**{**known, "lines": tuple(known["lines"]), "numbers": ()})
        replies[problem.family].append((problem, row["text"]))
        key = f"{problem.family} {problem.steps}"
        all_of[key] += 1
        right[key] += problem.solved_by(row["text"])
    rates = {key: 5 * round(20 * right[key] / count) for key, count in all_of.items()}
    return Own(replies, rates)


async def _sample(address: str, family: str, count: int, seed: int) -> list[dict[str, object]]:
    model = Model("demo", Backend(base_url=address), profile=DEMO_PROFILE)
    ledger = Ledger(Budget(), key=f"own {family}")
    places = asyncio.Semaphore(8)

    async def reply(problem: Problem, number: int) -> dict[str, object]:
        request = Request(
            messages=[system(SYSTEM), user(problem.question)],
            temperature=DEMO_PROFILE.sampling_temperature,
            seed=seed + number,
        )
        async with places:
            said = await model.ask(request, ledger=ledger, call_id=str(number))
        known = {name: getattr(problem, name) for name in ("family", "question", "answer", "lines")}
        return {"problem": {**known, "code": problem.code}, "text": said.text}

    chosen = itertools.islice(problems(seed, family, split="train"), count)
    numbered = [(problem, EACH * i + j) for i, problem in enumerate(chosen) for j in range(EACH)]
    try:
        return list(await asyncio.gather(*(reply(*one) for one in numbered)))
    finally:
        await model.aclose()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=400, help="problems of each family")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    address = serve(arguments.model)
    with arguments.out.open("w", encoding="utf-8") as out:
        for family in ("words", "chains"):
            rows = asyncio.run(_sample(address, family, arguments.count, arguments.seed))
            out.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
