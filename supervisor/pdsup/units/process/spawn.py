"""Starts processes and reports when they end; nothing else in the agent does.

A child must not depend on how the agent was started: it gets its own session, stdin from /dev/null
unless it is to read something, default signal dispositions except those it is spared, an empty
signal mask, and no descriptors but 0, 1 and 2. ``posix_spawn`` does all of it without running
Python between fork and exec, and takes the same time however large the agent is.

The end of a child arrives as a pidfd that becomes readable on the event loop, for a process that an
earlier agent started too. A pid alone will not do: it may be reused before a signal is sent.
asyncio's own subprocess support will not do either: it also waits for the pipes to close, which a
grandchild can keep open for ever.

A child and all its descendants carry a tag, by which they can be found whatever they do.
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

from pdsup.descriptor import Descriptor
from pdsup.times import duration
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.proc import started
from pdsup.units.process.tree import LEAST_TAG, TAG_LIMIT, Identity

# How long to wait for a process after SIGKILL, which it may survive in state D.
KILLED_S = 1.0

# Python ignores SIGPIPE and SIGXFSZ for itself; children must not inherit that.
_DEFAULTS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Process:
    """A child that was started. ``pidfd`` refers to it even after its pid has been reused, and is
    closed once it has ended.

    ``tag`` is on it and on all its descendants; None where it could not be set.
    """

    pid: int
    pidfd: Descriptor
    tag: int | None

    def send(self, number: int) -> bool:
        """Sends a signal (0 only checks); False if the process is gone or is not ours (sudo)."""
        if not self.pidfd.is_open:
            return False
        pidfd = self.pidfd.fileno()
        if number and not _refers(pidfd, self.pid):
            return False
        try:
            signal.pidfd_send_signal(pidfd, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


class Spawner:
    """Starts children, and knows which of the agent's children it started."""

    def __init__(self) -> None:
        self.pids: set[int] = set()  # of main processes, adopted ones included
        self._halts: dict[int, Callable[[], None]] = {}
        # An agent may run below another agent, so each starts counting at a random number.
        self._tags = itertools.count((secrets.randbits(40) + 1) * LEAST_TAG)

    def spawn(
        self,
        command: tuple[str, ...],
        env: Mapping[str, str],
        output: int,
        on_exit: Callable[[ExitStatus], None],
        tag: int | None = None,
        stdin: int | None = None,
        spared: Collection[str] = (),
        on_halt: Callable[[], None] | None = None,
    ) -> Process:
        """Starts ``command`` with stdout and stderr on the descriptor ``output``, and stdin on the
        descriptor ``stdin`` if there is one.

        ``spared``: signals, such as HUP, that the child ignores if this process ignores them.
        ``tag``: from ``next_tag``. ``on_exit`` is called once, on the loop; ``on_halt`` whenever
        the child was stopped (SIGSTOP) or continued. Raises OSError, naming the program, if it
        cannot be found or executed.
        """
        program = _find(command[0], env)
        with _tagged(tag or self.next_tag()) as carried:
            pid = _spawn(program, command, env, output, stdin, spared)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # out of descriptors: a process that cannot be watched must not live
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

        def reap() -> None:
            try:
                _, status = os.waitpid(pid, 0)
            except ChildProcessError:  # somebody else has reaped it; it has ended all the same
                on_exit(ExitStatus(None))
            else:
                on_exit(exit_status(status))

        if on_halt is not None:
            self._halts[pid] = on_halt
        return self._watched(Process(pid, Descriptor(pidfd), carried), reap)

    def next_tag(self) -> int:
        """Returns a tag that no other process carries."""
        return next(self._tags)

    def take_over(self, process: Identity, tag: int | None, on_end: Callable[[], None]) -> Process:
        """Adopts a process that another agent started; ``on_end`` is called once, on the loop.

        Raises ProcessLookupError if it is gone, that is, not only ended but reaped.
        """
        pid, at = process
        pidfd = Descriptor(os.pidfd_open(pid))
        if started(pid) != at:  # checked after the pidfd is open, so the pid cannot change hands
            pidfd.close()
            raise ProcessLookupError(errno.ESRCH, "another process by now")
        return self._watched(Process(pid, pidfd, tag), on_end)

    def _watched(self, process: Process, on_end: Callable[[], None]) -> Process:
        self.pids.add(process.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(process.pidfd.fileno(), self._ended, process, on_end)
        return process

    def _ended(self, process: Process, on_end: Callable[[], None]) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd.fileno())
        process.pidfd.close()
        self.pids.discard(process.pid)
        self._halts.pop(process.pid, None)
        on_end()

    def hear_halts(self) -> None:
        """Tells of children that were stopped or continued; to be called on SIGCHLD."""
        with contextlib.suppress(ChildProcessError):
            while halted := os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WCONTINUED | os.WNOHANG):
                if (on_halt := self._halts.get(halted.si_pid)) is not None:
                    on_halt()

    async def run(
        self, command: tuple[str, ...], env: Mapping[str, str], output: int, within: float
    ) -> ExitStatus:
        """Runs a short command and waits for it; kills it after ``within`` seconds and raises
        TimeoutError.
        """
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
        """Runs a short command; returns the last line of its output if it failed, else None."""
        with os.fdopen(os.memfd_create("output"), "r+b") as output:
            try:
                status = await self.run(command, os.environ, output.fileno(), within)
            except TimeoutError:
                return f"{command[0]} took over {duration(within)}"
            except OSError as error:
                return error.strerror or str(error)
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
        return None if status.code == 0 else (said[-1] if said else str(status))


def _refers(pidfd: int, pid: int) -> bool:
    """Whether a descriptor is the pidfd of this process, and not what somebody opened after closing
    a descriptor that was not theirs.
    """
    try:
        info = os.open(f"/proc/self/fdinfo/{pidfd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _, found, rest = os.read(info, 1024).partition(b"\nPid:\t")
        finally:
            os.close(info)
    except OSError:
        return False
    # 0: in another namespace; -1: reaped
    return bool(found) and rest.partition(b"\n")[0] in (b"%d" % pid, b"0", b"-1")


def _find(name: str, env: Mapping[str, str]) -> str:
    """Returns the path of a program; raises OSError if PATH has none that can be executed."""
    if "/" in name:
        return name  # the kernel reports what is wrong with it
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
                # The order matters: ``output`` is 0 if the agent was started without stdin.
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                nothing if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=_DEFAULTS - {signal.Signals[f"SIG{name}"] for name in spared},
        )
    except ValueError as error:  # text that cannot be passed to a program, such as a NUL
        raise OSError(errno.EINVAL, str(error), program) from None


@contextlib.contextmanager
def _tagged(tag: int) -> Iterator[int | None]:
    """Gives children started inside the tag, or none where the hard limit is too low for it."""
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
    """Converts a status from wait(2)."""
    if os.WIFSIGNALED(wait_status):
        return ExitStatus(None, signal_name(os.WTERMSIG(wait_status)))
    return ExitStatus(os.WEXITSTATUS(wait_status))


def signal_name(number: int) -> str:
    """The name of a signal; real-time signals have none: ``signal 35``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def close_inherited() -> None:
    """Keeps descriptors that the agent inherited from being passed on to its units."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # the one that listed the directory is closed by now
                os.set_inheritable(int(entry.name), False)
