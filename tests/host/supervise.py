"""A small agent: real runners, spawner and reaper, told what to do on stdin, telling on stdout.

It is a program of its own because whoever supervises becomes a child subreaper, handles SIGCHLD
and reaps orphans, which pytest must not.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from pdsup.errors import SupervisorError, Unstartable
from pdsup.node.assignment import AssignedUnit
from pdsup.units import events, lifecycle, states
from pdsup.units.facts import Transition
from pdsup.units.host import Host
from pdsup.units.process import exit
from pdsup.units.process.reap import become_subreaper
from pdsup.units.process.spawn import close_inherited
from pdsup.units.runner import Runner
from tests.bed.hosts import FakeUnitHost, real_host


class Agent:
    """The units of a test, and its commands."""

    def __init__(self, host: Host, tasks: asyncio.TaskGroup) -> None:
        self._host = host
        self._tasks = tasks
        self._around = FakeUnitHost(self._changed)
        self._serving: list[asyncio.Task[None]] = []
        self._runners: dict[str, Runner] = {}

    def _changed(self, unit: str, transition: Transition | None) -> None:
        facts = self._runners[unit].facts
        last = facts.last_exit
        tell(
            unit=unit,
            state=states.public(facts.state),
            reason=states.reason_of(facts.state),
            detail=facts.detail,
            log_problem=facts.log_problem,
            pid=facts.pid,
            run=facts.run,
            last=str(last.status) if last else None,
            event=type(transition.event).__name__ if transition else None,
        )

    def add(self, text: str) -> None:
        unit: AssignedUnit = pickle.loads(base64.b64decode(text))  # noqa: S301 (our own test)
        self._runners[unit.name] = Runner(unit, self._host)
        self._serving.append(self._tasks.create_task(self._runners[unit.name].serve(self._around)))

    def cease(self) -> None:
        """As an agent does before it ends everything."""
        for task in self._serving:
            task.cancel()

    def crash(self) -> None:
        """A defect in some task, as it ends a real agent."""

        async def defect() -> None:
            raise ZeroDivisionError

        self._tasks.create_task(defect())

    def start(self, unit: str) -> None:
        self._runners[unit].tell(events.Start())

    def stop(self, unit: str) -> None:
        self._runners[unit].tell(events.Stop())

    def hurry(self, unit: str, seconds: float) -> None:
        self._runners[unit].tell(events.Stop(within=seconds))

    def crowd(self, units: list[str]) -> None:
        """SIGKILL to the main processes of many, as nearly at once as it can be."""
        for unit in units:
            os.kill(self._runners[unit].facts.pid or 0, signal.SIGKILL)

    def set_gate(self, unit: str, reason: str | None) -> None:
        self._around.gates[unit] = reason
        self._runners[unit].tell(events.GateChanged())

    def refuse(self, unit: str, reason: str | None, lasting: bool = False) -> None:
        error = Unstartable if lasting else SupervisorError
        self._around.refusals[unit] = error(reason) if reason else None

    def late(self, unit: str, run: int) -> None:
        """What an earlier run may still have to say."""
        for event in (
            events.BecameReady(run),
            events.LostReadiness(run, "late"),
            events.Exited(run, exit.ExitStatus(0)),
            events.SpawnFailed(run, "late"),
        ):
            self._runners[unit].tell(event)


# So that rechecks come within a test.
lifecycle.RECHECK_S = 0.1


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def main() -> None:
    close_inherited()
    become_subreaper()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        host = real_host(tasks, Path(sys.argv[1]))
        host.ledger.open()
        signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(host.reaper.sweep))
        agent = Agent(host, tasks)
        try:
            reader = await commands()
            tell(ready=True)
            while line := await reader.readline():
                name, *words = json.loads(line)
                getattr(agent, name)(*words)
        finally:
            agent.cease()
            tell(survivors=await host.reaper.end_everything())
            raise SystemExit(0)


if __name__ == "__main__":
    uvloop.run(main())
