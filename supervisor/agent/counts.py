"""What is counted on a node, as values that its metrics tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Counted = tuple[str, str]  # a unit and a public state


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the agent began: how often a unit came to a state, and the seconds it spent in it."""

    entered: Mapping[Counted, int]
    seconds: Mapping[Counted, float]


@dataclass(frozen=True, slots=True)
class Reloads:
    """How often nginx took another configuration while it ran, how often it could not have one that
    was wanted, and over how many routers it balances.
    """

    taken: int = 0
    failed: int = 0
    upstreams: int = 0
