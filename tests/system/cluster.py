"""A cluster brought up by the commands of a user, on loopback addresses of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# One unit of each kind, for tests that do not need more: half the processes of the demo.
SMALL = """
name: small
model: {path: /models/demo}
resources: {gpus_per_node: 8, prefill_nodes: 1, prefill_workers: 1, decode_nodes: 1,
  decode_workers: 1}
frontend: {type: sglang, num_additional_frontends: 0}
backend: {type: mock}
"""
PDSUP = str(Path(sys.executable).with_name("pdsup"))


def until(true: Callable[[], bool], what: str, within: float = 30.0) -> None:
    """Looks until something is true; fails, saying what was awaited, when it is not in time."""
    end = time.monotonic() + within
    pause = 0.02
    while not true():
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(pause)


class Cluster:
    """One run of ``pdsup up``, with its own runtime directory so that tests see only their own."""

    def __init__(self) -> None:
        # Short, because the path of a unix socket may have 107 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="pd"))
        self.run_dir = self.home / "run"
        self.small = self.home / "small.yaml"
        self.small.write_text(SMALL)
        # Agents are looked for in both; neither may show those of others.
        own = {"XDG_RUNTIME_DIR": str(self.home), "TMPDIR": str(self.home), "PDSUP_RUN_DIR": ""}
        self.env = {**os.environ, **own}

    def command(self, *words: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Runs pdsup to its end."""
        return subprocess.run(
            [PDSUP, *words],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts pdsup and returns at once."""
        return subprocess.Popen(
            [PDSUP, *words],
            env=self.env,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ignored here when these tests run in the background of a shell.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def up(self, recipe: Path = ROOT / "configs" / "demo.yaml", *words: str) -> None:
        """Brings a recipe up and leaves it running."""
        run = ("--run-dir", str(self.run_dir), "--timeout", "90")
        done = self.command("up", str(recipe), "--detach", *run, *words, timeout=120)
        assert done.returncode == 0, done.stderr

    def status(self, *words: str) -> dict[str, Any]:
        """The status JSON."""
        value: dict[str, Any] = json.loads(self.command("status", "--all", "--json", *words).stdout)
        return value

    def units(self) -> dict[str, dict[str, Any]]:
        """All units by name."""
        return {unit["name"]: unit for node in self.status()["nodes"] for unit in node["units"]}

    def address(self, node: str) -> str:
        """The address of a node."""
        return str(next(n["address"] for n in self.status()["nodes"] if n["node"] == node))

    def url(self, path: str = "/v1/chat/completions") -> str:
        """Where clients ask."""
        return f"http://{self.address('node0')}:8000{path}"

    def processes(self) -> list[str]:
        """Every process of this cluster that is alive: all began in its home."""
        return [text for text in _all_processes() if text.endswith(f" in {self.home}")]

    def close(self) -> None:
        """Stops what a test left, looks that nothing stays, and removes the files."""
        try:
            self.command("shutdown", "--all", "--timeout", "60")
        finally:
            left = self.processes()
            while remaining := self.processes():
                for line in remaining:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(line.split()[0]), signal.SIGKILL)
                time.sleep(0.02)
            shutil.rmtree(self.home)
        assert left == []


def _all_processes() -> Iterator[str]:
    """Pid, command and working directory of every process that can be read.

    The command alone is not enough: the router overwrites its own, and its environment with it.
    """
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (
                (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            yield f"{directory.name} {command} in {(directory / 'cwd').readlink()}"
