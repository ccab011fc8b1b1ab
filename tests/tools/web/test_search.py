"""`search`: what the model is told, and how the branches of a run share it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_engines import Engine, SearchEngines, challenge, empty, hang, results, too_many

from mull.budgets import Ledger
from mull.tools import Scope, ToolError, ToolOutput
from mull.tools.toolbox import Toolbox
from mull.tools.web import DdgsProvider, Hit, NoAnswer, SearchTool

FISH = ("Fish of the sea", "https://fish.example/all?a=1&b=2", "Cod, hake and ling.")


class Canned:
    """A provider with `hits` for every query; counts what it is asked, and how many at once."""

    name = "canned search"

    def __init__(self, hits: Sequence[Hit] = (), error: ToolError | None = None) -> None:
        self.hits, self.error = hits, error
        self.asked: list[tuple[str, int]] = []
        self.times: list[float] = []
        self.running = self.most_running = 0

    async def search(self, query: str, count: int) -> Sequence[Hit]:
        self.asked.append((query, count))
        self.times.append(time.monotonic())
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep(0.01)
        self.running -= 1
        if self.error:
            raise self.error
        return self.hits


HITS = [Hit(f"Title {n}", f"https://example.com/{n}", f"Snippet {n}") for n in range(1, 13)]


async def search(tool: SearchTool, **arguments: Any) -> ToolOutput:
    return await tool.call(arguments, Scope())


async def test_results_come_numbered_with_title_address_and_snippet() -> None:
    output = await search(SearchTool(Canned(HITS)), query="q", count=2)
    assert output.text == (
        "1. Title 1\n   https://example.com/1\n   Snippet 1\n"
        "2. Title 2\n   https://example.com/2\n   Snippet 2"
    )
    assert output.source == "canned search"


@pytest.mark.parametrize(
    ("count", "number"),
    [
        *[(None, 5), (3, 3), ("4", 4), (2.0, 2), (99, 10), (0, 1), (-7, 1), ("many", 5), ([], 5)],
        *[(float("nan"), 5), (float("inf"), 5), ("1e999", 5), (True, 1)],
    ],
)
async def test_a_count_is_between_one_and_ten_however_it_is_written(
    count: object, number: int
) -> None:
    output = await search(SearchTool(Canned(HITS)), query="q", count=count)
    assert output.text.count("https://") == number


@pytest.mark.parametrize("query", [None, "", "  \n", 7, ["fish"], "long " * 100])
async def test_a_query_that_cannot_be_searched_is_an_error_and_is_not_sent(query: object) -> None:
    provider = Canned(HITS)
    with pytest.raises(ToolError):
        await search(SearchTool(provider), query=query)
    assert provider.asked == []


async def test_nothing_found_is_an_answer_where_the_provider_knows_it() -> None:
    output = await search(SearchTool(Canned([])), query="q")
    assert output.text.startswith("Nothing was found")
    assert not output.failed


async def test_a_refusal_tells_the_model_what_to_do_and_never_that_nothing_exists() -> None:
    toolbox = Toolbox([SearchTool(Canned(error=NoAnswer("nothing was found, or refused")))])
    result = await toolbox.call(
        "search", '{"query": "q"}', ledger=Ledger(None), call_id="c", scope=Scope(), memory={}
    )
    assert result.failed
    assert "\n" not in result.text
    assert "This does not mean that nothing exists" in result.text
    assert result.text.endswith("say that the search failed")


async def test_a_search_is_made_once_for_all_branches_that_ask_the_same() -> None:
    provider = Canned(HITS)
    tool = SearchTool(provider, interval=0.0)
    outputs = await asyncio.gather(
        *(tool.call({"query": query}, Scope(query)) for query in ["Sea  fish", "sea fish"] * 10)
    )
    assert len(provider.asked) == 1
    assert len({output.text for output in outputs}) == 1


async def test_a_search_that_failed_is_made_again() -> None:
    provider = Canned(HITS, error=NoAnswer("refused"))
    tool = SearchTool(provider, interval=0.0)
    with pytest.raises(NoAnswer):
        await search(tool, query="q")
    provider.error = None
    assert "Title 1" in (await search(tool, query="q")).text


async def test_searches_go_out_one_at_a_time_and_apart() -> None:
    provider = Canned(HITS)
    tool = SearchTool(provider, interval=0.05)
    await asyncio.gather(*(search(tool, query=f"q{number}") for number in range(4)))
    assert provider.most_running == 1
    gaps = [later - before for before, later in pairwise(provider.times)]
    assert min(gaps) >= 0.05


async def test_a_cancelled_search_lets_the_next_one_go_out() -> None:
    tool = SearchTool(Canned(HITS), interval=0.0)
    first = asyncio.create_task(search(tool, query="a"))
    await asyncio.sleep(0.001)
    first.cancel()
    assert "Title 1" in (await search(tool, query="b")).text


def test_one_tool_serves_several_event_loops() -> None:
    tool = SearchTool(Canned(HITS), interval=0.0)

    async def crowd(word: str) -> None:
        await asyncio.gather(*(search(tool, query=f"{word}{number}") for number in range(5)))

    asyncio.run(crowd("a"))
    asyncio.run(crowd("b"))


@given(st.text(), st.text(), st.text())
def test_a_hit_is_short_lines_and_an_address_that_can_be_read(
    title: str, address: str, snippet: str
) -> None:
    for where in (address, f"https://{address}"):
        hit = Hit.of(title * 50, where, snippet * 50)
        if hit is not None:
            assert hit.address.startswith(("http://", "https://"))
            assert max(map(len, (hit.title, hit.address, hit.snippet))) <= 500
            assert not any(
                set("\n\r\t\u2028") & set(part) for part in (hit.title, hit.address, hit.snippet)
            )


@pytest.mark.parametrize(
    "address", [None, "", "javascript:alert(1)", "ftp://a.example", "//a.example", "https://a b"]
)
def test_a_hit_without_a_web_address_is_none(address: object) -> None:
    assert Hit.of("title", address, "snippet") is None


@pytest.fixture
async def engines(tmp_path: Path) -> AsyncIterator[SearchEngines]:
    """Search engines that the real ddgs client reaches through a proxy on loopback."""
    async with SearchEngines(tmp_path) as running:
        yield running


def real_ddgs(engines: SearchEngines, seconds: float = 15.0) -> DdgsProvider:
    return DdgsProvider(proxy=engines.proxy, verify=engines.authority_file, seconds=seconds)


async def test_ddgs_brings_what_an_engine_found(engines: SearchEngines) -> None:
    engines.engine = results(FISH)
    assert await real_ddgs(engines).search("fish of the sea", 5) == [Hit(*FISH)]


async def test_ddgs_results_are_at_most_as_many_as_asked_for(engines: SearchEngines) -> None:
    engines.engine = results(
        *((f"Fish {n}", f"https://fish.example/{n}", "fish") for n in range(10))
    )
    assert len(await real_ddgs(engines).search("fish", 3)) == 3


@pytest.mark.parametrize("engine", [too_many, challenge, empty])
async def test_ddgs_never_says_that_there_is_nothing(
    engine: Engine, engines: SearchEngines
) -> None:
    engines.engine = engine
    with pytest.raises(NoAnswer, match="nothing was found, or the search engines refuse"):
        await real_ddgs(engines).search("fish", 5)
    assert len(engines.requests) > 3


async def test_ddgs_that_hangs_ends_at_our_deadline(engines: SearchEngines) -> None:
    engines.engine = hang
    async with asyncio.timeout(8.0):  # ddgs itself would take some 20 seconds.
        with pytest.raises(NoAnswer, match=r"longer than 0\.5 s"):
            await real_ddgs(engines, seconds=0.5).search("fish", 5)


async def test_ddgs_without_a_network_says_so() -> None:
    with pytest.raises(NoAnswer, match="cannot be reached"):
        await DdgsProvider(proxy="http://127.0.0.1:9").search("fish", 5)


@pytest.mark.parametrize("query", ['"fish" -cod site:example.com', "\u9b5a \U0001f41f", "a&b=c"])
async def test_ddgs_sends_any_query_as_it_is(query: str, engines: SearchEngines) -> None:
    engines.engine = results(FISH)
    assert await search(SearchTool(real_ddgs(engines)), query=query)
