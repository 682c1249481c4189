"""pdsup itself: one node, plain units, with probes for those that answer HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers.peer import LocalConnection, Unit, timed

PDSUP = str(Path(sys.executable).with_name("pdsup"))
# Unique to this process, so that two benchmarks can run at once.
ADDRESSES = [
    f"127.{119 + node}.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}" for node in range(10)
]
PROBE = {"checks": [{"port": "http", "path": "/health"}], "period_s": 1, "timeout_s": 5}
AT_ONCE = {"first_delay_s": 0, "delay_s": 0, "limit_s": 0, "jitter": 0, "max_failures": 10_000}


class Pdsup:
    """One agent, or with several nodes ``pdsup up`` with an agent for each."""

    name = "pdsup"
    stop_signal = signal.SIGTERM
    asks_at: str | None = ADDRESSES[0]

    def __init__(self, nodes: int = 1) -> None:
        self._nodes = nodes

    def absent(self) -> bool:
        """Never: it is in this repository."""
        return False

    def pipes(self) -> frozenset[bool]:
        """Files, and pipes if this version supports them."""
        unit = Unit("unit", ("true",), Path("unit.out"), piped=True)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(_plan([unit], 1), file)
            file.flush()
            done = subprocess.run([PDSUP, "check", file.name], capture_output=True, check=False)
        return frozenset({False} if done.returncode else {False, True})

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """Writes a plan, as JSON, which is YAML."""
        (home / "plan.yaml").write_text(json.dumps(_plan(units, self._nodes)))
        (home / "xdg").mkdir(mode=0o700)

    def daemon(self, home: Path) -> list[str]:
        """The agent of the only node, or ``pdsup up``."""
        plan = str(home / "plan.yaml")
        if self._nodes > 1:
            return [PDSUP, "up", plan, *self._run(home)]
        return [PDSUP, "agent", plan, "--node", "node0", *self._run(home)]

    def environ(self, home: Path) -> Mapping[str, str]:
        """Sets a separate state directory."""
        return {"XDG_RUNTIME_DIR": str(home / "xdg")}

    def status(self, home: Path) -> list[str]:
        """The command of a user."""
        return [PDSUP, "status", *self._run(home)]

    def spread(self) -> Pdsup:
        """pdsup with ten nodes."""
        return Pdsup(len(ADDRESSES))

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """The status as JSON, and the help."""
        return {"status json": [*self.status(home), "--json"], "help": [PDSUP, "--help"]}

    def ask(self, home: Path, times: int) -> list[float]:
        """Queries the control socket."""
        (path,) = (file for file in (home / "xdg").rglob("*") if file.is_socket())
        connection = LocalConnection(path)
        return timed(lambda: connection.exchange("GET", "/v1/status"), times)

    def _run(self, home: Path) -> list[str]:
        return ["--run-dir", str(home / "run")]


def _plan(units: Sequence[Unit], nodes: int) -> dict[str, Any]:
    return {
        "plan": 1,
        "name": "bench",
        "bind": "address",
        "nodes": [{"name": f"node{i}", "address": ADDRESSES[i]} for i in range(nodes)],
        "units": [_unit(unit, f"node{i % nodes}") for i, unit in enumerate(units)],
    }


def _unit(unit: Unit, node: str) -> dict[str, Any]:
    return {
        "name": unit.name,
        "kind": "service",
        "node": node,
        "command": unit.command,
        "restart": AT_ONCE,
        "log": {"file": unit.log.name} | ({"mode": "pipe"} if unit.piped else {}),
        **(_asked(unit.port) if unit.port else {}),
    }


def _asked(port: int) -> dict[str, Any]:
    return {"ports": {"http": port}, "probes": {"startup": PROBE, "readiness": PROBE}}
