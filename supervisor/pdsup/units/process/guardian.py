"""The guardian: a tiny process above the agent that restarts it and reaps what it leaves behind.

The agent can crash or be killed at any moment while models that took half an hour to load are
serving. Its units must not die with it, and none of their exits may be missed. So the guardian, not
the agent, is the Slurm task and the child subreaper: units whose agent was killed become its
children, it reaps them, and it tells the next agent how each of them ended. It must never fail
itself, which is why it decides so little, and it lives on every node as long as the run does, which
is why it imports as little of the standard library as it can (it should stay below 10 MB).

The guardian restarts the agent until one says that it has stopped its units: that agent's exit
status becomes its own. If the first agent ends before it has run any unit, its arguments or its
plan are wrong and it is not restarted. Signals are forwarded with the pid of their sender, but held
back while a restarted agent is not ready for them: it would die of them. Those that mean nothing to
an agent are ignored.

An agent may also stand still: somebody stopped it, or a file system hangs under it. It beats while
its loop moves, and one that misses its beats for 10 to 15 seconds is killed and restarted. Neither
must happen because the whole machine paused: what the guardian did not see running does not count.

Protocol: the agent finds descriptors in ``PDSUP_GUARDIAN=IN,OUT,COPY``. From IN it reads a line
``PID STARTED STATUS`` (STARTED in clock ticks since boot, STATUS as from wait(2)) for each process
that the guardian has reaped, those reaped for earlier agents included. To OUT it writes single
letters: ``b``, it has begun to run units; ``e``, they have ended; ``r``, it exits so that another
agent takes over at once; ``w``, its loop moves, if ``PDSUP_WATCHDOG`` is set: a guardian of 0.1.0
does not read it often enough for that. COPY is a nameless file for a copy of the ledger, which the
guardian only holds for the next agent; -1 where the kernel has no such files.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
FORWARDED = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1}
# All signals that end a process unless it does something about them, but those that can't be
# handled, and those of a defect.
ENDING = signal.valid_signals() - {
    signal.SIGKILL, signal.SIGSTOP,
    signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS,
    signal.SIGTRAP, signal.SIGPIPE, signal.SIGXFSZ,
    signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG,
    signal.SIGWINCH,
}  # fmt: skip
# These mean nothing to guardian and agent, and must not end them either.
STRAY = ENDING - FORWARDED
WATCHED = {signal.SIGCHLD, *FORWARDED, *STRAY}
WAITED = {signal.SIGALRM, *WATCHED}  # its own timer
# An agent that ran for this long is restarted without delay.
STABLE_S = 60.0
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 30.0
# How often to check whether a starting agent can take signals; only while one is held back.
LOOK_S = 0.05
SHORTEST_S = 1e-6  # a timer of 0 never rings
# How often to look for beats, which come every 2 s; not at all below an agent that sends none.
CHECK_S = 5.0
# After so many looks in a row without a beat the agent is replaced.
MOST_MISSED = 2
# How many exits the next agent is told of: more than any node has units.
MOST_RECORDS = 1000
UNKNOWN_STATUS = 70


# Its number, and the pid of its sender.
Signal = tuple[int, int]


class Guardian:
    """Runs one agent after another, until one says that its units have ended."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._agent: int | None = None
        self._status = 0  # of the last agent, as wait(2) gives it
        self._tell = self._hear = -1
        self._records: list[bytes] = []
        self._held: list[Signal] = []  # those for an agent that cannot handle them yet
        self._sent: list[Signal] = []  # those that the current agent was sent
        self._outputs: list[int] = []  # log pipes of units, which the agent reads
        self._began = self._ever_began = self._ended = self._replaced = False
        self._beats = self._beat = False  # the current agent ever did; it did since the last look
        self._look_at = 0.0
        self._missed = 0
        self._failures = 0
        self._copy = _nameless_file()

    def run(self) -> int:
        """Returns the exit status of the agent that ended its units, or that never had any."""
        while True:
            started = time.monotonic()
            self._start()
            while self._agent is not None:
                self._take(self._next_signal(self._patience()))
                self._watch()
            self._listen()
            self._hold_outputs()
            self._close()
            if self._ended or not self._ever_began:
                return _exit_status(self._status)
            stable = time.monotonic() - started >= STABLE_S
            # It may have been dead already when they were sent.
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
        self._began = self._ended = self._replaced = self._beats = self._beat = False
        self._missed = 0
        self._agent = os.posix_spawn(
            self._command[0],
            self._command,
            {
                **os.environ,
                "PDSUP_GUARDIAN": f"{theirs_in},{theirs_out},{self._copy}",
                "PDSUP_WATCHDOG": "1",
            },
            setsigmask=[],
            setsigdef=WATCHED,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        for record in self._records:
            self._write(record)

    def _hold_outputs(self) -> None:
        """Keeps the log pipes of the units, orphans by now, open until the next agent has them.

        The content of a pipe is lost when the last descriptor closes: the last output of a unit
        that ends before the next agent is there. An agent that has begun has opened the pipes that
        were held for it.
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
        """Waits before a restart, except the first one; keeps reaping and collecting signals."""
        if not self._replaced:
            _say(f"the agent {_in_words(self._status)}; restarting it, its units keep running")
        delay = FIRST_DELAY_S * (2.0 ** (min(self._failures, 20) - 1) - 1)
        until = time.monotonic() + min(LONGEST_DELAY_S, max(0.0, delay))
        while (left := until - time.monotonic()) > 0:
            self._take(self._next_signal(left))

    def _patience(self) -> float | None:
        if self._held:
            return LOOK_S
        return max(0.0, self._look_at - time.monotonic()) if self._beats else None

    def _watch(self) -> None:
        """Kills an agent that does not move, so that another one takes over its units."""
        now = time.monotonic()
        if not self._beats or self._ended or now < self._look_at:
            return
        paused = now - self._look_at > CHECK_S  # so was this process
        self._missed = 0 if self._beat or paused else self._missed + 1
        self._beat, self._look_at = False, now + CHECK_S
        if self._missed >= MOST_MISSED and self._agent is not None:
            self._missed = 0
            _say(f"the agent has not moved for {MOST_MISSED * CHECK_S:g} s")
            os.kill(self._agent, signal.SIGKILL)

    def _next_signal(self, within: float | None) -> Signal | None:
        """The next one; None if the time is over, perhaps that of an earlier call.

        Not by sigtimedwait: if this process is stopped meanwhile (by a debugger, a frozen cgroup)
        and continued after that time, Python returns whatever the memory of its answer held.
        """
        if within is not None:
            signal.setitimer(signal.ITIMER_REAL, max(within, SHORTEST_S))
        found = signal.sigwaitinfo(WAITED)
        return None if found.si_signo == signal.SIGALRM else (found.si_signo, found.si_pid)

    def _take(self, new: Signal | None) -> None:
        self._listen()
        self._reap()
        if new is not None and new[0] in FORWARDED:
            self._held.append(new)
        elif new is not None and new[0] in STRAY:
            _say(f"signal {new[0]} from pid {new[1]} is ignored")
        # An agent that has units must not die of a signal that it cannot handle yet.
        if self._agent is not None and (self._began or not self._ever_began):
            for held in self._held:
                _forward(self._agent, *held)
            self._sent += self._held
            self._held = []

    def _listen(self) -> None:
        try:
            said = os.read(self._hear, 1 << 12)
        except OSError:  # nothing to read, or no agent
            return
        self._began |= b"b" in said
        self._ended |= b"e" in said
        self._replaced |= b"r" in said
        self._ever_began |= self._began
        if b"w" in said:
            if not self._beats:
                self._look_at = time.monotonic() + CHECK_S
            self._beats = self._beat = True

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
        except OSError:  # it is stuck or dead; its successor is told everything again
            pass


def _nameless_file() -> int:
    try:
        copy = os.memfd_create("pdsup ledger")
    except OSError:
        return -1
    os.set_inheritable(copy, True)
    return copy


def _forward(pid: int, number: int, sender: int) -> None:
    """Sends a signal with the pid of its first sender, as sigqueue(3) allows."""
    import ctypes  # late, as in ``main``

    if ctypes.CDLL(None).sigqueue(pid, number, ctypes.c_void_p(sender)):
        os.kill(pid, number)  # too many signals are queued


def _children() -> list[int]:
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123 (as below)
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return []


def _output(pid: int) -> int:
    """Opens the log pipe that a unit writes to; -1 if it writes elsewhere."""
    path = f"/proc/{pid}/fd/1"
    try:
        named = os.readlink(path).rpartition("/")[0].endswith("/output")  # noqa: PTH115 (as below)
        if named and stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116
            return os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        pass
    return -1


def _dead() -> int | None:
    """The pid of a child that has ended and is not reaped yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _started(pid: int) -> str:
    """The start time of a process, which may be a zombie."""
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
    except OSError:  # stderr is closed
        pass


def command(words: list[str]) -> list[str]:
    """The command line of a guardian whose agent gets the arguments ``words``.

    To stay small the guardian runs without ``site`` and is imported, not executed, so that its
    compiled form is used. The agent runs no file such as random.py of the current directory
    (``-P``); in its environment, the same would change what its units can import.
    """
    package = __file__[: -len("/pdsup/units/process/guardian.py")]
    program = (
        f"import sys; sys.path.append({package!r}); "
        "from pdsup.units.process.guardian import main; sys.exit(main(sys.argv[1:]))"
    )
    agent = [sys.executable, "-P", "-m", "pdsup.launch", *words]
    return [sys.executable, "-I", "-S", "-c", program, *agent]


def main(command: list[str]) -> int:
    """Runs the agent ``command`` until it has ended for good; returns its exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)
    import ctypes  # late: `pdsup agent` and `pdsup up` import this file only for ``command``

    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        _say("cannot guard the agent: the kernel has no child subreapers (Linux >= 3.4)")
        return UNKNOWN_STATUS
    return Guardian(command).run()
