"""TERM and INT: which are the same one, and which hurry."""

import signal
import threading

import pytest

from pdsup import clock
from pdsup.agent import signals as signals_module
from pdsup.agent.signals import REPEATED_S, Signals
from pdsup.units.process.guardian import STRAY
from pdsup.units.process.spawn import signal_name

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
        lambda name, sender: done.append(f"no {name}"),
    )
    before = {name: signal.getsignal(name) for name in signals_module.TERMINATION}
    held = {number: signal.getsignal(number) for number in signals_module._HELD}
    signals.listen()

    async def send(number, at):
        now[0], count = 100.0 + at, len(done)
        # The threads of who runs these tests do not block it.
        signal.pthread_kill(threading.get_ident(), number)
        await until(lambda: len(done) > count)
        return done[count:]

    yield send
    signals.close()
    for number, handler in {**before, **held}.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals_module._HELD | STRAY)


@pytest.mark.parametrize("number", sorted(STRAY), ids=signal_name)
async def test_a_signal_that_means_nothing_is_only_told(heard, number):
    assert await heard(number, 0.0) == [f"no {signal_name(number)}"]


def test_every_signal_that_would_end_an_agent_is_read():
    ending = [
        "HUP",
        "INT",
        "QUIT",
        "USR1",
        "USR2",
        "ALRM",
        "TERM",
        "STKFLT",
        "XCPU",
        "VTALRM",
        "PROF",
        "IO",
        "PWR",
    ]
    named = {signal.Signals[f"SIG{name}"] for name in ending}
    realtime = set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
    assert named | realtime == signals_module._HELD | signals_module.TERMINATION | STRAY


async def test_a_term_that_is_repeated_at_once_does_not_hurry(heard):
    assert await heard(signal.SIGTERM, 0.0) == ["SIGTERM"]
    assert await heard(signal.SIGTERM, 0.01) == ["SIGTERM"]
    assert await heard(signal.SIGINT, REPEATED_S - 0.01) == ["SIGINT"]


async def test_a_later_term_hurries_and_so_does_each_after_it(heard):
    await heard(signal.SIGTERM, 0.0)
    assert await heard(signal.SIGTERM, REPEATED_S) == ["hurry", "SIGTERM"]
    assert await heard(signal.SIGINT, REPEATED_S + 0.01) == ["hurry", "SIGINT"]
