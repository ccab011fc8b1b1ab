"""ArtifactSerde: whatever LangGraph hands over comes back; what is large is kept once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Interrupt, Send

from mull.agents.artifacts import Artifacts
from mull.agents.serde import SMALL, ArtifactSerde
from mull.errors import StorageFailed

NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(["mull:list", "mull:one"])
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)
LONG = st.text("ab", min_size=SMALL, max_size=4 * SMALL)
VALUES = PLAIN | LONG | st.lists(LONG | PLAIN, max_size=6) | st.dictionaries(NAMES, LONG)


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[Artifacts]:
    """An empty file of artifacts."""
    made = Artifacts(tmp_path / "artifacts.sqlite")
    yield made
    made.close()


@pytest.fixture(scope="module")
def serde(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArtifactSerde]:
    """A serialiser over a thread that other tests have used."""
    made = Artifacts(tmp_path_factory.mktemp("serde") / "artifacts.sqlite")
    yield ArtifactSerde(made.of("x"))
    made.close()


def checkpoint(**values: Any) -> dict[str, Any]:
    return {"v": 4, "id": "1", "channel_values": values, "channel_versions": {}}


@given(VALUES)
def test_a_write_comes_back_as_it_was(serde: ArtifactSerde, value: Any) -> None:
    assert serde.loads_typed(serde.dumps_typed(value)) == value


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_checkpoint_comes_back_as_it_was(serde: ArtifactSerde, values: dict[str, Any]) -> None:
    whole = checkpoint(**values)
    assert serde.loads_typed(serde.dumps_typed(whole)) == whole


@given(VALUES)
def test_what_langgraph_puts_around_a_value_comes_back_as_well(
    serde: ArtifactSerde, value: Any
) -> None:
    for around in (Send("chain", {"question": value}), [Interrupt(value, id="1")]):
        assert serde.loads_typed(serde.dumps_typed(around)) == around


def test_a_list_inside_a_value_costs_its_new_items_as_well(artifacts: Artifacts) -> None:
    serde, history = ArtifactSerde(artifacts.of("x")), list[str]()
    for number in range(100):
        history.append(f"{number:>300}")
        serde.dumps_typed(checkpoint(__start__={"question": "How many?", "history": history}))
    assert artifacts.of("x").size() <= 100 * 310


def test_what_is_small_stays_in_the_checkpoint(artifacts: Artifacts) -> None:
    serde = ArtifactSerde(artifacts.of("x"))
    whole = checkpoint(question="How many?", turns=["one", "two"], turn=3)
    assert serde.dumps_typed(whole) == JsonPlusSerializer().dumps_typed(whole)
    assert artifacts.of("x").size() == 0


def test_a_list_that_grows_costs_its_new_items_and_a_name_in_each_checkpoint(
    artifacts: Artifacts,
) -> None:
    serde, messages, sizes = ArtifactSerde(artifacts.of("x")), list[str](), list[int]()
    for number in range(100):
        messages.append(f"{number:>300}")
        sizes.append(len(serde.dumps_typed(checkpoint(messages=messages))[1]))
    assert artifacts.of("x").size() <= 100 * 310
    assert max(sizes) == sizes[0] < SMALL


def test_a_large_value_that_stays_the_same_is_kept_once(artifacts: Artifacts) -> None:
    serde, text = ArtifactSerde(artifacts.of("x")), "so " * 1000
    for _ in range(10):
        serde.dumps_typed(checkpoint(text=text))
    assert artifacts.of("x").size() < 3100


def test_another_life_of_the_thread_reads_what_was_written(artifacts: Artifacts) -> None:
    whole = checkpoint(messages=["so " * 200, "then"], text="so " * 500)
    data = ArtifactSerde(artifacts.of("x")).dumps_typed(whole)
    assert ArtifactSerde(artifacts.of("x")).loads_typed(data) == whole


@pytest.mark.parametrize("value", [["so " * 200, "then"], "so " * 500])
def test_a_checkpoint_that_names_what_is_gone_is_told(artifacts: Artifacts, value: Any) -> None:
    serde = ArtifactSerde(artifacts.of("x"))
    data = serde.dumps_typed(checkpoint(value=value))
    artifacts.of("x").delete()
    with pytest.raises(StorageFailed, match="a piece of 'x' is missing"):
        serde.loads_typed(data)
