"""The documentation says what is so."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from mull.graphs import DEPTHS, EFFORTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_drawing_of_a_depth_is_its_graph(depth: str) -> None:
    drawn = DEPTHS[depth].graph.get_graph().draw_mermaid(with_styles=False).strip()
    assert f"## {depth}\n" in (text := (ROOT / "docs" / "graphs.md").read_text())
    assert f"```mermaid\n{drawn}\n```" in text


def test_langgraph_json_lists_every_depth_as_a_compiled_graph() -> None:
    listed = json.loads((ROOT / "langgraph.json").read_text())["graphs"]
    assert set(listed) == set(DEPTHS)
    for name, place in listed.items():
        module, _, attribute = place.partition(":")
        assert getattr(import_module(module), attribute) is DEPTHS[name].graph


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_table_of_efforts_is_what_they_are(effort: str) -> None:
    meant = EFFORTS[effort]
    lines = (ROOT / "docs" / "depths.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith(f"| `{effort}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith(f"{meant.budget.tokens:,} tokens")
    assert cells[2:] == [f"`{meant.deepest}`", str(meant.samples), str(meant.expansions)]
