"""Search by a SearxNG instance, as its API answers."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from site_server import Answer, Site

from mull.tools import ToolError
from mull.tools.web import Hit, NoAnswer, SearxngProvider


def reply(**fields: Any) -> Answer:
    """A page of results, as `format=json` gives it."""
    body = {"query": "q", "results": [], "unresponsive_engines": [], **fields}
    return Answer(json.dumps(body).encode(), media_type="application/json")


def provider(site: Site) -> SearxngProvider:
    return SearxngProvider(f"http://127.0.0.1:{site.port}/")


async def test_results_become_hits_in_their_order(site: Site) -> None:
    rows = [
        {"title": f"T{n}", "url": f"https://example.com/{n}", "content": f"S{n}"} for n in range(4)
    ]
    site.answers["/search"] = reply(results=rows)
    assert await provider(site).search("a & b=\u9b5a", 3) == [
        Hit(f"T{n}", f"https://example.com/{n}", f"S{n}") for n in range(3)
    ]
    asked = parse_qs(urlsplit(site.requests[0].target).query)
    assert asked == {"q": ["a & b=\u9b5a"], "format": ["json"]}


async def test_nothing_found_is_empty_where_every_engine_answered(site: Site) -> None:
    site.answers["/search"] = reply()
    assert await provider(site).search("q", 5) == []


async def test_nothing_found_is_unknown_where_an_engine_did_not_answer(site: Site) -> None:
    site.answers["/search"] = reply(unresponsive_engines=[["google", "CAPTCHA"], ["bing", "x"]])
    with pytest.raises(NoAnswer, match="2 search engines did not answer"):
        await provider(site).search("q", 5)


async def test_403_says_that_json_must_be_switched_on(site: Site) -> None:
    site.answers["/search"] = Answer(b"Forbidden", status=403)
    with pytest.raises(ToolError, match=r"add json under search\.formats"):
        await provider(site).search("q", 5)


async def test_429_is_unknown(site: Site) -> None:
    site.answers["/search"] = Answer(b"Too many", status=429)
    with pytest.raises(NoAnswer, match="refuses so many searches"):
        await provider(site).search("q", 5)


@pytest.mark.parametrize(
    "body",
    [
        *[b"<html>", b"", b"[]", b"{}", b'{"results": 5}', b'{"results": null}'],
        *[b"[" * 100_000, b"\xff\xfe\xff"],
    ],
)
async def test_what_is_no_page_of_results_is_an_error_in_words(body: bytes, site: Site) -> None:
    site.answers["/search"] = Answer(body)
    with pytest.raises(ToolError, match="sent no search results"):
        await provider(site).search("q", 5)


async def test_rows_that_make_no_sense_are_left_out(site: Site) -> None:
    good = {"url": "https://example.com/", "title": ["odd"], "content": None}
    site.answers["/search"] = reply(results=[None, 7, [], {}, {"url": 5}, {"url": "x:"}, good])
    assert await provider(site).search("q", 5) == [Hit("['odd']", "https://example.com/", "")]


async def test_an_instance_that_is_not_there_is_an_error_in_words() -> None:
    with pytest.raises(ToolError, match="did not accept a connection"):
        await SearxngProvider("http://127.0.0.1:9").search("q", 5)
