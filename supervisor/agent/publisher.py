"""Holds this node's report, and wakes those who wait for it to change."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import replace

import supervisor
from supervisor import clock
from supervisor.assignment.compile import Assignment
from supervisor.cluster.report import AgentReport, Report, UnitReport


class Bell:
    """Wakes everybody who waits at the moment it is rung."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nobody waits any more."""
        return self._closed

    def ring(self) -> None:
        """Wakes the waiters of now; later ones wait for the next ring."""
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """Nobody waits any more, now or later: requests of others must not hold up an end."""
        self._closed = True
        self.ring()

    async def wait_until(self, done: Callable[[], bool], within: float) -> bool:
        """Waits until ``done()``, asked at each ring, for at most ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not (self._closed or done()):
                    await self._next.wait()
        return done()


class Publisher:
    """The report of this node: the newest value of every unit, and a number that grows.

    ``bell`` rings for this node's own changes only: all others wait on it, and a change on one
    node must not wake every follower of another. ``news`` rings as well.
    """

    def __init__(self, assignment: Assignment, news: Bell, guardian_pid: int | None = None) -> None:
        self.bell = Bell()
        self._news = news
        self._assignment = assignment
        self._sequence = 0
        self._ending: str | None = None
        self.ends_cluster = False
        self._level, self._turn = True, None  # type: tuple[bool, str | None]
        self._agent = AgentReport(
            pid=os.getpid(),
            guardian_pid=guardian_pid,
            incarnation=secrets.token_hex(4),
            version=supervisor.__version__,
        )
        self.units: dict[str, UnitReport] = {}

    def lose_guardian(self) -> None:
        """The guardian was killed: nobody starts this agent again."""
        self._agent = replace(self._agent, guardian_pid=None)
        self._changed()

    @property
    def incarnation(self) -> str:
        """Another one for each agent."""
        return self._agent.incarnation

    @property
    def version(self) -> str:
        """The version of the present report."""
        return f"{self._agent.incarnation}.{self._sequence}"

    def publish(self, unit: UnitReport) -> None:
        """Replaces what is reported of one unit."""
        if self.units.get(unit.name) != unit:
            self.units[unit.name] = unit
            self._changed()

    def publish_end(self, reason: str, *, of_cluster: bool) -> None:
        """Tells that this node stops its units, and whether all are to."""
        self._ending = reason
        self.ends_cluster |= of_cluster
        self._changed()

    def publish_renewal(self, *, level: bool, turn: str | None) -> None:
        """Tells whether every node has the plan, and which router may begin anew by it."""
        if (level, turn) != (self._level, self._turn):
            self._level, self._turn = level, turn
            self._changed()

    def report(self) -> Report:
        """What is known right now."""
        return Report(
            cluster=self._assignment.plan.name,
            plan=self._assignment.digest,
            node=self._assignment.place.node,
            address=self._assignment.address,
            sequence=self._sequence,
            at=clock.monotonic(),
            ending=self._ending,
            ends_cluster=self.ends_cluster,
            agent=self._agent,
            units=tuple(self.units.values()),
            former=self._assignment.former,
            level=self._level,
            turn=self._turn,
        )

    def _changed(self) -> None:
        self._sequence += 1
        self.bell.ring()
        self._news.ring()
