"""A script is checked before anything is spent; each problem is told with file and line."""

from pathlib import Path

import pytest

from mull import WrongUsage
from mull.scripts import Script, ScriptError, Step


def problems(folder: Path, text: str, **inputs: object) -> list[str]:
    """What is wrong with the script, as `line: what`."""
    file = folder / "s.yaml"
    file.write_text(text)
    with pytest.raises(ScriptError) as caught:
        Script.load(file).check(inputs)
    told = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in told), told
    return [line.removeprefix(f"{file}:") for line in told]


WRONG = [
    ("steps:\n- id: a\n  question: '{{ steps.b.answer }}'\n", "3: there is no step 'b'"),
    ("steps:\n- id: a\n  question: |\n    x\n    {{ inputs.y }}\n", "5: there is no input 'y'"),
    ("steps:\n- id: a\n  question: x\n  when: inputs.y > 3\n", "4: there is no input 'y'"),
    ("steps:\n- id: a\n  question: x\n  foreach: inputs.y\n", "4: there is no input 'y'"),
    ("steps:\n- id: a\n  question: x\n  needs: [b]\n", "4: step 'a' needs 'b': there is no step"),
    ("steps:\n- id: a\n  question: x\n- id: a\n  question: y\n", "4: there is a step 'a' already"),
    ("steps:\n- id: a\n  question: '{{ b }}'\n", "3: there is no 'b' here"),
    ("steps:\n- id: a\n  question: '{{ item }}'\n", "3: 'item' is known only"),
    ("steps:\n- id: a\n  question: '{{ x'\n", "3: "),
    ("steps:\n- id: a\n  question: x\n  when: '{{ 1 }}'\n", "4: "),
    ("steps:\n- id: a\n  question: '{{ steps }}'\n", "3: `steps` needs a name after it"),
    ("steps:\n- id: a\n  question: x\n  tools: [hammer]\n", "4: there is no tool 'hammer'"),
    ("steps:\n- id: a\n  question: x\n  depth: deep\n", "4: steps.0.depth: there is no depth"),
    ("steps:\n- id: a\n  question: x\n  verify: luck\n", "4: steps.0.verify: there is no verif"),
    ("steps:\n- id: a\n  question: x\n  wen: y\n", "4: steps.0.wen: Extra inputs"),
    ("steps:\n- id: a\n  question: x\n  share: 1.5\n", "4: steps.0.share: "),
    ("steps:\n- id: a b\n  question: x\n", "2: steps.0.id: "),
    ("steps:\n- id: a\n", "2: steps.0: a step has either"),
    ("steps:\n- id: a\n  question: x\n  id: b\n", "4: 'id' is given twice"),
    ("steps:\n- id: a\n  question: [\n", "4: no YAML"),
    ("", "1: the file is empty"),
    ("steps: []\n", "1: steps: "),
    ("budget: tokens\nsteps:\n- id: a\n  question: x\n", "1: budget 'tokens'"),
    ("inputs:\n  y:\nsteps:\n- id: a\n  question: x\n", "2: the input 'y' is missing"),
    (
        "steps:\n- id: a\n  question: x\n  foreach: [1]\n  output: a.txt\n",
        "5: every item would write to the same file",
    ),
    (
        "steps:\n- {id: a, question: x, share: 0.6}\n- {id: b, question: x, share: 0.6}\n",
        "2: the shares add up to 1.2",
    ),
    (
        "steps:\n- {id: a, question: x}\n- {id: b, question: '{{ steps.a.anser }}'}\n",
        "3: steps.a.anser: a step has answer",
    ),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_problem_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    first, *_ = problems(tmp_path, text)
    assert first.startswith(told)


def test_a_circle_is_told_with_its_steps(tmp_path: Path) -> None:
    text = (
        "steps:\n- {id: z, question: x, needs: [a]}\n"
        "- {id: a, question: '{{ steps.b.answer }}'}\n- {id: b, question: x, needs: [a]}\n"
    )
    assert problems(tmp_path, text) == ["3: a circle: a needs b needs a"]


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = "steps:\n- {id: a, question: '{{ inputs.y }}'}\n- {id: b, question: x, needs: [c]}\n"
    assert len(problems(tmp_path, text)) == 2


def test_a_name_that_is_nearly_right_is_suggested(tmp_path: Path) -> None:
    text = "steps:\n- {id: first, question: x}\n- {id: b, question: x, needs: [frist]}\n"
    assert problems(tmp_path, text)[0].endswith("did you mean 'first'?")


def test_an_input_that_the_script_does_not_take_is_told(tmp_path: Path) -> None:
    told = problems(tmp_path, "steps:\n- {id: a, question: x}\n", other=3)
    assert told == ["1: there is no input 'other': this script takes none"]


def test_a_name_is_an_attribute_even_where_a_dict_has_a_method_of_that_name(
    tmp_path: Path,
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "inputs: {items: [1]}\nsteps:\n- {id: a, foreach: inputs.items, question: '{{ item }}'}\n"
    )
    assert Script.load(file).plan("demo").steps[0].times == 1


def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="No such file"):
        Script.load(tmp_path / "none.yaml")


def test_a_script_made_in_python_is_checked_as_well() -> None:
    script = Script(steps=(Step(id="a", question="{{ steps.b.answer }}"),))
    with pytest.raises(ScriptError, match="there is no step 'b'"):
        script.check()


@pytest.mark.parametrize("attack", ["''.__class__.__mro__", "steps.a.answer.__class__"])
async def test_a_template_cannot_leave_its_sandbox(attack: str) -> None:
    script = Script(
        steps=(
            Step(id="a", python="json:dumps", foreach=[]),
            Step(id="b", question=f"{{{{ {attack} }}}}"),
        )
    )
    result = await script.arun("demo")
    assert result.steps["b"].state == "failed"
    assert "unsafe" in str(result.steps["b"].error)
