"""How long a unit waits before its next attempt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdsup.plan.model import Restart
from pdsup.units.backoff import delay

PLAIN = Restart(first_delay_s=1.0, delay_s=2.0, factor=2.0, limit_s=60.0, jitter=0.1)


def test_the_first_failure_has_a_delay_of_its_own() -> None:
    assert delay(Restart(first_delay_s=15.0, delay_s=2.0), 1, 0.0) == 15.0


def test_an_immediate_first_retry_is_immediate_whatever_chance_says() -> None:
    assert delay(Restart(first_delay_s=0.0), 1, 0.99) == 0.0


def test_later_failures_double_the_delay_up_to_the_limit() -> None:
    assert [delay(PLAIN, n, 0.0) for n in range(2, 9)] == [2, 4, 8, 16, 32, 60, 60]


def test_jitter_makes_a_delay_longer_and_never_shorter() -> None:
    assert delay(PLAIN, 2, 0.5) == pytest.approx(2.1)
    assert delay(Restart(jitter=0.0), 2, 0.99) == delay(Restart(jitter=0.0), 2, 0.0)


@pytest.mark.parametrize("factor", [2.0, 1e6, 1e300])
def test_no_number_of_failures_is_too_many_to_compute(factor: float) -> None:
    assert delay(Restart(delay_s=2.0, factor=factor, limit_s=60.0), 10**9, 0.0) == 60.0


def test_no_delay_stays_no_delay_however_often_it_is_doubled() -> None:
    assert delay(Restart(delay_s=0.0), 10**9, 0.5) == 0.0


@settings(deadline=None)
@given(
    failures=st.integers(1, 10**6),
    chance=st.floats(0, 1, exclude_max=True),
    first=st.floats(0, 1e6),
    second=st.floats(0, 1e6),
    factor=st.floats(1, 1e9),
    limit=st.floats(0, 1e6),
    jitter=st.floats(0, 10),
)
def test_a_delay_is_never_negative_and_never_beyond_its_limit_and_jitter(
    failures: int,
    chance: float,
    first: float,
    second: float,
    factor: float,
    limit: float,
    jitter: float,
) -> None:
    restart = Restart(
        first_delay_s=first, delay_s=second, factor=factor, limit_s=limit, jitter=jitter
    )
    assert 0 <= delay(restart, failures, chance) <= max(first, limit) * (1 + jitter)
    assert failures == 1 or delay(restart, failures, 0.0) <= delay(restart, failures + 1, 0.0)
