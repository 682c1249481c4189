"""Programs of this package as forks of a process that has imported them.

They start in a tenth of the time, most of which imports take. This is for tests of what programs
do; that they start as users start them is tested in ``tests/system`` and where a test says so.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
# Each fork would import the first, the main module of these tests.
CONTEXT.set_forkserver_preload(["pytest", "pdsup.launch", "pdsup.units.process.guardian"])
LIMIT_S = 60.0
SPAWN = os.posix_spawn


def start(
    program: Callable[[Sequence[str]], int],
    words: Sequence[str],
    environ: Mapping[str, str],
    cwd: Path | None = None,
    *,
    out: Path,
    err: Path,
) -> BaseProcess:
    """A fork that runs ``program`` with these words, in a session of its own."""
    given = (program, list(words), dict(environ), cwd, out, err)
    process = CONTEXT.Process(target=_become, args=given)
    process.start()
    return process


def pdsup(
    words: Sequence[str], environ: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command to its end, as ``subprocess.run`` does."""
    streams = [os.memfd_create(name) for name in ("stdout", "stderr")]
    try:
        out, err = (Path(f"/proc/{os.getpid()}/fd/{stream}") for stream in streams)
        process = start(_command, words, environ, cwd, out=out, err=err)
        process.join(LIMIT_S)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, LIMIT_S, out.read_bytes(), err.read_bytes())
        code = process.exitcode
        return subprocess.CompletedProcess(words, code, out.read_bytes(), err.read_bytes())
    finally:
        for stream in streams:
            os.close(stream)


def _command(words: Sequence[str]) -> int:
    from pdsup.cli.main import entry

    sys.argv = ["pdsup", *words]
    entry()
    raise AssertionError("it ends")


def _become(
    program: Callable[[Sequence[str]], int],
    words: list[str],
    environ: dict[str, str],
    cwd: Path | None,
    out: Path,
    err: Path,
) -> None:
    os.setsid()
    for path, number in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    if cwd:
        os.chdir(cwd)
    _take(environ)
    sys.exit(program(words))


def _take(environ: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()


def guarded(words: Sequence[str]) -> int:
    """``pdsup agent``: a guardian, and below it agents that are forks too."""
    from pdsup.agent import shutdown
    from pdsup.units.process import guardian

    os.posix_spawn = _fork  # type: ignore[assignment]
    shutdown.TRIAL = ("true",)  # the next agent is a fork too
    return guardian.main(["agent", *words])


def eager(words: Sequence[str]) -> int:
    """A guardian that does not wait longer from restart to restart of an agent."""
    from pdsup.units.process import guardian

    guardian.LONGEST_DELAY_S = 0.0
    return guarded(words)


def _fork(
    _: str,
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    setsigmask: Iterable[int],
    setsigdef: Iterable[int],
) -> int:
    """Starts an agent as posix_spawn does, but without another program."""
    from pdsup import launch

    if pid := os.fork():
        return pid
    os.posix_spawn = SPAWN  # for its units
    for number in setsigdef:
        signal.signal(number, signal.SIG_DFL)
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number > 2 and _is_for_us_alone(number):
            os.close(number)
    _take(environ)
    signal.pthread_sigmask(signal.SIG_SETMASK, setsigmask)
    sys.exit(launch.main(words[1:]))


def _is_for_us_alone(descriptor: int) -> bool:
    try:
        return not os.get_inheritable(descriptor)
    except OSError:  # that of the list
        return False
