"""TERM and INT: which are the same one, and which hurry."""

import os
import signal

import pytest

from pdsup import clock
from pdsup.agent import signals as signals_module
from pdsup.agent.signals import REPEATED_S, Signals

pytestmark = pytest.mark.processes


@pytest.fixture
async def heard(monkeypatch, until):
    """What an agent does on signals, in order; ``send`` sends one at a time."""
    done, now = [], [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    signals = Signals(
        lambda number, sender: done.append(number.name),
        lambda: done.append("hurry"),
        lambda number, sender: done.append("reload"),
        lambda: None,
    )
    before = {name: signal.getsignal(name) for name in signals_module.TERMINATION}
    held = {number: signal.getsignal(number) for number in signals_module._HELD}
    signals.listen()

    async def send(number, at):
        now[0], count = 100.0 + at, len(done)
        os.kill(os.getpid(), number)
        await until(lambda: len(done) > count)
        return done[count:]

    yield send
    signals.close()
    for number, handler in {**before, **held}.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals_module._HELD)


async def test_a_term_that_is_repeated_at_once_does_not_hurry(heard):
    assert await heard(signal.SIGTERM, 0.0) == ["SIGTERM"]
    assert await heard(signal.SIGTERM, 0.01) == ["SIGTERM"]
    assert await heard(signal.SIGINT, REPEATED_S - 0.01) == ["SIGINT"]


async def test_a_later_term_hurries_and_so_does_each_after_it(heard):
    await heard(signal.SIGTERM, 0.0)
    assert await heard(signal.SIGTERM, REPEATED_S) == ["hurry", "SIGTERM"]
    assert await heard(signal.SIGINT, REPEATED_S + 0.01) == ["hurry", "SIGINT"]
