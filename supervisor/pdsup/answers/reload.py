"""What an agent answers to a reload of its plan, or of its own code. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pdsup.plan.difference import Change, Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloading:
    """What a reload of the plan changes; ``plan`` is the SHA-256 of the new one.

    ``unchanged``: how many units keep running; ``settings``: changed fields of the plan itself.
    """

    plan: str
    units: tuple[Change, ...]
    unchanged: int
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacing:
    """The incarnation of the agent that hands over to a new one."""

    replaced: str


def reloading(digest: str, found: Difference) -> Reloading:
    """The answer about a reload of the plan with this digest."""
    return Reloading(
        plan=digest, units=found.changes, unchanged=found.unchanged, settings=found.plan
    )
