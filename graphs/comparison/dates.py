"""Dates and times of day: 4 July 1776, July 4th, 1776, 1776-07-04; 3:30 p.m. Pure."""

from __future__ import annotations

import re

LONGEST = 40
"""Characters of a date."""


def date_key(text: str) -> str | None:
    """The key of a date with its month by name or in ISO form, or of a time of day; else None.

    3/4/2020 is left alone: which of its numbers is the month depends on who writes it.
    """
    if len(text) > LONGEST:
        return None
    iso = _ISO.fullmatch(text)
    if iso:
        return _date(int(iso[1]), int(iso[2]), int(iso[3]))
    named = _DAY_FIRST.fullmatch(text) or _MONTH_FIRST.fullmatch(text)
    if named:
        month = _MONTHS.find(named["month"][:3].lower()) // 3 + 1
        year = int(named["year"]) if named["year"] else None
        return _date(year, month, int(named["day"]) if named["day"] else None)
    clock = _CLOCK.fullmatch(text)
    if clock and (clock[2] or clock[3]):
        return _time(int(clock[1]), int(clock[2] or 0), (clock[3] or "").lower())
    return None


def _date(year: int | None, month: int, day: int | None) -> str | None:
    if not 1 <= month <= 12 or (day is not None and not 1 <= day <= 31):
        return None
    return f"d:{year or ''}-{month}-{day or ''}" if year or day else None


def _time(hour: int, minute: int, half: str) -> str | None:
    if half and not 1 <= hour <= 12:
        return None
    hour = hour % 12 + 12 * (half == "p") if half else hour
    return f"d:{hour}:{minute}" if hour < 24 and minute < 60 else None


_MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{3,4})"
_DAY_FIRST = re.compile(rf"(?:the\s)?{_DAY}\s(?:of\s)?{_MONTH}(?:,?\s{_YEAR})?", re.I | re.A)
_MONTH_FIRST = re.compile(rf"{_MONTH}(?:\s(?:the\s)?{_DAY}\b)?(?:,?\s{_YEAR})?", re.I | re.A)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.A)
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?\s?(?:([ap])\.?\s?m\.?)?", re.I | re.A)
