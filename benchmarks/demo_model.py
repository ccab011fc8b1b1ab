"""What the embedded model can do, family by family, on problems that it was not trained on.

    python benchmarks/demo_model.py [--problems 300] [--seed 2000] [--families words,chains]

Every figure is percent of the problems, with its 95 % interval. Replies are sampled at T=0.8; the
other figures are greedy. `--model FILE` measures another GGUF file.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mull import Agent, Answer, Candidate, Ledger, Model
from mull.graphs import Settings
from mull.graphs.nodes.answer import SYSTEM as DIRECT
from mull.graphs.nodes.critique import CRITIQUE
from mull.graphs.nodes.think import SYSTEM as THINK
from mull.graphs.reflection import read_verdict
from mull.graphs.verifiers.equations import recompute
from mull.models import Backend, Request, resolve_model, system, user
from mull.models.demo import DEMO_PROFILE
from mull.models.demo.problems import FAMILIES, Problem, problems
from mull.models.demo.server import serve

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks.shares import shown

SAMPLES = 16
AT_ONCE = 8
"""Calls at work at the same time; the server has as many places."""
SEARCH_TOKENS = (1000, 2000, 4000)
"""Budgets at which search and best-of-N are compared."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A problem and its replies."""

    problem: Problem
    greedy: str
    texts: Sequence[str]

    @property
    def majority(self) -> str:
        """A reply with the most frequent answer; of Countdown, the most frequent reply."""
        if self.problem.numbers:
            return Counter(self.texts).most_common(1)[0][0]
        return _voted(self.texts)

    @property
    def best(self) -> str:
        """The vote of the replies that the verifier passes; of all where it passes none."""
        passed = [text for text in self.texts if verified(self.problem, text)]
        return _voted(passed or self.texts)


def _voted(texts: Sequence[str]) -> str:
    last = [text.rpartition("\n")[2] for text in texts]
    winner = Counter(last).most_common(1)[0][0]
    return texts[last.index(winner)]


def verified(problem: Problem, text: str) -> bool:
    """The code verifier's word: equations recomputed; of Countdown, the numbers' use as well."""
    if problem.numbers:
        return problem.solved_by(text)
    return recompute(Candidate(question=problem.question, text=text)).passed is True


class Bench:
    """The model and the calls of one family."""

    def __init__(self, model: Model, family: str, chosen: Sequence[Problem], seed: int) -> None:
        self.model = model
        self.family = family
        self.chosen = chosen
        self.seed = seed
        self._known = {problem.question: problem for problem in chosen}
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._ledger = Ledger(key=family)
        self._number = itertools.count()

    async def ask(self, head: str, question: str, temperature: float = 0.0) -> str:
        """One reply."""
        number = next(self._number)
        async with self._gate:
            request = Request(
                messages=[system(head), user(question)],
                temperature=temperature,
                seed=self.seed + number,
            )
            reply = await self.model.ask(request, ledger=self._ledger, call_id=str(number))
        return reply.text

    async def pool(self, problem: Problem) -> Pool:
        """The greedy reply and the samples."""
        warm = DEMO_PROFILE.sampling_temperature or 1.0
        greedy, *texts = await asyncio.gather(
            self.ask(DIRECT, problem.question),
            *(self.ask(DIRECT, problem.question, warm) for _ in range(SAMPLES)),
        )
        return Pool(problem, greedy, texts)

    async def critic(self, problem: Problem, text: str) -> bool | None:
        """Whether the model passes an answer, by the prompt of `critique`."""
        words = CRITIQUE.format(
            question=problem.question, evidence="(no tools were used)", text=text
        )
        return read_verdict(await self.ask(THINK, words)).passed

    async def agents(self, **settings: Any) -> list[Answer]:
        """Every problem by an agent."""
        agent = Agent(self.model, **settings)
        gate = asyncio.Semaphore(4)

        async def one(problem: Problem) -> Answer:
            async with gate:
                return await agent.arun(problem.question)

        return list(await asyncio.gather(*map(one, self.chosen)))

    def solved(self, answers: Sequence[Answer]) -> str:
        """How many of the answers are right."""
        pairs = zip(self.chosen, answers, strict=True)
        return shown(sum(p.solved_by(a.text) for p, a in pairs), len(answers))

    def check(self, candidate: Candidate) -> bool:
        """The code verifier of Countdown, as an agent takes it."""
        return self._known[candidate.question].solved_by(candidate.text)


async def family(bench: Bench, console: Console) -> None:
    """Measure one family and print its table."""
    begun = time.monotonic()
    table = Table("measure", "percent (95 %)", box=None, title=bench.family, title_justify="left")
    pools = await asyncio.gather(*map(bench.pool, bench.chosen))
    count = len(pools)
    right = [[pool.problem.solved_by(text) for text in pool.texts] for pool in pools]
    first = sum(row[0] for row in right)
    mean = sum(map(sum, right)) / (count * SAMPLES)
    table.add_row("one sample", f"{shown(first, count)}; mean of {SAMPLES}: {100 * mean:.1f}")
    for name in ("greedy", "majority", "best"):
        good = sum(pool.problem.solved_by(getattr(pool, name)) for pool in pools)
        table.add_row(
            {"best": f"best of {SAMPLES}, code verifier"}.get(name, name), shown(good, count)
        )
    table.add_row(f"any of {SAMPLES}", shown(sum(map(any, right)), count))
    if not bench.chosen[0].numbers:
        _by_steps(table, pools)
    if bench.chosen[0].numbers:
        await _search(bench, table)
    else:
        await _critic(bench, table, pools)
        await _reflect(bench, table)
    tools = await bench.agents(depth="reason", tools=["python"])
    called = sum(answer.usage.tool_calls > 0 for answer in tools)
    table.add_row("with the python tool", f"{bench.solved(tools)}; called by {called}")
    console.print(table)
    console.print(f"[dim]{time.monotonic() - begun:.0f} s[/dim]", highlight=False)


def _by_steps(table: Table, pools: Sequence[Pool]) -> None:
    """One sample against the best of all, by the length of the problem."""
    for steps in sorted({pool.problem.steps for pool in pools}):
        some = [pool for pool in pools if pool.problem.steps == steps]
        first = sum(pool.problem.solved_by(pool.texts[0]) for pool in some)
        best = sum(pool.problem.solved_by(pool.best) for pool in some)
        said = f"{shown(first, len(some))}; best of {SAMPLES}: {shown(best, len(some))}"
        table.add_row(f"  {steps} steps, {len(some)} problems", said)


async def _critic(bench: Bench, table: Table, pools: Sequence[Pool]) -> None:
    """The critic on the model's own replies: as many right ones as wrong ones."""
    good, bad = (
        [
            (pool.problem, text)
            for pool in pools
            for text in pool.texts[:4]
            if pool.problem.solved_by(text) is wanted
        ]
        for wanted in (True, False)
    )
    size = min(len(good), len(bad), len(pools) // 2)
    passed = await asyncio.gather(*(bench.critic(*one) for one in good[:size]))
    failed = await asyncio.gather(*(bench.critic(*one) for one in bad[:size]))
    hits = sum(said is True for said in passed), sum(said is False for said in failed)
    table.add_row(f"critic right, of {2 * size} balanced", shown(sum(hits), 2 * size))
    table.add_row("  passes the right ones", shown(hits[0], size))
    table.add_row("  fails the wrong ones", shown(hits[1], size))


async def _reflect(bench: Bench, table: Table) -> None:
    table.add_row("reason, no tools (the draft)", bench.solved(await bench.agents(depth="reason")))
    own = await bench.agents(depth="reflect")
    table.add_row("reflect, its own critic", bench.solved(own))
    checked = await bench.agents(depth="reflect", verifier="equations")
    table.add_row("reflect, code verifier", bench.solved(checked))


async def _search(bench: Bench, table: Table) -> None:
    """Tree search against best of N at the same budget; both stop at the first that passes."""
    most = Settings(samples=256, expansions=256, seed=bench.seed)
    for tokens in SEARCH_TOKENS:
        for depth in ("vote", "search"):
            answers = await bench.agents(
                depth=depth, verifier=bench.check, budget=f"tokens={tokens}", settings=most
            )
            spent = sum(a.usage.total_tokens for a in answers) / len(answers)
            name = {"vote": "best of N", "search": "tree search"}[depth]
            row = f"{name}, at most {tokens} tokens"
            table.add_row(row, f"{bench.solved(answers)}; {spent:.0f} tokens each")


async def main(count: int, seed: int, families: Sequence[str], file: Path | None) -> None:
    """Measure every family."""
    console = Console(width=110)
    console.print(f"{count} problems of each family, seed {seed}, {SAMPLES} samples at T=0.8")
    model = resolve_model("demo")
    if file is not None:
        model = Model("demo", Backend(serve(file)), profile=DEMO_PROFILE)
    for name in families:
        chosen = list(itertools.islice(problems(seed, name), count))
        await family(Bench(model, name, chosen, seed), console)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    asyncio.run(
        main(
            arguments.problems,
            arguments.seed,
            arguments.families.split(","),
            arguments.model,
        )
    )
