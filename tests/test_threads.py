"""What may block for ever runs beside the loop, and holds up nothing but who waits for it."""

import asyncio
import threading

import pytest

from pdsup.threads import Turns, apart

LIMIT_S = 60.0


@pytest.fixture
def hanging():
    """Something that hangs until the end of the test."""
    end = threading.Event()
    yield lambda: end.wait(LIMIT_S)
    end.set()


def threads():
    return [one for one in threading.enumerate() if one.name == "apart"]


@pytest.mark.parametrize("run", [apart, lambda *words: Turns().run(*words)], ids=["apart", "turns"])
def test_results_and_errors_come_back(run):
    assert asyncio.run(run(lambda: 7, LIMIT_S)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run(lambda: 1 / 0, LIMIT_S))


@pytest.mark.parametrize("run", [apart, lambda *words: Turns().run(*words)], ids=["apart", "turns"])
def test_what_hangs_is_given_up_and_does_not_keep_the_loop_from_ending(run, hanging):
    with pytest.raises(TimeoutError):
        asyncio.run(run(hanging, 0.01))
    assert all(one.daemon for one in threads())


def test_whoever_repeats_what_hangs_leaves_one_thread_behind(hanging):
    async def repeat():
        turns = Turns()
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await turns.run(begin, 0.01)

    def begin():
        begun.append(None)
        hanging()

    begun = []
    asyncio.run(repeat())
    assert len(begun) == 1


def test_turns_go_on_when_what_hung_is_done():
    async def repeat():
        turns, end = Turns(), threading.Event()
        with pytest.raises(TimeoutError):
            await turns.run(lambda: end.wait(LIMIT_S), 0.01)
        end.set()
        return await asyncio.gather(*(turns.run(lambda n=n: n, LIMIT_S) for n in range(5)))

    assert asyncio.run(repeat()) == list(range(5))


def test_one_that_is_cancelled_leaves_its_turn_to_the_next():
    async def cancelled():
        turns, end = Turns(), threading.Event()
        first = asyncio.create_task(turns.run(lambda: end.wait(LIMIT_S), LIMIT_S))
        second = asyncio.create_task(turns.run(lambda: 2, LIMIT_S))
        await asyncio.sleep(0)
        first.cancel()
        end.set()
        return await second

    assert asyncio.run(cancelled()) == 2
