"""Questions from a file, answered into a file under one budget; a second start asks nothing."""

import json
import tempfile
from pathlib import Path

from mull import Agent, Ledger
from mull.batches import Batch
from mull.models import resolve_model

model = resolve_model("demo")


def agent(ledger: Ledger) -> Agent:
    """Answers one question, paid from the account that the batch gives it."""
    return Agent(model, depth="direct", ledger=ledger)


with tempfile.TemporaryDirectory() as folder:
    questions, results = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
    with questions.open("w") as file:
        for n in range(2, 8):
            question = f"Ana has {n} balls. Ana buys {n} more. How many balls does Ana have?"
            print(json.dumps({"id": f"twice-{n}", "question": question}), file=file)

    batch = Batch(agent, budget="tokens=500", total="tokens=3000", concurrency=4)
    for start in ("first", "second"):
        report = batch.run(questions, results)
        spent = report.progress.spent.total_tokens
        print(f"{start} start: {report.stopped}, {report.progress.new} new rows, {spent} tokens")
    print(results.read_text().splitlines()[0])
