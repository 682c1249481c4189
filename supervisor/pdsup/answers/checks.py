"""What is wrong with units that were asked afresh, for a verdict about a benchmark. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshNo:
    """A unit that was RUNNING and did not answer well when it was asked once more.

    ``since``: when it was last known to be well, in seconds since the epoch.
    """

    unit: str
    node: str
    problem: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshChecks:
    """The units that did not answer well; all others that are RUNNING did."""

    wrong: tuple[FreshNo, ...]
