"""Thinking, tool calls and the remaining budget, as they happen."""

import asyncio

from mull import Agent, Answered
from mull.graphs import BudgetState, Text, ToolFinished, ToolStarted

QUESTION = "Kim has 28 stamps. Kim finds 13 more. How many stamps does Kim have?"


async def main() -> None:
    """Print each event."""
    agent = Agent("demo", tools=["python"], budget="tokens=2000,seconds=20")
    async for event in agent.astream(QUESTION):
        match event:
            case Text(text=text):
                print(text, end="", flush=True)
            case ToolStarted(tool=tool, arguments=arguments):
                print(f"→ {tool} {arguments}")
            case ToolFinished(text=text):
                print(f"← {text}")
            case BudgetState(left=left):
                print(f"\n  {left['tokens']} tokens left")
            case Answered(answer=answer):
                print(f"{answer.stopped}: {answer.final}")


asyncio.run(main())
