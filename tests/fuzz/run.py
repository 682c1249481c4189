"""Feeds inputs to targets and counts them. A finding names its target and holds its input."""

import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fuzz.mutate import inputs
from tests.fuzz.targets import Target, checked

# Calls of functions for one input of at most 64 KiB; the largest seen is a tenth of that.
MOST_CALLS = 5_000_000
# Calls are counted for one input of so many, as counting them takes time.
COUNTED = 16
# A loop in C, such as a regular expression, calls nothing: an alarm ends it.
HANG_S = 60
# How much the process may grow in all after the first inputs, in KiB.
GROWTH = 96 << 10


@dataclass(frozen=True)
class Finding:
    """An input that broke something."""

    target: str
    given: bytes
    what: str


def fuzz(name: str, target: Target, count: int, number: int = 0) -> list[Finding]:
    """Feeds ``count`` inputs to a target; returns what they broke, each kind once."""
    found: dict[str, Finding] = {}
    before = 0
    for index, given in zip(range(count), inputs(target.seeds, number), strict=False):
        try:
            with _bounded(count_calls=index % COUNTED == 0):
                checked(target, given)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {str(error)[:300]} at {where.filename}:{where.lineno}"
            kind = f"{type(error).__name__} {where.filename} {where.lineno}"
            found.setdefault(kind, Finding(name, given, what))
        if index == count // 10:
            before = _used()
    if (growth := _used() - before) > GROWTH:
        found["growth"] = Finding(name, b"", f"the process grew by {growth >> 10} MiB")
    return list(found.values())


def _used() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Endless(Exception):
    """An input that takes too much work."""


@contextmanager
def _bounded(*, count_calls: bool) -> Iterator[None]:
    left = MOST_CALLS

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            sys.setprofile(None)
            raise Endless(f"more than {MOST_CALLS} calls")

    def hangs(number: int, frame: object) -> None:
        raise Endless(f"no end within {HANG_S} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANG_S)
    try:
        if count_calls:
            sys.setprofile(called)
        yield
    finally:
        sys.setprofile(None)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
