"""From bytes of unknown make to text."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"(?:charset|encoding)\s{0,9}=\s{0,9}[\"']?\s{0,9}([A-Za-z0-9_.:-]{1,40})")
_DECLARED_WITHIN = 2048
"""Bytes from the beginning, where a page may name its charset."""
# Those that browsers know. Python has more, which read bytes as code or take very long (punycode).
_KNOWN = frozenset(
    codecs.lookup(name).name
    for names in (
        ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "koi8-r", "koi8-u"),
        (f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        (f"cp{number}" for number in (866, 874, 932, 949, *range(1250, 1259))),
        ("mac-roman", "mac-cyrillic", "gbk", "gb2312", "gb18030", "big5"),
        ("euc-jp", "iso2022-jp", "shift-jis", "euc-kr"),
    )
    for name in names
)
_AS_BROWSERS_DO = {"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254"}


def decode(body: bytes, charset: str = "", *, markup: bool = False) -> str:
    """`body` as text; what cannot be read is U+FFFD.

    A byte order mark wins, then `charset` (the server's word), then what a page in `markup` says of
    itself, then UTF-8 where that fits, and windows-1252 where it does not.
    """
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(codec, "replace")
    declared = _DECLARED.search(body[:_DECLARED_WITHIN]) if markup else None
    own = declared.group(1).decode("ascii") if declared else ""
    for name in (charset, own):
        if (known := _known(name)) is not None:
            return body.decode(known, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def _known(name: str) -> str | None:
    if len(name) > 40:
        return None
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    codec = _AS_BROWSERS_DO.get(codec, codec)
    return codec if codec in _KNOWN else None
