"""Many runs of one tenant under a common limit that survives the process."""

import asyncio
import tempfile
from pathlib import Path

from mull import Agent, Budget, Ledger, SQLiteStore

QUESTIONS = [f"Ana has {n} balls. Ana buys {n} more. How many does Ana have?" for n in range(2, 14)]


async def main() -> None:
    """Ask a dozen questions at once; the tenant's limit holds for all of them together."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "ledger.db")
        tenant = Ledger(Budget(tokens=300), key="tenant-42", store=store)
        agent = Agent("demo", depth="direct", ledger=tenant)
        answers = await asyncio.gather(*(agent.arun(question) for question in QUESTIONS))
        answered = sum(answer.stopped == "answered" for answer in answers)
        print(f"{answered} of {len(answers)} answered; {tenant.spent().total_tokens} of 300 tokens")
        store.close()


asyncio.run(main())
