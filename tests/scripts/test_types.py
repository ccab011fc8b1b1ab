"""A step's output_type: its answer is validated, and others read its fields."""

import json
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer

from mull import Model
from mull.scripts import Script, ScriptError

SCHEMA = (
    "{type: object, properties: {total: {type: integer}, unit: {type: string}}, required: [total]}"
)
MODULE = """
from pydantic import BaseModel

class Sum(BaseModel):
    total: int

several = list[Sum]
"""


def script(folder: Path, text: str) -> Script:
    """The script in this text, with a module and a schema beside it."""
    (folder / "helpers.py").write_text(MODULE)
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
    (folder / "sum.json").write_text(json.dumps(schema))
    (folder / "list.json").write_text("[]")
    (folder / "script.yaml").write_text(text)
    return Script.load(folder / "script.yaml")


def typed(body: Any) -> str:
    """A backend held to the schema: every total is 7."""
    question = body["messages"][-1]["content"]
    form = body.get("response_format")
    if form is None:
        return f"Answer: {question}"
    output: Any = {"total": 7}
    if form["json_schema"]["schema"]["properties"]["output"].get("type") == "array":
        output = [output]
    return json.dumps({"reasoning": "It is clear.", "output": output})


async def run(server: FaultServer, script: Script, **more: Any) -> dict[str, Any]:
    """Each step's result as plain values."""
    result = await script.arun(Model("m", server.base_url), **more)
    steps: dict[str, Any] = json.loads(json.dumps(result.as_dict()))["steps"]
    return steps


@pytest.mark.parametrize("given", [SCHEMA, "sum.json", "helpers:Sum"])
async def test_another_step_reads_the_fields_of_a_typed_answer(
    server: FaultServer, tmp_path: Path, given: str
) -> None:
    server.reply = typed
    steps = await run(
        server,
        script(
            tmp_path,
            f"""
steps:
- {{id: a, question: "How many?", depth: direct, output_type: {given}}}
- {{id: b, question: "twice {{{{ steps.a.output.total }}}}", depth: direct}}
""",
        ),
    )
    assert steps["a"]["output"] == {"total": 7}
    assert steps["b"]["answer"] == "twice 7"


async def test_a_list_of_outputs_can_be_gone_through(server: FaultServer, tmp_path: Path) -> None:
    server.reply = typed
    steps = await run(
        server,
        script(
            tmp_path,
            """
steps:
- {id: a, question: "Which?", depth: direct, output_type: "helpers:several"}
- {id: b, foreach: steps.a.output, question: "got {{ item.total }}", depth: direct}
""",
        ),
    )
    assert steps["b"]["answer"] == ["got 7"]


async def test_a_step_without_a_valid_answer_fails_after_its_retries(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = "It is seven."
    steps = await run(
        server,
        script(
            tmp_path,
            """
steps:
- {id: a, question: "How many?", depth: direct, output_type: helpers:Sum, retry: 1}
""",
        ),
    )
    assert steps["a"]["state"] == "failed"
    assert "no valid Sum" in steps["a"]["error"]
    assert len(server.requests) == 6


async def test_a_budget_that_ends_before_a_valid_answer_fails_the_step(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = "It is seven."
    text = '\nsteps:\n- {id: a, question: "How many?", depth: direct, output_type: helpers:Sum}\n'
    steps = await run(server, script(tmp_path, text), budget="calls=1")
    assert (steps["a"]["state"], steps["a"]["budget_ended"]) == ("failed", True)


async def test_a_step_whose_type_was_changed_is_done_again(
    server: FaultServer, tmp_path: Path
) -> None:
    server.reply = typed
    text = '\nsteps:\n- {{id: a, question: "How many?", depth: direct, output_type: {}}}\n'
    folder = tmp_path / "run"
    for given in ("helpers:Sum", "helpers:Sum", "helpers:several"):
        await run(server, script(tmp_path, text.format(given)), folder=folder, resume=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{type: objekt}", "no JSON schema"),
        ("none.json", "none.json"),
        ("list.json", "an object is wanted"),
        ("helpers:None", "there is no such name"),
        ("helpers:BaseModel.x", "module:Name"),
        ("Sum", "module:Name"),
    ],
)
async def test_a_type_that_is_none_is_told_with_its_line_and_nothing_is_spent(
    server: FaultServer, tmp_path: Path, given: str, told: str
) -> None:
    text = f"steps:\n- id: a\n  question: How many?\n  output_type: {given}\n"
    with pytest.raises(ScriptError, match=rf"script.yaml:4: .*{told}"):
        await run(server, script(tmp_path, text))
    assert not server.requests


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'steps:\n- {id: a, question: x}\n- {id: b, question: "{{ steps.a.output.n }}"}\n',
            "script.yaml:3: steps.a.output: step 'a' has no output_type",
        ),
        (
            "steps:\n- id: a\n  python: helpers:Sum\n  output_type: helpers:Sum\n",
            "output_type: of no use to a python function",
        ),
    ],
)
def test_a_type_where_none_can_be_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScriptError) as raised:
        script(tmp_path, text)
    assert told in str(raised.value)
