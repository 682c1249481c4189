"""The ten words that a user sees for the state of a unit, and what may be concluded from each.

``states.public`` maps the inner states to them. The words stand in reports, in the status JSON and
in journals, so their text never changes. Code asks a word by the predicates here: each says exactly
which words it holds for. Pure.
"""

from __future__ import annotations

from enum import StrEnum


class PublicState(StrEnum):
    """A value is its word: in JSON, in tables and in comparisons with text."""

    STOPPED = "STOPPED"  # wanted down
    WAITING = "WAITING"  # wanted up, but a gate is closed or the node is not clean
    STARTING = "STARTING"  # spawned, not yet ready
    RUNNING = "RUNNING"  # its readiness probe passes
    UNHEALTHY = "UNHEALTHY"  # was ready in this run, is not now
    STOPPING = "STOPPING"  # asked to end, not yet proven gone
    BACKOFF = "BACKOFF"  # failed; the next attempt comes after a delay
    EXITED = "EXITED"  # ended by itself, as its restart policy allows
    FATAL = "FATAL"  # given up: it failed too often, or would fail again
    UNKNOWN = "UNKNOWN"  # its node can't be asked; no agent says this of its own units

    @property
    def has_process(self) -> bool:
        """A process of it lives or is not yet proven gone: STARTING RUNNING UNHEALTHY STOPPING."""
        return self is PublicState.STARTING or self.is_serving or self is PublicState.STOPPING

    @property
    def is_serving(self) -> bool:
        """It was ready in this run and is not asked to end, so it may serve: RUNNING UNHEALTHY."""
        return self in (PublicState.RUNNING, PublicState.UNHEALTHY)

    @property
    def is_settled(self) -> bool:
        """It has no process and gets none until somebody starts it: STOPPED EXITED FATAL."""
        return self.is_at_rest or self is PublicState.FATAL

    @property
    def is_at_rest(self) -> bool:
        """It is down as it should be, stopped or done: STOPPED EXITED."""
        return self in (PublicState.STOPPED, PublicState.EXITED)

    @property
    def ended_by_itself(self) -> bool:
        """It is down for good and nobody asked for that: EXITED FATAL."""
        return self in (PublicState.EXITED, PublicState.FATAL)

    @property
    def follows_a_failure(self) -> bool:
        """It is down because its last run or its start failed: BACKOFF FATAL."""
        return self in (PublicState.BACKOFF, PublicState.FATAL)

    @property
    def lost_its_run(self) -> bool:
        """Its run has ended or is being ended: STOPPED STOPPING BACKOFF EXITED FATAL.

        Not WAITING, which says that it wants to start, not that a run of it ended.
        """
        down = self.is_settled or self is PublicState.BACKOFF
        return down or self is PublicState.STOPPING

    @property
    def has_come_up(self) -> bool:
        """It is ready, or has ended by itself where it may, as a benchmark does: RUNNING EXITED."""
        return self in (PublicState.RUNNING, PublicState.EXITED)

    def ended_well(self, code: int | None) -> bool:
        """Whether a unit in this state, whose last run had this exit code, has done its work:
        EXITED with 0, which is as good as ready.
        """
        return self is PublicState.EXITED and code == 0

    @property
    def needs_attention(self) -> bool:
        """Something is wrong with it or its node: UNHEALTHY BACKOFF FATAL UNKNOWN."""
        return self.follows_a_failure or self in (PublicState.UNHEALTHY, PublicState.UNKNOWN)


# The nine that an agent reports of its own units.
REPORTED = tuple(word for word in PublicState if word is not PublicState.UNKNOWN)
