"""Checks the range of numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pdsup.errors import Problem


def positive(at: str, *, zero: bool = False, **values: float | None) -> Iterator[Problem]:
    """A problem for each value that is not finite or not above 0 (or 0, with ``zero``).

    None means that the value is left out, which is always right.
    """
    for name, value in values.items():
        if value is None:
            continue
        if not (value >= 0 if zero else value > 0) or not math.isfinite(value):
            least = "at least 0" if zero else "more than 0"
            yield Problem(f"{at}.{name}", f"must be a number {least}, not {value}")
