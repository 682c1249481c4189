"""An operator's commands for this node's units: start, stop, restart, signal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, assert_never, get_args

from pdsup import clock
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

    def command(
        self, verb: Command, names: Sequence[str], caller: Caller
    ) -> tuple[UnitReport, ...]:
        """Sends a command to units; returns their reports from just before.

        Raises NothingThere if one is not on this node, and SupervisorError for a start or restart
        while the node is ending; in both cases no unit gets the command.
        """
        before = self._units(verb, names)
        ending = self._own_report.ending
        if ending is not None and verb != "stop":
            raise SupervisorError(
                f"cannot {verb} {', '.join(names)}: {self._own_report.report().node} "
                f"is ending ({ending})"
            )
        event = _event(verb, requests.text(verb, caller))
        for unit in before:
            self._tell(
                requests.event(verb, caller, clock.monotonic(), unit=unit.name, run=unit.run)
            )
            self._runners[unit.name].tell(event)
        return before

    def signal(self, number: int, names: Sequence[str], caller: Caller) -> dict[str, bool]:
        """Signals the main processes of units; returns whether each had one.

        Raises NothingThere if one is not on this node.
        """
        return {
            unit.name: self._signal(number, unit, caller) for unit in self._units("signal", names)
        }

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
        relative to the run directory. Raises NothingThere if one is not on this node.
        """
        units = self._units("take evidence of", names)
        now = clock.monotonic()
        for unit in units:
            self._tell(requests.event("evidence", caller, now, unit=unit.name, run=unit.run))
        reason = requests.text("evidence", caller)
        taken = await asyncio.gather(*(self._evidence.take(u.name, reason) for u in units))
        return {unit.name: found for unit, found in zip(units, taken, strict=True)}

    def stop_leaving(self, names: Sequence[str]) -> None:
        """Stops units that the changed plan no longer contains."""
        for name in names:
            self._runners[name].tell(LEAVES)

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
