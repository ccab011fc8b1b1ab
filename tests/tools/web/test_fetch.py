"""Fetcher: what it brings back, and what bounds it."""

import gzip
import ssl
import zlib
from collections.abc import Sequence

import pytest
import trustme
from fetching import MakeFetcher, fetcher_of
from loopback import Net
from site_server import Answer, Site, redirect

from mull.tools.web import BadStatus, Fetcher, FetchError


async def test_a_page_comes_with_its_address_type_and_charset(
    fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/a"] = Answer(b"hello", media_type='Text/HTML; Charset="KOI8-R"')
    page = await fetcher().get(f"http://site.example:{site.port}/a?b=c#d")
    assert page.address == f"http://site.example:{site.port}/a?b=c"
    assert (page.media_type, page.charset, page.body) == ("text/html", "koi8-r", b"hello")


async def test_the_server_is_told_the_name_and_not_the_address(
    fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/"] = Answer(b"hello")
    await fetcher().get(f"http://site.example:{site.port}/")
    assert site.requests[0].headers["host"] == f"site.example:{site.port}"


async def test_a_chain_of_five_redirects_is_followed_and_a_sixth_is_not(
    fetcher: MakeFetcher, site: Site
) -> None:
    for number, status in enumerate((301, 302, 303, 307, 308, 302)):
        site.answers[f"/{number}"] = redirect(f"/{number + 1}", status)
    site.answers["/6"] = Answer(b"the end")
    page = await fetcher().get(f"http://site.example:{site.port}/1")
    assert page.address == f"http://site.example:{site.port}/6"
    with pytest.raises(FetchError, match="more than 5"):
        await fetcher().get(f"http://site.example:{site.port}/0")


async def test_redirects_in_a_circle_end(fetcher: MakeFetcher, site: Site) -> None:
    site.answers["/"] = redirect("/")
    with pytest.raises(FetchError, match="more than 5"):
        await fetcher().get(f"http://site.example:{site.port}/")
    assert len(site.requests) == 6


@pytest.mark.parametrize("status", [204, 401, 403, 404, 429, 500, 503])
async def test_any_status_but_200_is_an_error_that_names_it(
    status: int, fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/"] = Answer(status=status)
    with pytest.raises(BadStatus, match=str(status)) as refused:
        await fetcher().get(f"http://site.example:{site.port}/")
    assert refused.value.status == status


@pytest.mark.parametrize("media_type", ["image/png", "video/mp4", "application/zip", "x/\u00e9"])
async def test_a_type_that_holds_no_text_is_refused_before_its_body_is_read(
    media_type: str, fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/"] = Answer(b"x" * 4096, media_type=media_type, pause=600)
    with pytest.raises(FetchError, match="only text"):
        await fetcher().get(f"http://site.example:{site.port}/")


async def test_a_slow_body_ends_at_the_limit_of_the_whole_page(
    fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/"] = Answer(b"x" * 100_000, pause=0.05)
    with pytest.raises(FetchError, match="took longer"):
        await fetcher(seconds=0.3).get(f"http://site.example:{site.port}/")


async def test_slow_redirects_share_one_limit(fetcher: MakeFetcher, site: Site) -> None:
    site.answers["/"] = Answer(b"x", status=302, headers={"Location": "/slow"}, pause=0.1)
    site.answers["/slow"] = Answer(b"x" * 100_000, pause=0.1)
    with pytest.raises(FetchError, match="took longer"):
        await fetcher(seconds=0.3).get(f"http://site.example:{site.port}/")


async def test_a_packed_page_is_unpacked(fetcher: MakeFetcher, site: Site) -> None:
    packed = gzip.compress(b"hello " * 1000)
    site.answers["/"] = Answer(packed, headers={"Content-Encoding": "gzip"})
    page = await fetcher().get(f"http://site.example:{site.port}/")
    assert page.body == b"hello " * 1000


async def test_a_gzip_bomb_is_not_unpacked(fetcher: MakeFetcher, site: Site) -> None:
    bomb = gzip.compress(bytes(500_000_000), 1)
    assert len(bomb) < 5_000_000
    site.answers["/"] = Answer(bomb, headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchError, match="larger than 5 MB"):
        await fetcher().get(f"http://site.example:{site.port}/")


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (b"plain", "gzip", "not the gzip"),
        (gzip.compress(b"hello" * 100)[:-9], "gzip", "broke off"),
        (zlib.compress(b"hello"), "br", "packed as 'br'"),
        (gzip.compress(gzip.compress(b"hello")), "gzip, gzip", "packed as"),
    ],
)
async def test_a_body_that_is_packed_wrongly_is_an_error(
    body: bytes, encoding: str, why: str, fetcher: MakeFetcher, site: Site
) -> None:
    site.answers["/"] = Answer(body, headers={"Content-Encoding": encoding})
    with pytest.raises(FetchError, match=why):
        await fetcher().get(f"http://site.example:{site.port}/")


async def test_a_body_that_breaks_off_is_an_error(fetcher: MakeFetcher, site: Site) -> None:
    site.answers["/"] = Answer(b"half", headers={"Content-Length": "4000"}, declare_length=False)
    with pytest.raises(FetchError, match="could not be read"):
        await fetcher().get(f"http://site.example:{site.port}/")


async def test_the_next_address_is_tried_where_one_accepts_no_connection(
    site: Site, net: Net
) -> None:
    async def two(host: str) -> Sequence[str]:
        return ["2606:4700::1111", "127.0.0.1"]

    site.answers["/"] = Answer(b"hello")
    fetcher = Fetcher(allow=lambda address, port: True, resolve=two)
    page = await fetcher.get(f"http://two.example:{site.port}/")
    assert page.body == b"hello"
    assert net.connects == [("2606:4700::1111", site.port), ("127.0.0.1", site.port)]


@pytest.mark.parametrize("name", ["nowhere.example", "nobody.invalid"])
async def test_a_name_without_an_address_is_an_error_in_words(
    name: str, fetcher: MakeFetcher
) -> None:
    with pytest.raises(FetchError, match=f"there is no host {name}"):
        await fetcher().get(f"https://{name}/")


def certificates(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for `name`, and a client's that trusts who signed it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize(("certified", "works"), [("site.example", True), ("evil.example", False)])
async def test_a_certificate_must_be_that_of_the_name_though_the_address_is_what_is_connected_to(
    certified: str, works: bool
) -> None:
    server, client = certificates(certified)
    named: list[str | None] = []
    server.sni_callback = lambda sock, name, context: named.append(name)
    async with Site(server) as secure:
        secure.answers["/"] = Answer(b"hello")
        secured = fetcher_of(secure.port, tls=client)
        if works:
            page = await secured.get(f"https://site.example:{secure.port}/")
            assert page.body == b"hello"
        else:
            with pytest.raises(FetchError, match="certificate"):
                await secured.get(f"https://site.example:{secure.port}/")
    assert named == ["site.example"]
