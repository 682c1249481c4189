"""Takes the evidence of a unit that was found dead, within a bounded time whatever hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

from supervisor import clock
from supervisor.units import evidence, follower, scanner
from supervisor.units.asker import Subject
from supervisor.units.evidence import Part
from supervisor.units.prober import Asked
from supervisor.units.spawner import Spawner

# Of an engine with hundreds of processes these tell enough, and so many at once do no harm.
MOST_STACKS, STACKS_AT_ONCE = 64, 4
STACK_S = 6.0
LOG_BYTES = 1 << 18

T = TypeVar("T")


class Collector:
    """One for all units of a node; ``run_dir`` is where the evidence goes."""

    def __init__(self, run_dir: str, spawner: Spawner) -> None:
        self._run_dir = Path(run_dir)
        self._spawner = spawner

    async def collect(
        self, unit: str, run: int, reason: str, subject: Subject, asked: Iterable[Asked]
    ) -> str:
        """Where it lies, below the run directory. Raises OSError when nothing can be written."""
        name = evidence.directory(unit, run)
        path = self._run_dir / name
        await _apart(lambda: path.mkdir(parents=True, exist_ok=True), evidence.TAKEN_WITHIN_S)
        parts = await self._take(path, subject, list(asked))
        at = _stamp(clock.wall())
        page = evidence.why(unit, run, at, reason, parts)
        await _apart(lambda: _write(path / evidence.WHY, page), evidence.TAKEN_WITHIN_S)
        return name

    async def _take(self, path: Path, subject: Subject, asked: list[Asked]) -> list[Part]:
        pid, log, start = subject.pid, subject.log_path, subject.log_start
        takes: dict[str, Awaitable[None]] = {
            evidence.PROBES: _write_apart(path / evidence.PROBES, lambda: _probes(asked)),
            evidence.LOG: _write_apart(path / evidence.LOG, lambda: _log(log, start)),
            evidence.PROCESSES: _write_apart(path / evidence.PROCESSES, lambda: _processes(pid)),
            evidence.SOCKETS: _write_apart(path / evidence.SOCKETS, lambda: _sockets(pid)),
            evidence.STACKS: self._stacks(path / evidence.STACKS, pid),
            evidence.GPUS: self._gpus(path / evidence.GPUS),
        }
        problems = await asyncio.gather(*(_problem(take) for take in takes.values()))
        return [Part(file, why) for file, why in zip(takes, problems, strict=True)]

    async def _stacks(self, path: Path, pid: int) -> None:
        """Without stopping anything: a process that hangs may be held by another tracer."""
        beside = Path(sys.executable).parent / "py-spy"
        program = str(beside) if beside.exists() else shutil.which("py-spy")
        if program is None:
            raise FileNotFoundError("py-spy is not installed")
        tree = await _apart(lambda: scanner.tree(pid), STACK_S)
        limit = asyncio.Semaphore(STACKS_AT_ONCE)

        async def dump(one: int) -> str:
            aside = path.with_name(f".stack-{one}")
            async with limit:
                with contextlib.suppress(TimeoutError):
                    await self._run((program, "dump", "--nonblocking", "--pid", str(one)), aside)
            return await _apart(lambda: _moved(aside), STACK_S)

        dumps = await asyncio.gather(*(dump(one) for one, _ in tree[:MOST_STACKS]))
        await _apart(lambda: _write(path, "\n\n".join(dumps)), STACK_S)

    async def _gpus(self, path: Path) -> None:
        program = shutil.which("nvidia-smi")
        if program is None:
            raise FileNotFoundError("nvidia-smi is not installed")
        await self._run((program,), path)

    async def _run(self, command: tuple[str, ...], path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        output = await _apart(lambda: os.open(path, flags, 0o644), STACK_S)
        try:
            await self._spawner.run(command, dict(os.environ), output, STACK_S)
        finally:
            os.close(output)


async def _problem(take: Awaitable[None]) -> str:
    """Why a kind of evidence could not be taken, or nothing."""
    try:
        async with asyncio.timeout(evidence.TAKEN_WITHIN_S):
            await take
    except TimeoutError:
        return "it took too long"
    except OSError as error:
        return str(error)
    return ""


async def _apart(work: Callable[[], T], within: float) -> T:
    """What ``work`` returns, from a thread that nobody has to wait for.

    To read the command line of a process that hangs in the kernel can hang as well, and so can a
    shared file system; a pool's threads would then keep the agent from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(T, result))

    def run() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = work(), None
        except Exception as error:
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(finish, *outcome)

    threading.Thread(target=run, daemon=True, name="evidence").start()
    async with asyncio.timeout(within):
        return await done


async def _write_apart(path: Path, text: Callable[[], str]) -> None:
    await _apart(lambda: _write(path, text()), evidence.TAKEN_WITHIN_S)


def _write(path: Path, text: str) -> None:
    path.write_text(text, errors="backslashreplace")


def _moved(path: Path) -> str:
    text = path.read_text(errors="replace")
    path.unlink()
    return text.strip()


def _probes(asked: list[Asked]) -> str:
    return "".join(
        f"{_stamp(one.at)} {one.kind}, in {one.seconds:.3f} s: {one.answer}\n" for one in asked
    )


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _log(path: str, start: int) -> str:
    lines = follower.tail(path, start, LOG_BYTES)[-evidence.LOG_LINES :]
    return "".join(f"{line}\n" for line in lines)


def _processes(pid: int) -> str:
    found = (scanner.describe(one) for one, _ in scanner.tree(pid))
    return evidence.processes([process for process in found if process])


def _sockets(pid: int) -> str:
    # Of those that share a socket the first, the parent, is named.
    tree = reversed(scanner.tree(pid))
    owners = {inode: one for one, _ in tree for inode in scanner.sockets(one)}
    tables = (scanner.text(pid, f"net/{name}") for name in ("tcp", "tcp6"))
    return "".join(evidence.sockets(table, owners) for table in tables)
