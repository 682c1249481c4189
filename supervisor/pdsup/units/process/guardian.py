"""The tiny process above an agent: starts it again when it crashes, and reaps what it leaves.

Nothing but the standard library, and as little of that as possible: it lives as long as the run
does, on every node, and is to stay below 10 MB. It is the child subreaper, so units whose agent was
killed become its children: it tells the next agent how each of them ended.

Between the two: the agent has ``PDSUP_GUARDIAN=IN,OUT`` in its environment, two descriptors.
IN tells a line ``PID STARTED STATUS`` (clock ticks since boot, the status of wait(2)) for each
process that was reaped here, all earlier ones first. On OUT the agent says single letters: ``b``,
it has begun to run units; ``e``, they have ended, and its exit status is the guardian's too; ``r``,
it ends for another to take over at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
WATCHED = {signal.SIGCHLD, *FORWARDED}
# An agent that lived this long has earned an immediate restart.
STABLE_S = 60.0
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 30.0
# Only while a signal waits for an agent that is still starting: nothing else tells of its begin.
LOOK_S = 0.05
# What is told again to the next agent: more than any node has units.
MOST_RECORDS = 1000
UNKNOWN_STATUS = 70


class Guardian:
    """One agent after another, until one says that it has ended its units."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._agent: int | None = None
        self._status = 0  # of the last agent, as wait(2) gives it
        self._tell = self._hear = -1
        self._records: list[bytes] = []
        self._held: list[int] = []  # signals for an agent that can't take them yet
        self._sent: list[int] = []  # to the agent of now
        self._outputs: list[int] = []  # of units, pipes that agents empty
        self._began = self._ever_began = self._ended = self._replaced = False
        self._failures = 0

    def run(self) -> int:
        """The exit status of the agent that ended its units, or that never had any."""
        while True:
            started = time.monotonic()
            self._start()
            while self._agent is not None:
                self._take(self._next_signal(LOOK_S if self._held else None))
            self._listen()
            self._hold_outputs()
            self._close()
            if self._ended or not self._ever_began:
                return _exit_status(self._status)
            stable = time.monotonic() - started >= STABLE_S
            # It may have been dead already when it was sent them.
            self._held, self._sent = self._sent + self._held, []
            self._failures = 0 if stable or self._replaced else self._failures + 1
            self._pause()

    def _start(self) -> None:
        theirs_in, self._tell = os.pipe()
        self._hear, theirs_out = os.pipe()
        for descriptor in (self._tell, self._hear):
            os.set_blocking(descriptor, False)
        for descriptor in (theirs_in, theirs_out):
            os.set_inheritable(descriptor, True)
        self._began = self._ended = self._replaced = False
        self._agent = os.posix_spawn(
            self._command[0],
            self._command,
            {**os.environ, "PDSUP_GUARDIAN": f"{theirs_in},{theirs_out}"},
            setsigmask=[],
            setsigdef=WATCHED,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        for record in self._records:
            self._write(record)

    def _hold_outputs(self) -> None:
        """Keeps open what the units write through, which are orphans by now.

        What is in a pipe is gone when nobody has it open: the last words of a unit that ends
        before the next agent is there. One that has begun has opened what was held before.
        """
        before = self._outputs if self._began else []
        kept = [] if self._began else self._outputs
        self._outputs = [*kept, *(found for pid in _children() if (found := _output(pid)) >= 0)]
        for descriptor in before:
            os.close(descriptor)

    def _close(self) -> None:
        os.close(self._tell)
        os.close(self._hear)
        self._tell = self._hear = -1

    def _pause(self) -> None:
        """The first restart is immediate; meanwhile the dead are reaped and signals are kept."""
        if not self._replaced:
            _say(f"the agent {_in_words(self._status)}; its units run on, the next takes them over")
        delay = FIRST_DELAY_S * (2.0 ** (min(self._failures, 20) - 1) - 1)
        until = time.monotonic() + min(LONGEST_DELAY_S, max(0.0, delay))
        while (left := until - time.monotonic()) > 0:
            self._take(self._next_signal(left))

    def _next_signal(self, within: float | None) -> int | None:
        if within is None:
            return signal.sigwaitinfo(WATCHED).si_signo
        info = signal.sigtimedwait(WATCHED, within)
        return info.si_signo if info else None

    def _take(self, number: int | None) -> None:
        self._listen()
        self._reap()
        if number is not None and number != signal.SIGCHLD:
            self._held.append(number)
        # An agent that has units must not die of a signal before it can handle it.
        if self._agent is not None and (self._began or not self._ever_began):
            for held in self._held:
                os.kill(self._agent, held)
            self._sent += self._held
            self._held = []

    def _listen(self) -> None:
        try:
            said = os.read(self._hear, 100)
        except OSError:  # nothing said; or there is no agent
            return
        self._began |= b"b" in said
        self._ended |= b"e" in said
        self._replaced |= b"r" in said
        self._ever_began |= self._began

    def _reap(self) -> None:
        while (pid := _dead()) is not None:
            started = _started(pid)
            _, status = os.waitpid(pid, 0)
            if pid == self._agent:
                self._agent, self._status = None, status
            else:
                record = f"{pid} {started} {status}\n".encode()
                self._records = [*self._records[-MOST_RECORDS:], record]
                self._write(record)

    def _write(self, record: bytes) -> None:
        try:
            os.write(self._tell, record)
        except OSError:  # it is stuck or dead, and its successor is told everything again
            pass


def _children() -> list[int]:
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123 (as below)
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return []


def _output(pid: int) -> int:
    """The named pipe that a unit writes to, opened, or -1. Others are none of our business."""
    path = f"/proc/{pid}/fd/1"
    try:
        named = os.readlink(path).rpartition("/")[0].endswith("/output")  # noqa: PTH115 (as below)
        if named and stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116
            return os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        pass
    return -1


def _dead() -> int | None:
    """A child that has ended and is not reaped yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _started(pid: int) -> str:
    """The start time of a process, also of one that waits to be reaped."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (pathlib costs a megabyte)
        return file.read().rpartition(b")")[2].split()[19].decode()


def _exit_status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _in_words(wait_status: int) -> str:
    code = os.waitstatus_to_exitcode(wait_status)
    return f"ended with status {code}" if code >= 0 else f"was killed by signal {-code}"


def _say(sentence: str) -> None:
    try:
        os.write(2, f"pdsup: {sentence}\n".encode())
    except OSError:  # nobody reads it any more
        pass


def command(words: list[str]) -> list[str]:
    """The command line of a guardian whose agent gets the arguments ``words``.

    Nothing that ``site`` would load, and the compiled form of the guardian: it is to be small.
    """
    package = __file__[: -len("/pdsup/units/process/guardian.py")]
    program = (
        f"import sys; sys.path.append({package!r}); "
        "from pdsup.units.process.guardian import main; sys.exit(main(sys.argv[1:]))"
    )
    agent = [sys.executable, "-m", "pdsup.launch", *words]
    return [sys.executable, "-I", "-S", "-c", program, *agent]


def main(command: list[str]) -> int:
    """Guards ``command`` until it has ended for good."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        _say("cannot guard the agent: the kernel has no child subreapers (Linux >= 3.4)")
        return UNKNOWN_STATUS
    return Guardian(command).run()
