"""An operator's commands for this node's units: start, stop, restart, signal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, assert_never, get_args

from pdsup import clock
from pdsup.answers.commands import UnitBefore
from pdsup.answers.status import LastCommand
from pdsup.cluster.gang_evidence import GangEvidence
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import UnitReport
from pdsup.errors import NothingThere, SupervisorError
from pdsup.journal import requests
from pdsup.journal.entry import Happening
from pdsup.journal.requests import Caller
from pdsup.units import events
from pdsup.units.process.spawn import signal_name
from pdsup.units.runner import Runner

Command = Literal["start", "stop", "restart"]
COMMANDS: tuple[Command, ...] = get_args(Command)
# How long a command waits for a new agent that takes over, which needs a fraction of a second.
TAKEOVER_S = 5.0
LEAVES = events.Stop(reason="the changed plan no longer contains it")


class Commands:
    """Passes operators' commands to the units of one node, and writes to the journal who asked."""

    def __init__(
        self,
        runners: Mapping[str, Runner],
        own_report: OwnReport,
        evidence: GangEvidence,
        tell: Callable[[Happening], None],
    ) -> None:
        """``tell`` writes to the journal."""
        self._evidence = evidence
        self._runners = runners
        self._own_report = own_report
        self._tell = tell

    def command(self, verb: Command, names: Sequence[str], caller: Caller) -> dict[str, UnitBefore]:
        """Sends a command to units; returns what they were like just before.

        Raises NothingThere if one is not on this node, and SupervisorError for a start or restart
        while the node is ending; in both cases no unit gets the command.
        """
        units, before = self._units(verb, names), dict[str, UnitBefore]()
        ending = self._own_report.ending
        if ending is not None and verb != "stop":
            raise SupervisorError(
                f"cannot {verb} {', '.join(names)}: {self._own_report.report().node} "
                f"is ending ({ending})"
            )
        event = _event(verb, requests.text(verb, caller))
        for unit in units:
            now = clock.monotonic()
            self._tell(requests.event(verb, caller, now, unit=unit.name, run=unit.run))
            self._runners[unit.name].tell(event)
            before[unit.name] = UnitBefore(state=unit.state, run=unit.run, since=unit.since, at=now)
            last = LastCommand(verb=verb, by=str(caller), at=now)
            self._own_report.publish_command(unit.name, last)
        return before

    async def signal(self, number: int, names: Sequence[str], caller: Caller) -> dict[str, bool]:
        """Signals the main processes of units; returns whether each had one.

        Waits until this agent has taken over what an earlier one started. Raises NothingThere if
        one is not on this node, SupervisorError if the takeover takes too long.
        """
        units = await self._taken_over("signal", names)
        return {unit.name: self._signal(number, unit, caller) for unit in units}

    def _signal(self, number: int, unit: UnitReport, caller: Caller) -> bool:
        name = signal_name(number)
        sent = self._runners[unit.name].signal(number, str(caller))
        if sent and number:
            now = clock.monotonic()
            self._tell(
                requests.event("signal", caller, now, unit=unit.name, run=unit.run, signal=name)
            )
        return sent

    async def take_evidence(
        self, names: Sequence[str], caller: Caller
    ) -> dict[str, tuple[str | None, str]]:
        """Collects evidence of units, all at once; see ``GangEvidence.take``. Where it is, is
        relative to the run directory. Waits, and raises, as ``signal`` does.
        """
        units = await self._taken_over("take evidence of", names)
        for unit in units:
            now = clock.monotonic()  # each moment is of one line of the journal
            self._tell(requests.event("evidence", caller, now, unit=unit.name, run=unit.run))
        reason = requests.text("evidence", caller)
        taken = await asyncio.gather(*(self._evidence.take(u.name, reason) for u in units))
        return {unit.name: found for unit, found in zip(units, taken, strict=True)}

    def stop_leaving(self, names: Sequence[str]) -> None:
        """Stops units that the changed plan no longer contains."""
        for name in names:
            self._runners[name].tell(LEAVES)

    async def _taken_over(self, verb: str, names: Sequence[str]) -> tuple[UnitReport, ...]:
        """The units, once their processes are known to this agent."""
        units = self._units(verb, names)
        try:
            async with asyncio.timeout(TAKEOVER_S):
                for unit in units:
                    await self._runners[unit.name].settled.wait()
        except TimeoutError:
            node = self._own_report.report().node
            raise SupervisorError(
                f"cannot {verb} {', '.join(names)}: the new agent of {node} is still taking over "
                "its units; try again"
            ) from None
        return self._units(verb, names)

    def _units(self, verb: str, names: Sequence[str]) -> tuple[UnitReport, ...]:
        strangers = [name for name in names if name not in self._runners]
        if strangers:
            node = self._own_report.report().node
            raise NothingThere(f"cannot {verb} {', '.join(strangers)}: no such unit on {node}")
        return tuple(self._own_report.units[name] for name in names)


def _event(verb: Command, reason: str) -> events.Event:
    """The event for a command. A stop by an operator never counts as a failure."""
    match verb:
        case "start":
            return events.Start()
        case "stop":
            return events.Stop(reason=reason)
        case "restart":
            return events.Restart(reason)
    assert_never(verb)
