"""Kept tool results: they come back as they were, and the tool is not called again."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from leftovers import check_books

from mull.agents.artifacts import Artifacts
from mull.budgets import Bound, Ledger, SQLiteStore
from mull.tools import Attachment, Scope, Tool, ToolError, as_tool
from mull.tools.result import ToolResult, read, written
from mull.tools.toolbox import Toolbox

RESULTS = st.builds(
    ToolResult,
    st.text(),
    failed=st.booleans(),
    seconds=st.floats(0, 1e6),
    attachments=st.lists(st.builds(Attachment, st.text(), st.text(), st.binary())).map(tuple),
)


class Lives:
    """One run's tool, and its ledger in one life after the other."""

    def __init__(self, folder: Path) -> None:
        self.store = SQLiteStore(folder / "ledger.sqlite")
        self.artifacts = Artifacts(folder / "artifacts.sqlite")
        self.calls: list[int] = []

    def ledger(self, owner: str | None = None) -> Ledger:
        """The ledger of another life; `owner` is dead where one is given."""
        return Ledger(
            key="run",
            store=self.store,
            recorder=self.artifacts.of("x"),
            owner=owner,
            alive=lambda name: name != "dead",
        )

    def tool(self, *, side_effects: bool = False) -> Tool:
        """A tool that counts how often it really runs. It fails for a number below zero."""

        def note(n: int) -> str:
            """Note a number."""
            self.calls.append(n)
            if n < 0:
                raise ToolError("not below zero")
            return f"noted {n}"

        return as_tool(note, side_effects=side_effects)

    async def call(self, tool: Tool, n: int = 1, call_id: str = "act.1.0") -> ToolResult:
        """The call, as a life of the run makes it."""
        return await Toolbox([tool]).call(
            tool.name,
            json.dumps({"n": n}),
            ledger=self.ledger(),
            call_id=call_id,
            scope=Scope(),
            memory={},
            approved=True,
        )


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A run's lives; its books balance at the end."""
    made = Lives(tmp_path)
    yield made
    check_books(made.ledger())
    made.store.close()
    made.artifacts.close()


@given(RESULTS)
def test_a_result_comes_back_from_its_record_as_it_was(result: ToolResult) -> None:
    assert read(json.loads(json.dumps(written(result)))) == result


@pytest.mark.parametrize("side_effects", [False, True])
@pytest.mark.parametrize("n", [1, -1], ids=["worked", "failed"])
async def test_a_call_that_was_kept_is_not_made_or_charged_again(
    lives: Lives, n: int, side_effects: bool
) -> None:
    tool = lives.tool(side_effects=side_effects)
    first = await lives.call(tool, n)
    assert await lives.call(tool, n) == replace(first, recalled=True)
    assert lives.calls == [n]
    assert lives.ledger().spent().tool_calls == 1


async def test_an_id_that_comes_to_have_other_arguments_is_another_call(lives: Lives) -> None:
    tool = lives.tool()
    await lives.call(tool, 1)
    assert (await lives.call(tool, 2)).text == "noted 2"
    assert lives.calls == [1, 2]


async def begun_in_a_life_that_was_killed(lives: Lives) -> None:
    bound = Bound(tool_calls=1, called="note")
    await lives.ledger(owner="dead").reserve("act.1.0#1", bound)


async def test_a_call_with_side_effects_that_a_killed_life_had_begun_is_not_made_again(
    lives: Lives,
) -> None:
    await begun_in_a_life_that_was_killed(lives)
    result = await lives.call(lives.tool(side_effects=True))
    assert result.failed
    assert "whether it was carried out is not known" in result.text
    assert lives.calls == []
    assert lives.ledger().spent().tool_calls == 1


async def test_another_call_that_a_killed_life_had_begun_is_made_again_and_charged_for(
    lives: Lives,
) -> None:
    await begun_in_a_life_that_was_killed(lives)
    assert (await lives.call(lives.tool())).text == "noted 1"
    assert lives.calls == [1]
    assert lives.ledger().spent().tool_calls == 2
