"""The ten states of a unit that users see, and the predicates that code asks of them.

``states.public`` maps the inner states to them. The words are part of reports, the status JSON and
journals, so they never change. Each predicate lists the states for which it is true. Pure.
"""

from __future__ import annotations

from enum import StrEnum


class PublicState(StrEnum):
    """The state of a unit; each member equals its word, in JSON and in tables."""

    STOPPED = "STOPPED"  # stopped, or never started
    WAITING = "WAITING"  # about to start, but its gate is closed or the node is not clean
    STARTING = "STARTING"  # spawned, not yet ready
    RUNNING = "RUNNING"  # its readiness probe passes
    UNHEALTHY = "UNHEALTHY"  # was ready in this run, is not now
    STOPPING = "STOPPING"  # being stopped, not yet proven gone
    BACKOFF = "BACKOFF"  # failed; the next attempt comes after a delay
    EXITED = "EXITED"  # ended by itself, as its restart policy allows
    FATAL = "FATAL"  # given up: it failed too often, or would fail again
    UNKNOWN = "UNKNOWN"  # its node cannot be reached; no agent says this of its own units

    @property
    def has_process(self) -> bool:
        """Its processes are not yet proven gone: STARTING RUNNING UNHEALTHY STOPPING."""
        return self is PublicState.STARTING or self.is_serving or self is PublicState.STOPPING

    @property
    def is_serving(self) -> bool:
        """It was ready in this run and is not being stopped, so it may serve: RUNNING UNHEALTHY."""
        return self in (PublicState.RUNNING, PublicState.UNHEALTHY)

    @property
    def is_settled(self) -> bool:
        """It has no process and gets none until it is started by hand: STOPPED EXITED FATAL."""
        return self.is_at_rest or self is PublicState.FATAL

    @property
    def is_at_rest(self) -> bool:
        """It is down as it should be, stopped or done: STOPPED EXITED."""
        return self in (PublicState.STOPPED, PublicState.EXITED)

    @property
    def ended_by_itself(self) -> bool:
        """It is down for good, without having been stopped: EXITED FATAL."""
        return self in (PublicState.EXITED, PublicState.FATAL)

    @property
    def follows_a_failure(self) -> bool:
        """It is down because its last run failed or could not be started: BACKOFF FATAL."""
        return self in (PublicState.BACKOFF, PublicState.FATAL)

    @property
    def lost_its_run(self) -> bool:
        """Its run has ended or is being stopped: STOPPED STOPPING BACKOFF EXITED FATAL.

        Not WAITING, which says that it is to start, not that a run has ended.
        """
        down = self.is_settled or self is PublicState.BACKOFF
        return down or self is PublicState.STOPPING

    def ended_well(self, code: int | None) -> bool:
        """Whether a unit in this state, whose last run had this exit code, has completed: EXITED
        with 0, which is as good as ready.
        """
        return self is PublicState.EXITED and code == 0

    @property
    def needs_attention(self) -> bool:
        """Something is wrong with it or its node: UNHEALTHY BACKOFF FATAL UNKNOWN."""
        return self.follows_a_failure or self in (PublicState.UNHEALTHY, PublicState.UNKNOWN)


# The nine states that an agent reports of its own units.
REPORTED = tuple(word for word in PublicState if word is not PublicState.UNKNOWN)
