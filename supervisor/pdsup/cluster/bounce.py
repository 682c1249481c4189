"""Restarts this node's decodes when a prefill is back after a restart, if the plan says so.

A decode notices the loss of a prefill by itself (two heartbeats, 5 s apart), but with some engines
KV transfers stay broken until the decode restarts too.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdsup.cluster.report import Look
from pdsup.plan.model import Plan
from pdsup.units import events, states
from pdsup.units.public_state import PublicState
from pdsup.units.runner import Runner


class DecodeBounce:
    """The decodes of one node. ``look`` returns a unit's latest report, or None without one."""

    def __init__(self, plan: Plan, runners: Mapping[str, Runner], look: Look) -> None:
        leaders = [unit for unit in plan.units if not unit.rank]
        wanted = plan.bounce_decodes == "on-prefill-restart"
        self._prefills = [u.name for u in leaders if u.role == "prefill"] if wanted else []
        # Restarting rank 0 restarts its whole gang.
        self._decodes = [
            runners[u.name] for u in leaders if u.role == "decode" and u.name in runners
        ]
        self._look = look
        self._runs: dict[str, int] = {}  # each prefill's last run that was RUNNING

    def react(self) -> None:
        """Takes in the prefills' reports, and restarts the decodes if one is back."""
        for name in self._prefills:
            report = self._look(name)
            if report is None or report.state is not PublicState.RUNNING:
                continue
            before = self._runs.setdefault(name, report.run)
            self._runs[name] = report.run
            if report.run > before:
                self._restart_decodes(f"{name} restarted")

    def _restart_decodes(self, reason: str) -> None:
        for runner in self._decodes:
            run = states.run_of(runner.facts.state)
            if run is not None:
                runner.tell(events.Recycle(run, reason))
