"""An operator's commands for this node's units: start, stop, restart, signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import UnitReport
from pdsup.errors import NothingThere, SupervisorError
from pdsup.units import events
from pdsup.units.runner import Runner

# The event that each command sends to a unit. A stop by an operator never counts as a failure.
COMMANDS: Mapping[str, events.Event] = {
    "start": events.Start(),
    "stop": events.Stop(),
    "restart": events.Restart(),
}


class Commands:
    """Passes operators' commands to the units of one node."""

    def __init__(self, runners: Mapping[str, Runner], own_report: OwnReport) -> None:
        self._runners = runners
        self._own_report = own_report

    def command(self, verb: str, names: Sequence[str]) -> tuple[UnitReport, ...]:
        """Sends one of ``COMMANDS`` to units; returns their reports from just before.

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
        for name in names:
            self._runners[name].tell(COMMANDS[verb])
        return before

    def signal(self, number: int, names: Sequence[str]) -> dict[str, bool]:
        """Signals the main processes of units; returns whether each had one.

        Raises NothingThere if one is not on this node.
        """
        self._units("signal", names)
        return {name: self._runners[name].signal(number) for name in names}

    def _units(self, verb: str, names: Sequence[str]) -> tuple[UnitReport, ...]:
        strangers = [name for name in names if name not in self._runners]
        if strangers:
            node = self._own_report.report().node
            raise NothingThere(f"cannot {verb} {', '.join(strangers)}: no such unit on {node}")
        return tuple(self._own_report.units[name] for name in names)
