"""Typed output in a node's request: what the model is told of it, and the form of its reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..run import Run

Form = Literal["object", "line"]
"""`object`: one JSON object of reasoning and output, to which the backend can hold the reply.
`line`: text that ends in the output, as with tools, or of a model that cannot reason in JSON."""


def form_of(run: Run, *, tools: bool = False) -> Form:
    """The form of a reply of this model. A backend does not take a schema beside tools."""
    return "object" if run.model.profile.reasons_in_json and not tools else "line"


def told(run: Run, words: str, form: Form, *, reasoned: bool = True) -> str:
    """What a node tells the model, in place of its own `words`, in a run that has a type."""
    if run.output is None:
        return words
    if form == "line":
        how = run.prompt("typed.line", LINE)
    elif reasoned:
        words, how = "", run.prompt("typed.object", OBJECT)
    else:
        words, how = "", run.prompt("typed.land", LAND)
    how = how.replace("{schema}", run.output.schema_text)
    return "\n\n".join(filter(None, (words, how)))


def format_of(run: Run, form: Form, *, reasoned: bool = True) -> Mapping[str, Any] | None:
    """The request's `response_format`, in a run that has a type.

    `reasoned`: the model writes its reasoning first, into the same object.
    """
    if run.output is None or form == "line":
        return None
    return run.output.response_format(reasoned=reasoned)


OBJECT = """\
Solve the problem step by step. Write the whole reply as one JSON object and nothing else: first \
`reasoning`, your steps as one string, then `output`, the final answer, as JSON that satisfies \
this schema:
{schema}"""

LAND = """\
There is no more room to work. Give the best answer you can now: one JSON object and nothing else, \
with the single member `output`, as JSON that satisfies this schema:
{schema}"""

LINE = """\
The final answer is JSON that satisfies this schema:
{schema}
Write that JSON on one line, after `Answer: `."""
