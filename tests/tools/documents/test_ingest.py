"""Ingest: what is read, what is left out, and what the index holds afterwards."""

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.errors import WrongUsage
from mull.tools.documents import Documents, Ingested

Write = Callable[[str, str | bytes], Path]

LONG = "\n\n".join(f"Paragraph {number} is about {number * 7919}." for number in range(200))


def reasons(done: Ingested) -> dict[str, str]:
    return {skipped.name: skipped.reason for skipped in done.skipped}


async def citations(documents: Documents, query: str) -> list[str]:
    return [hit.citation for hit in await documents.search(query)]


# Citations


async def test_a_citation_names_the_lines_of_the_passage(
    write: Write, documents: Documents
) -> None:
    path = write("guide/long.md", LONG)
    await documents.ingest()
    (hit, *_) = await documents.search(f"{150 * 7919}")
    lines = path.read_text().split("\n")
    assert hit.name == "guide/long.md"
    assert hit.text == "\n".join(lines[hit.first - 1 : hit.last])
    assert f"about {150 * 7919}." in hit.text
    assert hit.citation == f"guide/long.md:{hit.first}-{hit.last}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_lines_count_the_same_with_every_line_end(
    end: str, write: Write, documents: Documents
) -> None:
    write("a.txt", end.join(["one\x0c\x85\u2028one", "two", "", "quince"]))
    await documents.ingest()
    assert await citations(documents, "quince") == ["a.txt:1-4"]
    (hit,) = await documents.search("quince")
    assert hit.text == "one\x0c\x85\u2028one\ntwo\n\nquince"


async def test_a_html_page_is_cited_by_the_lines_of_its_source(
    write: Write, documents: Documents
) -> None:
    write("a.html", "<html>\n<script>quince</script>\n<p>The\n<b>medlar</b> tree\n")
    await documents.ingest()
    (hit,) = await documents.search("medlar")
    assert (hit.citation, hit.text) == ("a.html:3-4", "The\nmedlar tree")
    assert await citations(documents, "quince") == []


async def test_source_code_is_found_by_the_words_of_its_names(
    write: Write, documents: Documents
) -> None:
    write("a.py", "import os\n\n\ndef read_the_medlar():\n    return os.name\n")
    await documents.ingest()
    assert await citations(documents, "medlar") == ["a.py:1-5"]


async def test_a_file_is_found_by_its_name(write: Write, documents: Documents) -> None:
    write("medlar.md", "Something else.")
    write("other.md", "Something else.")
    await documents.ingest()
    assert await citations(documents, "medlar") == ["medlar.md:1-1"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Der Bär läuft über die Straße", "über"),
        ("Le café est près d'ici", "cafe"),
        ("Население Москвы", "москвы"),
        ("北京的人口是两千万", "人口"),
        ("東京タワーの高さは三百メートル", "タワーの高さ"),
        ("ประชากรของกรุงเทพ", "กรุงเทพ"),
        ("𝒜 emoji 🎉 and 𠮷野家", "𠮷野家"),
        ("the runners are running", "run"),
    ],
)
async def test_text_in_any_script_is_found(
    text: str, query: str, write: Write, documents: Documents
) -> None:
    write("a.txt", text)
    write("b.txt", "An unrelated line.")
    await documents.ingest()
    assert await citations(documents, query) == ["a.txt:1-1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
async def test_text_in_common_encodings_is_read(
    encoding: str, write: Write, documents: Documents
) -> None:
    write("a.txt", "first\nder Bär läuft\n".encode(encoding))
    await documents.ingest()
    assert (await documents.search("bär"))[0].text == "first\nder Bär läuft"


# What has changed


async def test_only_files_that_changed_are_read_again(write: Write, documents: Documents) -> None:
    for name in "abc":
        write(f"{name}.md", f"Text {name}.")
    assert (await documents.ingest()).read == 3
    assert (await documents.ingest()).read == 0
    write("b.md", "Another text with a medlar.")
    assert (await documents.ingest()).read == 1
    assert await citations(documents, "medlar") == ["b.md:1-1"]
    assert await citations(documents, "text a") != []


async def test_the_words_of_a_changed_file_are_gone(write: Write, documents: Documents) -> None:
    write("a.md", "A quince.")
    await documents.ingest()
    write("a.md", "A medlar.")
    await documents.ingest()
    assert await citations(documents, "quince") == []


async def test_a_file_that_was_touched_only_is_not_read_anew(
    write: Write, documents: Documents
) -> None:
    path = write("a.md", "A quince.")
    await documents.ingest()
    os.utime(path, ns=(10**18, 10**18))
    assert (await documents.ingest()).read == 0
    assert await citations(documents, "quince") == ["a.md:1-1"]


async def test_a_change_of_the_same_size_in_the_same_tick_is_seen(
    folder: Path, documents: Documents
) -> None:
    path = folder / "a.md"
    path.write_text("A quince.")
    status = path.stat()
    await documents.ingest()
    path.write_text("A medlar.")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    await documents.ingest()
    assert await citations(documents, "medlar") == ["a.md:1-1"]


async def test_a_deleted_file_leaves_the_index(write: Write, documents: Documents) -> None:
    path = write("a.md", "A quince.")
    write("b.md", "A medlar.")
    await documents.ingest()
    path.unlink()
    done = await documents.ingest()
    assert (done.removed, done.files, done.passages) == (1, 1, 1)
    assert await citations(documents, "quince") == []


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["quince", "medlar", "漢字", ""])),
        min_size=2,
        max_size=4,
    )
)
def test_after_any_changes_the_index_is_as_if_made_anew(steps: list[dict[str, str]]) -> None:
    async def check(top: Path) -> None:
        folder = top / "docs"
        folder.mkdir()
        documents = Documents(folder, index=top / "index")
        for step in steps:
            for path in folder.iterdir():
                path.unlink()
            for name, text in step.items():
                (folder / name).write_text(text)
            await documents.ingest()
        for word in ("quince", "medlar", "漢字"):
            wanted = {f"{name}:1-1" for name, text in steps[-1].items() if text == word}
            assert set(await citations(documents, word)) == wanted

    with tempfile.TemporaryDirectory() as top:
        asyncio.run(check(Path(top)))


async def test_an_ingest_that_is_cancelled_keeps_what_it_read_and_goes_on_later(
    write: Write, documents: Documents
) -> None:
    for number in range(1200):
        write(f"{number}.txt", f"Number {number}.")
    reached = asyncio.Event()
    loop, gate = asyncio.get_running_loop(), threading.Event()

    def progress(done: int, total: int) -> None:
        if done == 700:
            loop.call_soon_threadsafe(reached.set)
            gate.wait(10)

    task = asyncio.create_task(documents.ingest(progress))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    done = await documents.ingest()
    assert done.files == 1200
    assert 0 < done.read < 1200


async def test_progress_counts_every_file_once(write: Write, documents: Documents) -> None:
    for number in range(5):
        write(f"{number}.txt", "text")
    told: list[tuple[int, int]] = []
    await documents.ingest(lambda done, total: told.append((done, total)))
    assert told == [(done, 5) for done in range(1, 6)]


# What is left out


async def test_what_is_left_out_is_reported(write: Write, folder: Path, tmp_path: Path) -> None:
    write("good.md", "A quince.")
    write("large.txt", "x" * 2000)
    write("binary.dat", b"quince\0\1\2")
    write("noise.dat", bytes(range(1, 256)))
    write(".hidden/secret.md", "A quince.")
    write(".env", "quince=1")
    os.mkfifo(folder / "pipe")
    (tmp_path / "outside.md").write_text("A quince.")
    (folder / "out.md").symlink_to(tmp_path / "outside.md")
    (folder / "outer").symlink_to(tmp_path)
    (folder / "nothing.md").symlink_to(folder / "gone.md")
    documents = Documents(folder, index=tmp_path / "index", largest=1000)
    done = await documents.ingest()
    assert reasons(done) == {
        "large.txt": "2000 bytes, more than the limit of 1000",
        "binary.dat": "not text",
        "noise.dat": "not text",
        ".hidden": "hidden",
        ".env": "hidden",
        "pipe": "not a file",
        "out.md": "a link out of the folder",
        "outer": "a link out of the folder",
        "nothing.md": "a link to nothing",
    }
    assert await citations(documents, "quince") == ["good.md:1-1"]
    assert reasons(await documents.ingest()) == reasons(done)


async def test_an_unreadable_file_is_reported_and_the_rest_is_indexed(
    write: Write, folder: Path, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.md", "A quince.")
    write("b.md", "A medlar.")
    await documents.ingest()
    write("a.md", "A new quince.")
    opened = os.open

    def refuse(name: str, *more: int) -> int:  # The tests may run as root, who may read all.
        if name == str(path):
            raise PermissionError(13, "Permission denied", name)
        return opened(name, *more)

    monkeypatch.setattr(os, "open", refuse)
    done = await documents.ingest()
    assert reasons(done) == {"a.md": "it cannot be read: Permission denied"}
    assert await citations(documents, "medlar") == ["b.md:1-1"]
    assert await citations(documents, "quince") == []


async def test_a_loop_of_links_ends(write: Write, folder: Path, documents: Documents) -> None:
    write(".data/real.md", "A quince.")
    (folder / ".data" / "again").symlink_to(folder / ".data")
    (folder / ".data" / "top").symlink_to(folder)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "data").symlink_to(folder / ".data")
    await documents.ingest()
    assert await citations(documents, "quince") == ["data/real.md:1-1"]


async def test_more_left_out_than_is_named_is_counted(folder: Path, documents: Documents) -> None:
    for number in range(1010):
        (folder / f".{number}").touch()
    done = await documents.ingest()
    assert (len(done.skipped), done.more_skipped) == (1000, 10)


@pytest.mark.parametrize(
    "name",
    [
        "new\nline.md",
        "\x1b[31mred.md",
        "right\u202eleft.md",
        "'; DROP TABLE files;--.md",
        '"".md',
        "%s.md",
    ],
)
async def test_a_hostile_name_is_cited_on_one_plain_line(
    name: str, write: Write, documents: Documents
) -> None:
    write(name, "A quince.")
    await documents.ingest()
    (citation,) = await citations(documents, "quince")
    assert citation.isprintable()
    (write("x", "").parent / name).unlink()
    await documents.ingest()
    assert await citations(documents, "quince") == []


async def test_a_name_that_is_not_unicode_is_indexed(folder: Path, documents: Documents) -> None:
    (folder / os.fsdecode(b"\xff\xfe.md")).write_text("A quince.")
    await documents.ingest()
    assert await citations(documents, "quince") == ["\ufffd\ufffd.md:1-1"]
    assert (await documents.ingest()).removed == 0


# Folders


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="there are no documents at"):
        Documents(tmp_path / "nowhere")


async def test_a_folder_that_has_gone_keeps_its_index(write: Write, documents: Documents) -> None:
    path = write("a.md", "A quince.")
    await documents.ingest()
    path.parent.rename(path.parent.with_name("moved"))
    with pytest.raises(WrongUsage, match="cannot be read"):
        await documents.ingest()
    assert await citations(documents, "quince") == ["a.md:1-1"]


async def test_several_paths_are_searched_as_one_and_no_file_twice(
    write: Write, folder: Path, tmp_path: Path
) -> None:
    one, other = write("one/a.md", "A quince."), write("other/b.md", "A quince.")
    documents = Documents([one.parent, other, folder / "one/a.md"], index=tmp_path / "index")
    assert (await documents.ingest()).files == 2
    assert set(await citations(documents, "quince")) == {"one/a.md:1-1", "other/b.md:1-1"}


async def test_a_single_file_is_cited_by_its_name(write: Write, tmp_path: Path) -> None:
    documents = Documents(write("a.md", "A quince."), index=tmp_path / "index")
    await documents.ingest()
    assert await citations(documents, "quince") == ["a.md:1-1"]
