"""What was found a short while ago."""

import pytest

from mull.tools.web.recent import Recent


def test_a_value_is_there_until_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("mull.tools.web.recent.time.monotonic", lambda: now)
    recent: Recent[str] = Recent(8, 10.0)
    recent.put("a", "x")
    assert recent.get("a") == "x"
    now = 110.5
    assert recent.get("a") is None


def test_the_oldest_goes_where_there_are_too_many() -> None:
    recent: Recent[int] = Recent(3, 10.0)
    for number in (0, 1, 2, 0, 3):
        recent.put(number, number)
    assert [recent.get(number) for number in range(4)] == [0, None, 2, 3]
