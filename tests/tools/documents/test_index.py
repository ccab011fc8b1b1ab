"""The index: its file, and the processes that share it."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mull.tools.documents import DamagedIndex, Documents

Write = Callable[[str, str | bytes], Path]

LONG = "\n\n".join(f"Paragraph {number} is about {number * 7919}." for number in range(200))


async def citations(documents: Documents, query: str) -> list[str]:
    return [hit.citation for hit in await documents.search(query)]


async def test_an_index_in_the_folder_does_not_index_itself(write: Write, folder: Path) -> None:
    write("a.md", "A quince.")
    documents = Documents(folder, index=folder / "index.sqlite")
    await documents.ingest()
    done = await documents.ingest()
    assert (done.files, done.skipped) == (1, ())


async def test_each_folder_has_an_index_of_its_own_in_the_users_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    one, same, other = Documents(folder), Documents(str(folder)), Documents(tmp_path)
    assert one.index == same.index != other.index
    await one.ingest()
    assert one.index.is_file()


async def test_a_file_that_is_no_index_is_never_written_to(folder: Path, tmp_path: Path) -> None:
    text, base = tmp_path / "thesis.txt", tmp_path / "other.db"
    text.write_text("Years of work. " * 1000)
    with sqlite3.connect(base) as db:
        db.execute("CREATE TABLE files (x)")
    db.close()
    for path in (text, base):
        before = path.read_bytes()
        with pytest.raises(DamagedIndex, match="delete it, or give another"):
            await Documents(folder, index=path).ingest()
        assert path.read_bytes() == before


async def test_an_index_of_other_documents_is_refused(
    write: Write, folder: Path, documents: Documents
) -> None:
    write("a.md", "A quince.")
    await documents.ingest()
    with pytest.raises(DamagedIndex, match="it is that of"):
        await Documents(folder.parent, index=documents.index).ingest()


async def test_an_index_of_another_version_is_built_anew(
    write: Write, documents: Documents
) -> None:
    write("a.md", "A quince.")
    await documents.ingest()
    with sqlite3.connect(documents.index) as db:
        db.execute("PRAGMA user_version=999")
    db.close()
    assert (await documents.ingest()).read == 1
    assert await citations(documents, "quince") == ["a.md:1-1"]


INGEST = """
import asyncio, sys
from pathlib import Path
from mull.tools.documents import Documents
done = asyncio.run(Documents(sys.argv[1], index=Path(sys.argv[2])).ingest())
print(done.read, done.files, done.passages)
"""


async def test_processes_that_ingest_at_once_read_each_file_once(
    write: Write, folder: Path, documents: Documents
) -> None:
    for number in range(300):
        write(f"{number}.txt", LONG if number % 50 == 0 else f"Number {number}.")
    command = [sys.executable, "-c", INGEST, str(folder), str(documents.index)]
    workers = [
        await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(3)
    ]
    outputs = [(await worker.communicate())[0] for worker in workers]
    counts = [[int(number) for number in output.split()] for output in outputs]
    assert sorted(read for read, *_ in counts) == [0, 0, 300]
    assert len({tuple(rest) for _, *rest in counts}) == 1
    assert counts[0][1] == 300


async def test_a_search_works_while_another_ingests(write: Write, documents: Documents) -> None:
    write("a.md", "A quince.")
    await documents.ingest()
    for number in range(600):
        write(f"{number}.txt", LONG)
    ingest = asyncio.create_task(documents.ingest())
    searched = 0
    while not ingest.done():
        assert "a.md:1-1" in await citations(documents, "quince")
        searched += 1
    assert (await ingest).files == 601
    assert searched > 1
