"""The attacks on a fetcher that lives inside a network: none reaches anything in it."""

import asyncio
from collections.abc import Sequence

import pytest
from fetching import MakeFetcher
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loopback import Net
from site_server import Answer, Site, redirect

from mull.tools import ToolError
from mull.tools.web import Fetcher, FetchError

HOSTS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.8.9.10",
    "localhost",
    "169.254.169.254",
    "10.0.0.7",
    "100.64.1.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1%25lo]",
    "0.0.0.0",
    "[::]",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "0",
    "127。0。0。1",
    "１２７.0.0.1",
    "inside.example",
    "mixed.example",
]
NAMES = {
    "localhost": ["127.0.0.1"],
    "inside.example": ["127.0.0.1"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
}


@pytest.mark.parametrize("port", ["", "secret"])
@pytest.mark.parametrize("host", HOSTS)
async def test_an_address_inside_the_network_is_refused_before_any_connection(
    host: str, port: str, fetcher: MakeFetcher, net: Net, secret: Site
) -> None:
    where = f":{secret.port}" if port else ""
    with pytest.raises(FetchError):
        await fetcher(NAMES).get(f"http://{host}{where}/")
    assert net.connects == []
    assert secret.requests == []


@pytest.mark.parametrize("port", ["", "secret"])
@pytest.mark.parametrize("host", HOSTS)
async def test_a_redirect_to_an_address_inside_the_network_is_refused(
    host: str, port: str, fetcher: MakeFetcher, net: Net, site: Site, secret: Site
) -> None:
    where = f":{secret.port}" if port else ""
    site.answers["/"] = redirect(f"http://{host}{where}/")
    with pytest.raises(FetchError):
        await fetcher(NAMES).get(f"http://site.example:{site.port}/")
    assert net.connects == [("127.0.0.1", site.port)]
    assert secret.requests == []


@pytest.mark.parametrize("host", [host for host in HOSTS if not host.endswith(".example")])
async def test_the_fetcher_as_it_comes_refuses_them_with_the_machines_own_resolver(
    host: str, net: Net, secret: Site
) -> None:
    with pytest.raises(FetchError):
        await Fetcher().get(f"http://{host}:{secret.port}/")
    with pytest.raises(FetchError):
        await Fetcher().get(f"http://{host}/")
    assert net.connects == []


async def test_a_name_that_changes_its_address_after_the_check_is_not_asked_again(
    net: Net, secret: Site
) -> None:
    asked: list[str] = []

    async def rebinding(host: str) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    with pytest.raises(FetchError, match="did not accept"):
        await Fetcher(resolve=rebinding).get("http://rebind.example/")
    assert asked == ["rebind.example"]
    assert net.connects == [("93.184.216.34", 80)]


async def test_a_name_that_changes_its_address_between_redirects_is_checked_again(
    site: Site, net: Net
) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])

    async def rebinding(host: str) -> Sequence[str]:
        return next(answers)

    site.answers["/"] = redirect("/again")
    only_site = Fetcher(allow=lambda address, port: str(address) == "127.0.0.1", resolve=rebinding)
    with pytest.raises(FetchError, match="not on the public web"):
        await only_site.get(f"http://rebind.example:{site.port}/")
    assert net.connects == [("127.0.0.1", site.port)]


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://site.example/",
        "gopher://site.example/",
        "javascript:alert(1)",
        "data:text/html,hello",
        "http://user:word@site.example/",
        "http://user@site.example/",
        "http://site.example:22/",
        "http://site.example:0/",
        "http://site.example:99999/",
        "http://[::1",
        "http://-/",
        "http://a..b/",
        f"http://{'a' * 64}.example/",
        f"http://site.example/{'a' * 3000}",
    ],
)
async def test_what_is_no_plain_web_address_is_refused_directly_and_by_redirect(
    target: str, fetcher: MakeFetcher, net: Net, site: Site
) -> None:
    with pytest.raises(FetchError):
        await fetcher().get(target)
    assert net.connects == []
    site.answers["/"] = redirect(target)
    with pytest.raises(FetchError):
        await fetcher().get(f"http://site.example:{site.port}/")
    assert [request.target for request in site.requests] == ["/"]


@pytest.mark.parametrize(
    "target",
    [
        "",
        "site.example",
        "http://",
        "http:///etc/passwd",
        "//site.example/",
        "http://site.example/\r\nX-More: 1",
        "http://\udc80.example/",
        "http://site.example/\udc80",
    ],
)
async def test_what_is_no_whole_address_is_refused(
    target: str, fetcher: MakeFetcher, net: Net
) -> None:
    with pytest.raises(FetchError):
        await fetcher().get(target)
    assert net.connects == []


async def test_a_body_of_26_megabytes_is_refused_by_its_length(
    fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/"] = Answer(b"x" * 26_000_000)
    with pytest.raises(FetchError, match="larger than 5 MB"):
        await fetcher().get(f"http://site.example:{site.port}/")


async def test_a_body_of_26_megabytes_that_hides_its_length_is_refused(
    fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/"] = Answer(b"x" * 26_000_000, declare_length=False)
    with pytest.raises(FetchError, match="larger than 5 MB"):
        await fetcher().get(f"http://site.example:{site.port}/")


async def test_a_redirect_from_one_site_to_the_public_web_resolves_and_checks_that_name_too(
    fetcher: MakeFetcher, net: Net, site: Site
) -> None:
    site.answers["/"] = redirect("https://elsewhere.example/")
    names = {"elsewhere.example": ["93.184.216.34"]}
    with pytest.raises(FetchError, match="did not accept"):
        await fetcher(names).get(f"http://site.example:{site.port}/")
    assert net.connects == [("127.0.0.1", site.port), ("93.184.216.34", 443)]


async def test_no_proxy_of_the_environment_is_used(
    fetcher: MakeFetcher, site: Site, secret: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{secret.port}")
    site.answers["/"] = Answer(b"hello")
    await fetcher().get(f"http://site.example:{site.port}/")
    assert (len(site.requests), secret.requests) == (1, [])


async def test_a_refusal_does_not_tell_where_a_name_leads(fetcher: MakeFetcher) -> None:
    with pytest.raises(FetchError) as refused:
        await fetcher({"inside.example": ["10.9.8.7"]}).get("http://inside.example/")
    assert "10.9.8.7" not in str(refused.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(max_size=60) | st.from_regex(r"https?://[^ ]{1,40}", fullmatch=True))
@example("http://\u2488\u2488.\u2488/")
@example("http://[v1.a]/")
@example("http://xn--/")
def test_any_text_as_an_address_is_refused_in_words_and_connects_to_nothing(
    net: Net, address: str
) -> None:
    with pytest.raises(ToolError):
        asyncio.run(Fetcher().get(address))
    assert net.connects == []
