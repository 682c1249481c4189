"""Evidence of real processes that hang."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pdsup.plan.model import Probes
from pdsup.units import evidence
from pdsup.units import evidence as evidence_module
from pdsup.units.evidence import Evidence
from pdsup.units.probes.check import Subject
from pdsup.units.probes.health import No, Yes
from pdsup.units.probes.watch import Asked
from pdsup.units.process.spawn import Spawner

pytestmark = pytest.mark.processes

# A server with a child; both wait in a function of their own.
VICTIM = """
import os, socket, sys, time
def waits_for_nobody():
    time.sleep(1000)
server = socket.create_server((sys.argv[1], 8000))
if os.fork() == 0:
    server.close()
    waits_for_nobody()
print("up", flush=True)
waits_for_nobody()
"""
ASKED = (Asked(0.0, "liveness", Yes(), 0.5), Asked(10.5, "liveness", No("a: no answer"), 25.0))


@pytest.fixture
def victim(address: str) -> Iterator[subprocess.Popen[str]]:
    """The server, frozen together with its child."""
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, address], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGSTOP)
        whole = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        while any(one.status() != psutil.STATUS_STOPPED for one in whole):
            time.sleep(0.01)  # it takes effect when they are next given a processor
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text("of the run before\n" + "".join(f"line {i}\n" for i in range(500)))
    return path


def subject(pid: int, log: Path, start: int = 0) -> Subject:
    return Subject(
        probes=Probes(), address="127.0.0.1", ports={}, pid=pid, env={}, log_path=str(log),
        log_start=start,
    )  # fmt: skip


async def test_the_evidence_of_a_frozen_unit_is_whole_and_can_be_read(
    victim, log: Path, tmp_path: Path, address: str
) -> None:
    start = len("of the run before\n")
    where = await Evidence(str(tmp_path), Spawner()).collect(
        "prefill-0", 3, "no answer within 25 s", subject(victim.pid, log, start), ASKED
    )
    assert where == "evidence/prefill-0-3"
    texts = {path.name: path.read_text() for path in (tmp_path / where).iterdir()}
    assert texts["why.txt"].startswith("prefill-0 run 3, 20")
    assert "no answer within 25 s" in texts["why.txt"]
    (child,) = psutil.Process(victim.pid).children()
    for pid in (victim.pid, child.pid):
        assert f"\n{pid} (parent" in f"\n{texts['processes.txt']}"
        assert f"Process {pid}" in texts["stacks.txt"]
    assert "state T" in texts["processes.txt"]
    assert texts["stacks.txt"].count("<module> (<string>") == 2
    assert f"pid {victim.pid} LISTEN {address}:8000" in texts["sockets.txt"]
    assert texts["log.txt"].splitlines() == [f"line {i}" for i in range(300, 500)]
    assert texts["probes.txt"].splitlines() == [
        "1970-01-01T00:00:00.000000Z liveness, in 0.500 s: yes",
        "1970-01-01T00:00:10.500000Z liveness, in 25.000 s: no: a: no answer",
    ]
    assert "gpus.txt: " in texts["why.txt"]
    left = {".", "why.txt", *(one for one in texts if one.startswith("."))}
    assert left == {".", "why.txt"}


async def test_what_takes_too_long_costs_only_itself(
    victim, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("py-spy", "nvidia-smi"):
        (programs / name).write_text("#!/bin/sh\nexec sleep 1000\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setattr(evidence_module, "STACK_S", 0.2)
    monkeypatch.setattr(evidence, "TAKEN_WITHIN_S", 600.0)
    spawner = Spawner()
    where = await Evidence(str(tmp_path), spawner).collect(
        "u", 1, "why", subject(victim.pid, log), ASKED
    )
    assert spawner.pids == set()
    why = (tmp_path / where / "why.txt").read_text()
    assert "gpus.txt: timed out after" in why
    assert "log.txt: taken" in why


async def test_a_reader_that_hangs_is_left_behind(
    victim, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some files of /proc hang when the process they are about does."""
    fifo = tmp_path / "hangs"
    os.mkfifo(fifo)
    monkeypatch.setattr(evidence_module, "_processes", lambda pid: fifo.read_text())
    monkeypatch.setattr(evidence, "TAKEN_WITHIN_S", 0.3)
    one = Evidence(str(tmp_path), Spawner())
    try:
        where = await one.collect("u", 1, "why", subject(victim.pid, log), ASKED)
    finally:
        os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
    why = (tmp_path / where / "why.txt").read_text()
    assert "processes.txt: timed out after" in why
    assert "sockets.txt: taken" in why


async def test_what_is_not_installed_is_said(
    victim, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    where = await Evidence(str(tmp_path), Spawner()).collect(
        "u", 1, "why", subject(victim.pid, log), ASKED
    )
    why = (tmp_path / where / "why.txt").read_text()
    assert "stacks.txt: py-spy is not installed" in why
    assert "gpus.txt: nvidia-smi is not installed" in why


async def test_of_a_unit_that_is_gone_there_is_still_its_output(log: Path, tmp_path: Path) -> None:
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    where = await Evidence(str(tmp_path), Spawner()).collect(
        "u", 1, "why", subject(gone.pid, log), ASKED
    )
    assert "line 499" in (tmp_path / where / "log.txt").read_text()
    assert (tmp_path / where / "processes.txt").read_text() == "no process is left\n"


async def test_a_directory_that_can_not_be_made_is_an_error(log: Path, tmp_path: Path) -> None:
    (tmp_path / "evidence").touch()
    with pytest.raises(OSError):
        await Evidence(str(tmp_path), Spawner()).collect("u", 1, "why", subject(1, log), ASKED)
