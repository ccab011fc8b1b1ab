"""A run on a durable ledger, for a test to kill: URL, LEDGER FILE, TOKENS, BRANCHES."""

import asyncio
import sys

from mull.agents import Agent
from mull.budgets import Budget, Ledger, SQLiteStore
from mull.models import Model, Profile


async def main(url: str, file: str, tokens: int, branches: int) -> None:
    ledger = Ledger(Budget(tokens=tokens), key="run", store=SQLiteStore(file))
    agent = Agent(Model("m", url, profile=Profile(max_tokens=300)), depth="reason", ledger=ledger)
    await asyncio.gather(*(agent.arun("How many?") for _ in range(branches)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
