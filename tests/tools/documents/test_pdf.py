"""PDFs: pages are cited, and no PDF harms more than itself."""

import subprocess
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fpdf import FPDF

from mull.tools.documents import Documents
from mull.tools.documents.pdf import PdfReader

Write = Callable[[str, str | bytes], Path]


def pdf(pages: Sequence[str], *, owner: str = "", user: str | None = None) -> bytes:
    """A PDF with a page for each text."""
    document = FPDF()
    document.set_font("Helvetica", size=11)
    for text in pages:
        document.add_page()
        if text:
            document.multi_cell(0, text=text)
    if owner:
        document.set_encryption(owner, user)
    return bytes(document.output())


def pdf_of(*objects: bytes) -> bytes:
    """A PDF of these objects, of which the first is the root."""
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return out + head + trailer % (len(objects) + 1, len(out))


def pdf_of_streams(*streams: tuple[bytes, bytes]) -> bytes:
    """A PDF with a page for each filter and encoded content."""
    count = len(streams)
    font = b"<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents %d 0 R /Resources %b >>"
    kids = b" ".join(b"%d 0 R" % (3 + index) for index in range(count))
    return pdf_of(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, count),
        *(page % (3 + count + index, font) for index in range(count)),
        *(
            b"<< /Length %d /Filter [%b] >>\nstream\n%b\nendstream" % (len(data), filters, data)
            for filters, data in streams
        ),
    )


def read(data: bytes, **settings: float) -> tuple[list[tuple[int, str]], list[str]]:
    """Pages and problems."""
    problems: list[str] = []
    with PdfReader(**settings) as reader:
        return list(reader.read(data, 10**6, problems)), problems


async def test_a_passage_of_a_200_page_pdf_is_cited_by_its_page(
    write: Write, documents: Documents
) -> None:
    write("book.pdf", pdf([f"Chapter {n} tells of plant{n}.\n" * 20 for n in range(1, 201)]))
    done = await documents.ingest()
    assert (done.files, done.skipped) == (1, ())
    for number in (1, 77, 200):
        (hit, *_) = await documents.search(f"plant{number}")
        assert hit.citation == f"book.pdf, page {number}"
        assert f"plant{number}." in hit.text


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\nnothing of the kind",
        pdf(["A quince."])[:400],
        b"",
        pdf_of(b"<< /Type /Catalog /Pages 1 0 R >>"),
        pdf_of(b"<< /Type /Catalog /Pages 9 0 R >>"),
    ],
)
async def test_a_broken_pdf_is_reported_and_the_rest_is_indexed(
    data: bytes, write: Write, documents: Documents
) -> None:
    write("a-broken.pdf", data)
    write("b-sound.pdf", pdf(["A medlar."]))
    done = await documents.ingest()
    assert [skipped.name for skipped in done.skipped] == ["a-broken.pdf"]
    assert done.skipped[0].reason
    assert [hit.citation for hit in await documents.search("medlar")] == ["b-sound.pdf, page 1"]
    # It is not read again until it changes, and still reported.
    again = await documents.ingest()
    assert (again.read, again.skipped) == (0, done.skipped)


async def test_a_pdf_without_text_is_reported(write: Write, documents: Documents) -> None:
    write("scan.pdf", pdf(["", ""]))
    (skipped,) = (await documents.ingest()).skipped
    assert skipped.reason == "a PDF without text (scanned pages?)"


def test_a_locked_pdf_is_reported() -> None:
    locked = pdf(["A quince."], owner="a", user="b")
    assert read(locked) == ([], ["it is locked by a password"])


def test_a_pdf_that_only_its_owner_may_change_is_read() -> None:
    pages, problems = read(pdf(["A quince."], owner="a"))
    assert (pages[0][1].strip(), problems) == ("A quince.", [])


def test_a_page_that_cannot_be_read_leaves_the_others() -> None:
    text = b"BT /F 9 Tf (A quince.) Tj ET"
    pages, problems = read(pdf_of_streams((b"/NoSuchFilter", text), (b"", text)))
    assert pages == [(2, "A quince.")]
    assert problems == ["pages that cannot be read: 1"]


def test_a_pdf_that_takes_too_long_is_given_up_and_the_next_is_read() -> None:
    slow = pdf_of_streams((b"/FlateDecode", zlib.compress(b"BT (a) Tj ET\n" * 1_000_000)))
    problems: list[str] = []
    with PdfReader(seconds=1) as reader:
        assert list(reader.read(slow, 10**9, problems)) == []
        assert problems == ["reading it took longer than 1 s"]
        pages = list(reader.read(pdf(["A quince."]), 10**9, problems))
    assert [text.strip() for _, text in pages] == ["A quince."]


def test_a_pdf_that_unpacks_to_far_more_than_its_size_is_given_up() -> None:
    bomb = zlib.compress(zlib.compress(b"0" * (512 * 2**20), 9), 9)
    assert len(bomb) < 10_000
    pages, problems = read(pdf_of_streams((b"/FlateDecode /FlateDecode", bomb)))
    assert (pages, problems) == ([], ["pages that cannot be read: 1"])


def test_more_text_than_is_wanted_is_left_out() -> None:
    problems: list[str] = []
    with PdfReader() as reader:
        pages = list(reader.read(pdf(["x " * 300] * 5), 1300, problems))
    assert len(pages) == 2
    assert problems == ["its text is too long: the pages from 3 on are left out"]


def test_no_process_is_left() -> None:
    with PdfReader() as reader:
        list(reader.read(pdf(["A quince."]), 1000, []))
        process = reader._process
        assert isinstance(process, subprocess.Popen)
        assert process.poll() is None
    assert process.poll() is not None


def test_a_reader_that_is_left_in_the_middle_reads_the_next_file_from_its_beginning() -> None:
    with PdfReader() as reader:
        for _ in reader.read(pdf(["one"] * 20), 10**6, []):
            break
        pages = list(reader.read(pdf(["other"]), 10**6, []))
    assert [(number, text.strip()) for number, text in pages] == [(1, "other")]
