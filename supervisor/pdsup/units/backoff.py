"""Exponential backoff: how long to wait before a unit is started again. Pure."""

from __future__ import annotations

from pdsup.plan.model import Restart

# Not infinity: 0 s times this is still 0 s, where 0 times infinity is not a number.
LARGEST = 1e308


def delay(restart: Restart, failures: int, chance: float) -> float:
    """Seconds to wait after the ``failures``-th failure in a row (>= 1).

    ``chance`` in [0, 1) is drawn by the caller; jitter keeps units that died together from
    coming back together.
    """
    if failures <= 1:
        base = restart.first_delay_s
    else:
        base = min(restart.limit_s, restart.delay_s * _growth(restart.factor, failures - 2))
    return base * (1 + restart.jitter * chance)


def _growth(factor: float, times: int) -> float:
    try:
        return float(factor) ** times
    except OverflowError:  # after about a thousand doublings
        return LARGEST
