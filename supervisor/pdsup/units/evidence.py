"""Collects evidence from a hung unit before it is killed: stacks, sockets, GPUs, output.

Each run gets a directory, each kind of evidence a file of text for people. The collection takes
bounded time whatever hangs, and a kind that takes too long is missing without holding up the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pdsup import clock
from pdsup.address import endpoint
from pdsup.files import make_directory, open_regular
from pdsup.plan.masks import BY_FORM, Mask
from pdsup.threads import apart
from pdsup.times import duration
from pdsup.units.logs import last
from pdsup.units.probes.check import Subject
from pdsup.units.probes.watch import Asked
from pdsup.units.process import proc
from pdsup.units.process.spawn import Spawner
from pdsup.units.process.tree import Process

# Limits for an engine with hundreds of processes: stacks in all, and at the same time.
MOST_STACKS, STACKS_AT_ONCE = 64, 4
STACK_S = 6.0
LOG_BYTES = 1 << 18


class Evidence:
    """Collects evidence from the units of a node into ``run_dir``."""

    def __init__(
        self, run_dir: str, spawner: Spawner, mask: Mask = BY_FORM, mode: int = 0o644
    ) -> None:
        """``mask``: masks the secrets in it; ``mode``: that of its files."""
        self._run_dir = Path(run_dir)
        self._spawner = spawner
        self._mask = mask
        self._mode = mode

    async def collect(
        self,
        unit: str,
        run: int,
        reason: str,
        subject: Subject,
        asked: Iterable[Asked],
        at: float | None = None,
    ) -> str:
        """Collects everything; returns the directory, relative to the run directory. Raises OSError
        if nothing can be written.

        ``at``: if somebody asked for it, when (seconds since the epoch): what is collected later
        from the same run goes beside it.
        """
        name = directory(unit, run, at)
        path = self._run_dir / name
        await apart(lambda: _make(path), TAKEN_WITHIN_S)
        parts = await self._take(path, subject, list(asked))
        page = why(unit, run, _stamp(clock.wall()), reason, parts)
        await self._write(path / WHY, lambda: page)
        return name

    async def _take(self, path: Path, subject: Subject, asked: list[Asked]) -> list[Part]:
        pid, log, start = subject.pid, subject.log_path, subject.log_start
        takes: dict[str, Awaitable[None]] = {
            PROBES: self._write(path / PROBES, lambda: _probes(asked)),
            LOG: self._write(path / LOG, lambda: _log(log, start)),
            PROCESSES: self._write(path / PROCESSES, lambda: _processes(pid)),
            SOCKETS: self._write(path / SOCKETS, lambda: _sockets(pid)),
            STACKS: self._stacks(path / STACKS, pid),
            GPUS: self._gpus(path / GPUS),
        }
        problems = await asyncio.gather(*(_problem(take) for take in takes.values()))
        return [Part(file, why) for file, why in zip(takes, problems, strict=True)]

    async def _stacks(self, path: Path, pid: int) -> None:
        """Dumps stacks without stopping a process, as it may already be held by a debugger."""
        beside = Path(sys.executable).parent / "py-spy"
        program = str(beside) if beside.exists() else shutil.which("py-spy")
        if program is None:
            raise FileNotFoundError("py-spy is not installed")
        tree = await apart(lambda: proc.tree(pid), STACK_S)
        limit = asyncio.Semaphore(STACKS_AT_ONCE)

        async def dump(each: int) -> str:
            aside = path.with_name(f".stack-{each}")
            async with limit:
                with contextlib.suppress(TimeoutError):
                    await self._run((program, "dump", "--nonblocking", "--pid", str(each)), aside)
            return await apart(lambda: _moved(aside), STACK_S)

        dumps = await asyncio.gather(*(dump(each) for each, _ in tree[:MOST_STACKS]))
        await self._write(path, lambda: "\n\n".join(dumps))

    async def _gpus(self, path: Path) -> None:
        program = shutil.which("nvidia-smi")
        if program is None:
            raise FileNotFoundError("nvidia-smi is not installed")
        await self._run((program,), path)

    async def _run(self, command: tuple[str, ...], path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        output = await apart(lambda: open_regular(path, flags, self._mode), STACK_S)
        try:
            await self._spawner.run(command, dict(os.environ), output, STACK_S)
        finally:
            os.close(output)

    async def _write(self, path: Path, text: Callable[[], str]) -> None:
        """Writes what ``text`` returns, in a thread: files and /proc may hang."""

        def write() -> None:
            content = self._mask(text()).encode(errors="backslashreplace")
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(open_regular(path, flags, self._mode), "wb") as file:
                file.write(content)

        await apart(write, TAKEN_WITHIN_S)


async def _problem(take: Awaitable[None]) -> str:
    """Takes one kind of evidence; returns why that failed, or nothing."""
    try:
        async with asyncio.timeout(TAKEN_WITHIN_S):
            await take
    except TimeoutError:
        return f"timed out after {duration(TAKEN_WITHIN_S)}"
    except OSError as error:
        return str(error)
    return ""


def _moved(path: Path) -> str:
    text = path.read_text(errors="replace")
    path.unlink()
    return text.strip()


def _probes(asked: list[Asked]) -> str:
    return "".join(
        f"{_stamp(each.at)} {each.kind}, in {each.seconds:.3f} s: {each.answer}\n" for each in asked
    )


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _make(path: Path) -> None:
    """Makes the directory of some evidence, but not where a link in its place leads."""
    make_directory(path)
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))


def _log(path: str, start: int) -> str:
    lines = last.of_last_run(path, start, last.Wanted(LOG_LINES, within=LOG_BYTES))
    return "".join(f"{line}\n" for line in lines)


def _processes(pid: int) -> str:
    described = (proc.describe(each) for each, _ in proc.tree(pid))
    return processes([process for process in described if process])


def _sockets(pid: int) -> str:
    # Of processes that share a socket the topmost one is named.
    tree = reversed(proc.tree(pid))
    owners = {inode: each for each, _ in tree for inode in proc.sockets(each)}
    tables = (proc.text(pid, f"net/{name}") for name in ("tcp", "tcp6"))
    return "".join(sockets(table, owners) for table in tables)


# For all ranks of a gang: the restart of a hung unit is not delayed any longer.
WITHIN_S = 20.0
# For one rank; the rest of the time above is for messages between agents.
TAKEN_WITHIN_S = 12.0
LOG_LINES = 200

WHY, PROCESSES, STACKS, SOCKETS = "why.txt", "processes.txt", "stacks.txt", "sockets.txt"
GPUS, LOG, PROBES = "gpus.txt", "log.txt", "probes.txt"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of evidence: its file, and why it is missing (empty if it is there)."""

    file: str
    problem: str = ""


def directory(unit: str, run: int, at: float | None = None) -> str:
    """The directory for the evidence of a run, relative to the run directory; ``at`` as above."""
    moment = "" if at is None else f"-at-{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%S%f}Z"
    return f"evidence/{unit}-{run}{moment}"


def why(unit: str, run: int, at: str, reason: str, parts: Iterable[Part]) -> str:
    """The text of the file to read first."""
    lines = [f"{unit} run {run}, {at}", "", reason, ""]
    lines += [f"{part.file}: {part.problem or 'taken'}" for part in parts]
    return "\n".join(lines) + "\n"


def processes(found: Sequence[Process]) -> str:
    """Lists every process, parents first, with what its threads are doing."""
    return "\n\n".join(map(_process, found)) + "\n" if found else "no process is left\n"


def _process(process: Process) -> str:
    head = f"{process.pid} (parent {process.parent}) {process.name}, state {process.state}"
    counts: dict[str, int] = {}
    for thread in process.threads:
        counts[thread] = counts.get(thread, 0) + 1
    lines = [head, f"  {process.command}"]
    lines += [f"  {count} x {what}" for what, count in sorted(counts.items(), key=_most_first)]
    lines += [f"  {line}" for line in process.stack.splitlines()]
    return "\n".join(lines)


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


# include/net/tcp_states.h
_STATES: Mapping[str, str] = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2",
    "06": "TIME_WAIT", "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN",
    "0B": "CLOSING",
}  # fmt: skip


def sockets(table: str, owners: Mapping[int, int]) -> str:
    """Describes the sockets of /proc/net/tcp or tcp6 that ``owners`` (inode to pid) contains."""
    lines = []
    for row in table.splitlines()[1:]:
        fields = row.split()
        if len(fields) > 9 and (pid := owners.get(int(fields[9]))) is not None:
            sent, _, received = fields[4].partition(":")
            lines.append(
                f"pid {pid} {_STATES.get(fields[3], fields[3])} {_endpoint(fields[1])} ->"
                f" {_endpoint(fields[2])}, {int(received, 16)} bytes not read,"
                f" {int(sent, 16)} not sent"
            )
    return "".join(f"{line}\n" for line in sorted(lines))


def _endpoint(text: str) -> str:
    """``0100007F:1F40`` becomes ``127.0.0.1:8000``: the kernel prints reversed words of 4 bytes."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
    if len(words) == 1:
        return endpoint(".".join(map(str, words[0])), int(port, 16))
    raw = b"".join(words).hex()
    return endpoint(":".join(raw[i : i + 4] for i in range(0, 32, 4)), int(port, 16))
