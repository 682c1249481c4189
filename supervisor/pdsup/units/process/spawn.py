"""Starts processes and tells when they end: the only place that does.

A child gets its own session, stdin from /dev/null unless it is to read something, default signal
dispositions but for those it is spared, an empty signal mask and no descriptor but 0, 1 and 2. Its
end arrives through a pidfd on the event loop; asyncio's own subprocess support waits for pipes to
close too, which a grandchild can keep open for ever.

A child and all its descendants carry a tag, by which they are known whatever they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import resource
import secrets
import shutil
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.proc import started
from pdsup.units.process.tree import Identity

# RLIMIT_LOCKS: since Linux 2.4.25 it limits nothing, yet every descendant inherits it, also one
# that leaves the session, clears its environment or runs another program.
TAG_LIMIT = 10
# A process that survives SIGKILL (state D) is not waited for any longer.
KILLED_S = 1.0

# Python ignores SIGPIPE and SIGXFSZ for itself; children must not inherit that.
_DEFAULTS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Process:
    """A child that was started. ``pidfd`` names it even after its pid is used again.

    ``tag`` is on it and all its descendants; None where it could not be set.
    """

    pid: int
    pidfd: int
    tag: int | None

    def send(self, number: int) -> bool:
        """Signals the main process (0 only asks); False when it is gone, or is not ours (sudo)."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


class Spawner:
    """Starts children and knows which of the agent's children are its own."""

    def __init__(self) -> None:
        self.pids: set[int] = set()  # of main processes, also of those that were taken over
        # Agents can run below agents, so each begins elsewhere.
        self._tags = itertools.count(secrets.randbits(40) << 20)

    def spawn(
        self,
        command: tuple[str, ...],
        env: Mapping[str, str],
        output: int,
        on_exit: Callable[[ExitStatus], None],
        tag: int | None = None,
        stdin: int | None = None,
        spared: Collection[str] = (),
    ) -> Process:
        """Starts ``command`` with stdout and stderr on the descriptor ``output``, and with stdin on
        the descriptor ``stdin`` if one is given.

        ``spared``: signals (HUP ...) that it ignores where this process does.

        ``tag``: one of ``next_tag``. ``on_exit`` is called once, on the loop. Raises OSError,
        naming the program, when the program can't be found or executed.
        """
        program = _find(command[0], env)
        with _tagged(tag or self.next_tag()) as carried:
            pid = _spawn(program, command, env, output, stdin, spared)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # out of descriptors: what can't be watched must not live
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

        def reap() -> None:
            _, status = os.waitpid(pid, 0)
            on_exit(exit_status(status))

        return self._watched(Process(pid, pidfd, carried), reap)

    def next_tag(self) -> int:
        """A tag that no other process carries."""
        return next(self._tags)

    def take_over(self, process: Identity, tag: int | None, on_end: Callable[[], None]) -> Process:
        """Watches a process that another agent started; ``on_end`` is called once, on the loop.

        Raises ProcessLookupError when it is gone: reaped, not only ended.
        """
        pid, at = process
        pidfd = os.pidfd_open(pid)
        if started(pid) != at:  # asked after the pidfd has its process
            os.close(pidfd)
            raise ProcessLookupError(errno.ESRCH, "another process by now")
        return self._watched(Process(pid, pidfd, tag), on_end)

    def _watched(self, process: Process, on_end: Callable[[], None]) -> Process:
        self.pids.add(process.pid)
        asyncio.get_running_loop().add_reader(process.pidfd, self._ended, process, on_end)
        return process

    def _ended(self, process: Process, on_end: Callable[[], None]) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd)
        os.close(process.pidfd)
        self.pids.discard(process.pid)
        on_end()

    async def run(
        self, command: tuple[str, ...], env: Mapping[str, str], output: int, within: float
    ) -> ExitStatus:
        """Runs a short command to its end; kills it after ``within`` seconds (TimeoutError)."""
        ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        process = self.spawn(command, env, output, ended.set_result)
        try:
            async with asyncio.timeout(within):
                return await asyncio.shield(ended)
        finally:
            if not ended.done():
                process.send(signal.SIGKILL)
                await asyncio.wait({ended}, timeout=KILLED_S)

    async def complaint(self, command: tuple[str, ...], within: float) -> str | None:
        """The last line that a short command said when it failed; None when it did not."""
        with os.fdopen(os.memfd_create("output"), "r+b") as output:
            try:
                status = await self.run(command, os.environ, output.fileno(), within)
            except TimeoutError:
                return f"{command[0]} took over {within:g} s"
            except OSError as error:
                return error.strerror or str(error)
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
        return None if status.code == 0 else (said[-1] if said else str(status))


def _find(name: str, env: Mapping[str, str]) -> str:
    """The path of a program; raises OSError when there is none that can be executed."""
    if "/" in name:
        return name  # the kernel tells what is wrong with it
    program = shutil.which(name, path=env.get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, "no such program on PATH", name)
    return program


def _spawn(
    program: str,
    command: tuple[str, ...],
    env: Mapping[str, str],
    output: int,
    stdin: int | None,
    spared: Collection[str],
) -> int:
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    try:
        return os.posix_spawn(
            program,
            command,
            dict(env),
            file_actions=[
                # In this order: an agent that was started without stdin may have ``output`` at 0.
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                nothing if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=_DEFAULTS - {signal.Signals[f"SIG{name}"] for name in spared},
        )
    except ValueError as error:  # text that no program can be given, such as half a surrogate
        raise OSError(errno.EINVAL, str(error), program) from None


@contextlib.contextmanager
def _tagged(tag: int) -> Iterator[int | None]:
    """Children that are started inside carry the tag, or none where the hard limit is below it."""
    soft, hard = resource.getrlimit(TAG_LIMIT)
    try:
        resource.setrlimit(TAG_LIMIT, (tag, hard))
    except (ValueError, OSError):
        yield None
        return
    try:
        yield tag
    finally:
        resource.setrlimit(TAG_LIMIT, (soft, hard))


def exit_status(wait_status: int) -> ExitStatus:
    """A status of wait(2) in the words of the lifecycle."""
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        try:
            return ExitStatus(None, signal.Signals(number).name)
        except ValueError:  # real-time signals have no name
            return ExitStatus(None, f"signal {number}")
    return ExitStatus(os.WEXITSTATUS(wait_status))


def close_inherited() -> None:
    """Descriptors that whoever started the agent left open are not passed on to its units."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # the one that lists the directory is gone by now
                os.set_inheritable(int(entry.name), False)
