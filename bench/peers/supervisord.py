"""supervisord, set to restart and stop units at once."""

from __future__ import annotations

import signal
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.peer import STORE, LocalConnection, Unit, timed

BIN = STORE / "venv" / "bin"
HEAD = """\
[supervisord]
nodaemon=true
logfile={home}/supervisord.log
pidfile={home}/supervisord.pid
[unix_http_server]
file={home}/sock
[rpcinterface:supervisor]
pdsup.rpcinterface_factory=pdsup.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{home}/sock
"""
PROGRAM = """\
[program:{name}]
command={command}
autorestart=true
startsecs=0
startretries=1000000
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=0
"""


class Supervisord:
    """supervisord, the best-known supervisor in Python."""

    name = "supervisord"
    stop_signal = signal.SIGTERM
    asks_at: str | None = None

    def absent(self) -> bool:
        """Absent unless it is in the benchmark's virtual environment."""
        return not (BIN / "supervisord").exists()

    def pipes(self) -> frozenset[bool]:
        """Only pipes: it copies all output."""
        return frozenset({True})

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """Writes its configuration file."""
        parts = [HEAD.format(home=home)]
        for unit in units:
            command = " ".join(unit.command)
            parts.append(PROGRAM.format(name=unit.name, command=command, log=unit.log))
        (home / "supervisord.conf").write_text("".join(parts))

    def daemon(self, home: Path) -> list[str]:
        """supervisord, in the foreground."""
        return [str(BIN / "supervisord"), "-c", str(home / "supervisord.conf")]

    def environ(self, home: Path) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def status(self, home: Path) -> list[str]:
        """The command of a user."""
        return [str(BIN / "supervisorctl"), "-c", str(home / "supervisord.conf"), "status"]

    def spread(self) -> Supervisord:
        """Itself: it manages one machine."""
        return self

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """Its help command."""
        return {"help": [str(BIN / "supervisorctl"), "--help"]}

    def ask(self, home: Path, times: int) -> list[float]:
        """XML-RPC."""
        connection = LocalConnection(home / "sock")
        body = xmlrpc.client.dumps((), "pdsup.getAllProcessInfo").encode()
        return timed(lambda: connection.exchange("POST", "/RPC2", body), times)
