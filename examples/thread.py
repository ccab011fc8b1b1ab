"""A conversation that outlives the process, with a tool that waits for a person."""

import tempfile

from mull import Agent
from mull.tools import as_tool

QUESTION = "Ana has 9 balls. Ana buys 39 more. How many balls does Ana have?"


def post(message: str) -> str:
    """Post a message where others read it."""
    return f"posted: {message}"


def agent(folder: str) -> Agent:
    """As each process of the application makes it."""
    tools = [as_tool(post, side_effects=True)]
    return Agent("demo", tools=tools, approve="ask", depth="direct", threads=folder)


with tempfile.TemporaryDirectory() as folder:
    agent(folder).thread("user-42", budget="tokens=20000").run(QUESTION)

    # Another process, later.
    thread = agent(folder).thread("user-42")
    answer = thread.run("Leo has 12 cards. Leo loses 5. How many cards does Leo have?")
    while answer.stopped == "paused":
        decisions = {waiting.id: input(f"{waiting.tool}? ") for waiting in answer.pending}
        answer = thread.resume(decisions)
    for turn in thread.history():
        print(f"{turn.number}. {turn.question} → {turn.text.splitlines()[-1]}")
    print(f"{thread.spent().total_tokens} tokens; {thread.left()} left")
