"""A wave of chains: the one that settles it ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from mull.graphs import Sample
from mull.graphs.race import Race
from mull.graphs.samples import sample_of


def sample(name: str) -> Sample:
    return sample_of(name, "How many?", "Answer: 7")


def at_two(samples: Sequence[Sample]) -> str:
    """Enough are two samples."""
    return "two agree" if len(samples) >= 2 else ""


async def forever() -> None:
    await asyncio.Event().wait()


async def test_work_that_ends_gives_its_result() -> None:
    race = Race([], at_two)
    assert await race.run(asyncio.sleep(0, "done"), None) == "done"
    assert not race.decided


async def test_the_sample_that_settles_it_ends_all_that_run() -> None:
    race = Race([], at_two)
    running = [asyncio.create_task(race.run(forever(), None)) for _ in range(3)]
    race.finish(sample("a"))
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in running)
    race.finish(sample("b"))
    assert await asyncio.gather(*running) == [None] * 3
    assert race.decided == "two agree"


async def test_samples_of_earlier_waves_count() -> None:
    race = Race([sample("a")], at_two)
    race.finish(sample("b"))
    assert race.decided


async def test_a_sample_counts_once_however_often_it_is_told() -> None:
    race = Race([], at_two)
    race.finish(sample("a"))
    race.finish(sample("a"))
    assert not race.decided


async def test_the_first_reason_stays() -> None:
    race = Race([], lambda samples: f"{len(samples)} samples")
    race.finish(sample("a"))
    race.finish(sample("b"))
    assert race.decided == "1 samples"


async def test_when_it_is_settled_no_more_work_is_begun() -> None:
    begun = []

    async def work() -> str:
        begun.append(True)
        return "done"

    race = Race([sample("a")], at_two)
    race.finish(sample("b"))
    assert await race.run(work(), None) is None
    assert not begun


async def test_work_has_ended_when_it_is_given_up() -> None:
    steps = []

    async def work() -> str:
        try:
            await forever()
        finally:
            await asyncio.sleep(0.01)
            steps.append("closed")
        return "done"

    assert await Race([], at_two).run(work(), 0.01) is None
    assert steps == ["closed"]


async def test_a_result_that_comes_while_the_work_is_ended_is_kept() -> None:
    async def work() -> str:
        with suppress(asyncio.CancelledError):
            await forever()
        return "done"

    assert await Race([], at_two).run(work(), 0.01) == "done"


async def test_what_the_work_raises_comes_out() -> None:
    async def work() -> None:
        raise LookupError("odd")

    with pytest.raises(LookupError, match="odd"):
        await Race([], at_two).run(work(), None)


@pytest.mark.parametrize("decided", [False, True])
async def test_cancelling_from_outside_ends_the_work_and_is_not_swallowed(decided: bool) -> None:
    closing, ended = asyncio.Event(), []

    async def work() -> None:
        try:
            await forever()
        finally:
            closing.set()
            await asyncio.sleep(0.02)
            ended.append(True)

    race = Race([sample("a")], at_two)
    running: asyncio.Task[Any] = asyncio.create_task(race.run(work(), None))
    await asyncio.sleep(0)
    if decided:
        race.finish(sample("b"))
        await closing.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    if not decided:
        assert ended
    await asyncio.sleep(0.03)
    assert ended


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    race = Race([sample("a")], at_two)
    running = [asyncio.create_task(race.run(forever(), None)) for _ in range(3)]
    await asyncio.sleep(0)
    race.finish(sample("b"))
    await asyncio.gather(*running)
    assert asyncio.all_tasks() == before
