"""Whether an agent knows that it did not run for a while."""

from types import SimpleNamespace

import pytest

from pdsup import clock
from pdsup.agent import pulse as pulse_module
from pdsup.agent.pulse import EXCUSED_S, LATE_S, PERIOD_S, Pulse


@pytest.fixture
def beating(monkeypatch):
    """A pulse whose clock and sleep the test moves; ``tick`` is the end of a sleep."""
    it = SimpleNamespace(now=100.0, ahead=1e9, ticks=0, set_by=[])
    monkeypatch.setattr(clock, "monotonic", lambda: it.now)
    monkeypatch.setattr(clock, "wall", lambda: it.now + it.ahead)

    def tell():
        it.ticks += 1

    it.pulse = Pulse(tell)
    turns = it.pulse.run(it.set_by.append)

    async def sleep(seconds):
        assert seconds == PERIOD_S
        await Turn()

    class Turn:
        def __await__(self):
            yield

    monkeypatch.setattr(pulse_module.asyncio, "sleep", sleep)
    it.tick = lambda: turns.send(None)
    it.tick()
    yield it
    turns.close()


def test_a_loop_that_moves_is_excused_for_nothing(beating):
    for _ in range(5):
        beating.now += PERIOD_S + LATE_S / 2
        assert not beating.pulse.stood_still()
        beating.tick()
        assert not beating.pulse.stood_still()
    assert beating.ticks == 6


def test_a_loop_that_stood_still_knows_it_before_its_tick_comes_and_for_a_moment_after(beating):
    beating.now += 75
    assert beating.pulse.stood_still()
    beating.tick()
    assert beating.pulse.stood_still()
    beating.now += EXCUSED_S / 2
    assert beating.pulse.stood_still()
    beating.now += EXCUSED_S / 2
    assert not beating.pulse.stood_still()


def test_a_step_of_the_wall_clock_is_told_once_and_drift_is_none(beating):
    for drift in (0.2, -0.4, 0.9):
        beating.now, beating.ahead = beating.now + PERIOD_S, 1e9 + drift
        beating.tick()
    assert beating.set_by == []
    for step in (-7200.0, 3600.0):
        beating.ahead = 1e9 + step
        beating.tick()
        beating.tick()
    assert beating.set_by == pytest.approx([-7200.0, 10800.0])
