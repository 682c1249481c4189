"""Calling what may hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from pdsup.units.process.nvml import BoundedCall

LONG_S = 30.0  # of which nothing here takes the hundredth part
SOON_S = 0.02


class Driver:
    """Answers with how often it was asked, as long as it does not hang."""

    def __init__(self) -> None:
        self.asked = 0
        self.moves = threading.Event()
        self.moves.set()

    def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        self.moves.wait(LONG_S)
        return number


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    made = Driver()
    yield made
    made.moves.set()


async def answer_of(caller: BoundedCall[int], kept_s: float = 0.0) -> int:
    """The first that comes, also of one that is not waited for any more."""
    async with asyncio.timeout(LONG_S):
        while True:
            if (found := await caller.ask(LONG_S, kept_s=kept_s)) is not None:
                return found
            await asyncio.sleep(0)


async def test_each_question_is_asked_anew_unless_answers_serve_for_a_while(driver: Driver) -> None:
    caller = BoundedCall(driver)
    assert [await caller.ask(LONG_S) for _ in range(3)] == [1, 2, 3]
    assert [await caller.ask(LONG_S, kept_s=LONG_S) for _ in range(3)] == [3, 3, 3]


async def test_many_who_ask_at_once_share_one_answer(driver: Driver) -> None:
    caller = BoundedCall(driver)
    assert await asyncio.gather(*(caller.ask(LONG_S) for _ in range(5))) == [1] * 5


async def test_what_hangs_has_one_thread_and_is_waited_for_once(driver: Driver) -> None:
    driver.moves.clear()
    caller = BoundedCall(driver)
    assert await caller.ask(SOON_S) is None
    async with asyncio.timeout(LONG_S / 3):
        assert await caller.ask(LONG_S) is None
    assert driver.asked == 1
    driver.moves.set()
    assert await answer_of(caller, kept_s=LONG_S) == 1


async def test_what_has_hung_is_waited_for_again_once_it_moves(driver: Driver) -> None:
    driver.moves.clear()
    caller = BoundedCall(driver)
    assert await caller.ask(SOON_S) is None
    driver.moves.set()
    assert await answer_of(caller) == 2


async def test_a_question_that_is_cut_off_leaves_the_next_one_its_answer(driver: Driver) -> None:
    driver.moves.clear()
    caller = BoundedCall(driver)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON_S):
            await caller.ask(LONG_S)
    asking = asyncio.create_task(caller.ask(LONG_S))
    await asyncio.sleep(0)
    driver.moves.set()
    assert await asking == 1


async def test_what_fails_has_no_answer_and_is_asked_again() -> None:
    answers = iter([AttributeError("another version"), 5])

    def fail() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    caller = BoundedCall(fail)
    assert [await caller.ask(LONG_S) for _ in range(2)] == [None, 5]


def test_an_answer_to_a_loop_that_has_ended_harms_nobody(recwarn: pytest.WarningsRecorder) -> None:
    moves, threads = threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        moves.wait(LONG_S)

    assert asyncio.run(BoundedCall(hang).ask(SOON_S)) is None
    moves.set()
    threads[0].join(LONG_S)
    assert not threads[0].is_alive()
    assert not recwarn.list
