"""Steps run in order, at once where they can, and all of them under one budget."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer
from leftovers import until

from mull import Ledger, Model, SQLiteStore
from mull.scripts import Progress, Script, ScriptError, Step


@dataclass
class Bench:
    """Writes scripts and runs them against the server."""

    folder: Path
    server: FaultServer

    def load(self, text: str) -> Script:
        """The script in this text."""
        file = self.folder / "script.yaml"
        file.write_text(text)
        return Script.load(file)

    def python(self, text: str) -> None:
        """Write the module `helpers`, beside the script."""
        (self.folder / "helpers.py").write_text(text)

    def model(self) -> Model:
        """A model on the server."""
        return Model("m", self.server.base_url)

    @property
    def asked(self) -> list[str]:
        """The questions that arrived, in order."""
        return [question_of(one.body) for one in self.server.requests]


def question_of(body: Any) -> str:
    """What was asked: the first line of the last message."""
    return str(body["messages"][-1]["content"]).strip().splitlines()[0]


@pytest.fixture
def bench(tmp_path: Path, adder: FaultServer) -> Bench:
    """A folder and a server that adds."""
    return Bench(tmp_path, adder)


CHAIN = """
inputs: {start: 4}
steps:
- {id: b, question: "{{ steps.a.answer }} and 5", depth: reason}
- {id: a, question: "{{ inputs.start }} and 2", depth: reason}
"""


async def test_a_step_asks_with_the_answers_of_those_before_it(bench: Bench) -> None:
    result = await bench.load(CHAIN).arun(bench.model(), inputs={"start": 10})
    assert bench.asked == ["10 and 2", "12 and 5"]
    assert result.steps["b"].answer == "17"
    assert result.steps["b"].text == "It is a sum.\nAnswer: 17"
    assert list(result.steps) == ["b", "a"]


async def test_a_script_made_in_python_runs_like_one_from_a_file(bench: Bench) -> None:
    script = Script(steps=(Step(id="a", question="1 and 2", depth="reason"),))
    assert (await script.arun(bench.model())).steps["a"].answer == "3"


async def test_run_waits_for_the_same_result(bench: Bench) -> None:
    result = await asyncio.to_thread(bench.load(CHAIN).run, bench.model())
    assert result.steps["b"].answer == "11"


async def test_independent_steps_are_asked_at_the_same_time(bench: Bench) -> None:
    bench.server.fault = "hang_mid_stream"
    text = "steps:\n" + "".join(
        f"- {{id: s{n}, question: '{n}', depth: reason}}\n" for n in range(3)
    )
    run = asyncio.create_task(bench.load(text).arun(bench.model()))
    await until(lambda: bench.server.active == 3, 20)
    run.cancel()
    await asyncio.wait([run])
    await until(lambda: bench.server.active == 0, 20)


async def test_no_more_run_at_once_than_is_said(bench: Bench) -> None:
    bench.python(
        "import asyncio\nnow = most = 0\n"
        "async def work(inputs, steps, item):\n    global now, most\n"
        "    now += 1\n    most = max(most, now)\n    await asyncio.sleep(0.01)\n"
        "    now -= 1\n    return most\n"
    )
    text = "steps: [{id: a, foreach: [1, 2, 3, 4, 5, 6, 7], python: 'helpers:work'}]"
    result = await bench.load(text).arun(bench.model(), at_once=3)
    assert max(result.steps["a"].answer) == 3


async def test_a_foreach_asks_once_for_each_item_and_keeps_their_order(bench: Bench) -> None:
    text = """
inputs: {n: [5, 3, 8]}
steps:
- {id: a, foreach: inputs.n, question: "{{ item }} and {{ index }}", depth: reason}
- {id: b, question: "sum {{ steps.a.answer | join(' ') }}", depth: reason}
"""
    result = await bench.load(text).arun(bench.model())
    assert result.steps["a"].answer == ["5", "4", "10"]
    assert result.steps["b"].answer == "19"


async def test_a_foreach_over_what_is_no_list_fails_with_the_reason(bench: Bench) -> None:
    text = "steps: [{id: a, foreach: \"'abc'\", question: x}]"
    result = await bench.load(text).arun(bench.model())
    assert "gives str: a list is wanted" in str(result.steps["a"].error)


async def test_a_step_whose_condition_is_false_is_skipped_and_others_can_tell(
    bench: Bench,
) -> None:
    text = """
steps:
- {id: a, question: "1 and 2", depth: reason}
- {id: b, when: steps.a.answer | int > 3, question: "x"}
- {id: c, question: "{{ 40 if steps.b.skipped else 50 }}", depth: reason}
"""
    result = await bench.load(text).arun(bench.model())
    assert (result.steps["b"].state, result.steps["c"].answer) == ("skipped", "40")
    assert result.ok


async def test_the_answer_of_a_skipped_step_is_not_printed_as_none(bench: Bench) -> None:
    text = """
steps:
- {id: a, when: "false", question: x}
- {id: b, question: "{{ steps.a.answer }}"}
"""
    result = await bench.load(text).arun(bench.model())
    assert "was a step skipped?" in str(result.steps["b"].error)
    assert bench.asked == []


async def test_a_step_that_fails_ends_only_those_that_need_it(bench: Bench) -> None:
    bench.server.reply = lambda body: "" if question_of(body) == "7" else "Answer: 5"
    text = """
steps:
- {id: bad, question: "7", depth: reason}
- {id: after, question: "{{ steps.bad.answer }}", depth: reason}
- {id: other, question: "2 and 3", depth: reason}
"""
    result = await bench.load(text).arun(bench.model())
    states = {name: step.state for name, step in result.steps.items()}
    assert states == {"bad": "failed", "after": "blocked", "other": "done"}
    assert list(result.failures) == ["bad"]
    assert not result.ok


async def test_a_step_is_tried_again_as_often_as_it_says(bench: Bench) -> None:
    bench.python(
        "left = 2\ndef work(inputs, steps):\n    global left\n    left -= 1\n"
        "    if left >= 0: raise OSError('not yet')\n    return 'done'\n"
    )
    text = "steps: [{id: a, python: 'helpers:work', retry: 2}]"
    assert (await bench.load(text).arun(bench.model())).steps["a"].answer == "done"


async def test_what_a_function_raises_is_the_steps_error(bench: Bench) -> None:
    bench.python("def work(inputs, steps):\n    return 1 / 0\n")
    text = "steps: [{id: a, python: 'helpers:work'}]"
    result = await bench.load(text).arun(bench.model())
    assert result.steps["a"].error == "helpers:work raised ZeroDivisionError: division by zero"


async def test_a_function_sees_the_inputs_and_the_steps_it_needs(bench: Bench) -> None:
    bench.python("def work(inputs, steps):\n    return [inputs, steps]\n")
    text = """
inputs: {x: 1}
steps:
- {id: a, question: "1 and 2", depth: reason}
- {id: b, question: "9", depth: reason}
- {id: c, python: "helpers:work", needs: [a]}
"""
    inputs, steps = (await bench.load(text).arun(bench.model())).steps["c"].answer
    assert inputs == {"x": 1}
    assert list(steps) == ["a"]
    assert steps["a"]["answer"] == "3"


async def test_a_function_that_returns_no_plain_value_fails(bench: Bench) -> None:
    bench.python("def work(inputs, steps):\n    return object()\n")
    text = "steps: [{id: a, python: 'helpers:work'}]"
    assert "JSON" in str((await bench.load(text).arun(bench.model())).steps["a"].error)


@pytest.mark.parametrize("name", ["helpers:none", "nowhere_at_all:x"])
async def test_a_function_that_is_not_there_is_told_before_anything_is_spent(
    bench: Bench, name: str
) -> None:
    bench.python("")
    text = f"steps:\n- {{id: a, question: x}}\n- {{id: b, python: '{name}'}}\n"
    with pytest.raises(ScriptError, match=rf"script.yaml:3: {name}"):
        await bench.load(text).arun(bench.model())
    assert bench.asked == []


async def test_an_output_is_written_below_its_folder(bench: Bench) -> None:
    text = """
steps:
- {id: a, foreach: [3, 4], question: "{{ item }}", depth: reason, output: "d/{{ item }}.txt"}
"""
    await bench.load(text).arun(bench.model(), out=bench.folder / "out")
    assert (bench.folder / "out/d/4.txt").read_text() == "It is a sum.\nAnswer: 4\n"


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "."])
async def test_an_output_cannot_leave_its_folder(bench: Bench, name: str) -> None:
    text = f"steps: [{{id: a, question: '1', depth: reason, output: '{name}'}}]"
    result = await bench.load(text).arun(bench.model(), out=bench.folder / "out")
    assert "is not below" in str(result.steps["a"].error)


async def test_all_steps_together_stay_within_the_budget(bench: Bench) -> None:
    bench.server.reply = None
    bench.server.tokens = 200
    text = "steps: [{id: a, foreach: [1, 2, 3, 4, 5, 6, 7, 8], question: '{{ item }}'}]"
    result = await bench.load(text).arun(bench.model(), budget="tokens=900")
    assert bench.server.spent_tokens <= 900
    assert result.usage.total_tokens <= 900


async def test_a_share_limits_a_step_to_its_part(bench: Bench) -> None:
    text = """
steps:
- {id: a, foreach: [1, 2, 3, 4], question: "{{ item }}", depth: direct, share: 0.5, retry: 3}
- {id: b, foreach: [7], question: "{{ item }}", depth: direct, needs: [a]}
"""
    result = await bench.load(text).arun(bench.model(), budget="calls=4")
    assert result.steps["a"].usage.calls == 2
    assert result.steps["b"].state == "blocked"
    assert result.steps["a"].budget_ended


async def test_a_limit_in_dollars_needs_a_price(bench: Bench) -> None:
    with pytest.raises(ValueError, match="needs a price"):
        await bench.load(CHAIN).arun(bench.model(), budget="cost=1")


async def test_every_call_is_in_the_ledger_of_the_run_folder(bench: Bench) -> None:
    result = await bench.load(CHAIN).arun(bench.model(), folder=bench.folder / "run")
    ledger = Ledger(key="script", store=SQLiteStore(bench.folder / "run/ledger.db"))
    assert ledger.spent().calls == result.usage.calls == len(bench.asked) == 2


async def test_whoever_watches_is_told_of_beginnings_items_and_ends(bench: Bench) -> None:
    seen: list[Progress] = []
    text = "steps: [{id: a, foreach: [1, 2], question: '{{ item }}', depth: reason}]"
    await bench.load(text).arun(bench.model(), watch=seen.append)
    told = [(one.state, one.done, one.of) for one in seen]
    assert told == [("running", 0, 2), ("running", 1, 2), ("running", 2, 2), ("done", 2, 2)]


async def test_a_tool_of_the_callers_can_be_named(bench: Bench) -> None:
    def double(x: int) -> int:
        """Twice x."""
        return 2 * x

    text = "steps: [{id: a, question: '1', depth: reason, tools: [double]}]"
    await bench.load(text).arun(bench.model(), tools={"double": double})
    (request,) = bench.server.requests
    assert request.body["tools"][0]["function"]["name"] == "double"
    with pytest.raises(ScriptError, match="there is no tool 'double'"):
        await bench.load(text).arun(bench.model())


async def test_the_model_is_not_a_template(bench: Bench) -> None:
    bench.server.reply = lambda body: (
        "Answer: {{ inputs.x }}" if question_of(body) == "1" else "Answer: 2"
    )
    text = """
inputs: {x: secret}
steps:
- {id: a, question: "1", depth: reason}
- {id: b, question: "{{ steps.a.answer }}", depth: reason}
"""
    await bench.load(text).arun(bench.model())
    assert bench.asked[1] == "{{ inputs.x }}"


async def test_a_result_is_plain_json(bench: Bench) -> None:
    result = await bench.load(CHAIN).arun(bench.model())
    assert json.loads(json.dumps(result.as_dict()))["steps"]["b"]["answer"] == "11"
