"""Events on their way to one hook."""

import asyncio
import contextlib

import pytest

from pdsup.journal.hooks import MOST_WAITING, Delivery
from tests.bed.log import quiet

LIMIT = 60.0


class Far:
    """Somebody who is told, one event at a time, when the test lets it."""

    def __init__(self):
        self.got, self.problems, self.at_once = [], [], 0
        self.open = asyncio.Event()
        log, self._logged = quiet()
        self.courier = Delivery("far", self.take, log)

    @property
    def logged(self):
        """What was told in the log, in order."""
        lines = [dict(line) for line in self._logged]
        return [
            (line.pop("event"), {key: line[key] for key in line if key != "log_level"})
            for line in lines
        ]

    async def take(self, event):
        self.at_once += 1
        assert self.at_once == 1
        await self.open.wait()
        self.at_once -= 1
        self.got.append(event)
        return self.problems.pop(0) if self.problems else None


@pytest.fixture
async def far():
    made = Far()
    task = asyncio.create_task(made.courier.run())
    made.task = task
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def finished(far):
    async with asyncio.timeout(LIMIT):
        await far.courier.finish()


async def test_events_are_brought_one_after_the_other_and_in_order(far):
    far.open.set()
    for number in range(50):
        far.courier.take(b"%d" % number)
    await finished(far)
    assert far.got == [b"%d" % number for number in range(50)]
    assert far.logged == []


async def test_of_ten_thousand_at_once_those_that_have_no_place_are_counted_once(far):
    far.courier.take(b"first")
    await asyncio.sleep(0)
    for number in range(10_000):
        far.courier.take(b"%d" % number)
    far.open.set()
    await finished(far)
    assert far.got == [b"first", *(b"%d" % number for number in range(MOST_WAITING))]
    assert far.logged == [
        ("hook is too slow and misses events", {"hook": "far"}),
        ("hook missed events", {"hook": "far", "missed": 10_000 - MOST_WAITING}),
    ]


async def test_a_hook_that_fails_again_and_again_is_told_of_once_for_each_reason(far):
    far.open.set()
    far.problems = ["HTTP 500", "HTTP 500", "HTTP 404", "HTTP 500", None, "HTTP 500"]
    for _ in range(6):
        far.courier.take(b"x")
    await finished(far)
    assert [(event, facts.get("cause", facts.get("failed"))) for event, facts in far.logged] == [
        ("hook failed", "HTTP 500"), ("hook failed", "HTTP 404"), ("hook failed", "HTTP 500"),
        ("hook works again", 4), ("hook failed", "HTTP 500"),
    ]  # fmt: skip


async def test_what_was_not_brought_at_the_end_is_told_as_missed(far):
    for _ in range(3):
        far.courier.take(b"x")
    await asyncio.sleep(0)
    far.task.cancel()
    await asyncio.wait({far.task})
    assert far.logged == [("hook missed events", {"hook": "far", "missed": 2})]
