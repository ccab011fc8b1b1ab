"""One question under a budget, on the embedded model. Change the model and address to your own."""

from mull import Agent

agent = Agent("demo", budget="tokens=2000,seconds=20", depth="direct")
answer = agent.run("Ana has 9 balls. Ana buys 39 more. How many balls does Ana have?")
print(answer.text)
print(f"{answer.stopped}: {answer.usage.total_tokens} tokens in {answer.usage.seconds:.2f} s")
