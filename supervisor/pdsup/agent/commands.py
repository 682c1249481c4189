"""What an operator may have done to this node's units: start, stop, restart, signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import UnitReport
from pdsup.errors import NothingThere, SupervisorError
from pdsup.units import events
from pdsup.units.runner import Runner

# What each command means to a unit. An operator's end of it is never a failure of the unit.
COMMANDS: Mapping[str, events.Event] = {
    "start": events.Start(),
    "stop": events.Stop(),
    "restart": events.Restart(),
}


class Commands:
    """What operators ask of this node's units."""

    def __init__(self, runners: Mapping[str, Runner], own_report: OwnReport) -> None:
        self._runners = runners
        self._own_report = own_report

    def command(self, verb: str, names: Sequence[str]) -> tuple[UnitReport, ...]:
        """Tells units to do one of ``COMMANDS``; what they were the moment before.

        Raises NothingThere for a unit that is not this node's, and SupervisorError for a start
        while the node ends; nothing is told then.
        """
        before = self._units(verb, names)
        ending = self._own_report.ending
        if ending is not None and verb != "stop":
            raise SupervisorError(
                f"cannot {verb} {', '.join(names)}: {self._own_report.report().node} "
                f"ends its units ({ending})"
            )
        for name in names:
            self._runners[name].tell(COMMANDS[verb])
        return before

    def signal(self, number: int, names: Sequence[str]) -> dict[str, bool]:
        """Signals the main processes of units; whether each had one. Raises NothingThere."""
        self._units("signal", names)
        return {name: self._runners[name].signal(number) for name in names}

    def _units(self, verb: str, names: Sequence[str]) -> tuple[UnitReport, ...]:
        strangers = [name for name in names if name not in self._runners]
        if strangers:
            node = self._own_report.report().node
            raise NothingThere(f"cannot {verb} {', '.join(strangers)}: no such unit on {node}")
        return tuple(self._own_report.units[name] for name in names)
