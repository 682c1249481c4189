"""This node's journal, to which its agent appends from a thread of its own.

The run directory is on a file system that may be full, vanish, or hang for minutes, and none of
that may stop supervision. So the loop only puts news into a queue, and a daemon thread writes them;
where it blocks for ever, it keeps nothing else from going on, not even the agent's end. Lines that
can't be written wait in order. Above ``MOST_WAITING`` the oldest are lost, and once there is room
again a line says how many, since when, and why.

An agent that is killed loses what is in its queue, but the ledger has it: each line was noted there
before it came here, and stays there for as long as it waits here. The successor puts the noted ones
first, and adds those that are later than the last line of the journal: moments never go back from
one line to the next.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pdsup import clock
from pdsup.files import make_directory, open_regular
from pdsup.journal import entry
from pdsup.journal.entry import Entry, Loss
from pdsup.node.assignment import Place
from pdsup.threads import apart
from pdsup.units.facts import Line

# Two restarts of everything on a large node; a few megabytes.
MOST_WAITING = 2000
MOST_AT_ONCE = 200
# How long lines are gathered. Whenever the loop writes a file, a thread that runs takes the
# interpreter away from it for milliseconds; so it is woken when a burst of steps is over. Sooner
# than a command that is typed then can read the journal.
GATHER_S = 0.02
# How often to try while the journal can't be written: there is no event when a disk has room again.
RETRY_S = 1.0
# How much of a journal's end to read at first: more than a hundred lines.
END_BYTES = 1 << 16


Later = Callable[[float, Callable[[], None]], object]


def _at_once(within: float, call: Callable[[], None]) -> None:
    call()


class OwnJournal:
    """Appends to ``events/NODE.jsonl`` of the run directory. ``written``: the moment of the last
    line that this agent has written, in monotonic seconds.
    """

    def __init__(
        self, place: Place, tell: Callable[[str], None], mode: int = 0o644, later: Later = _at_once
    ) -> None:
        """``mode``: that of the file, where there is none yet. ``tell`` is called from the thread
        with why the journal can't be written, once for each cause, and with "" when it can again.
        ``later`` calls something after some seconds, in the thread that writes to this journal.
        """
        self._node = place.node
        self._boot = clock.boot()
        self.path = Path(place.run_dir, "events", f"{place.node}.jsonl")
        self._tell = tell
        self._mode = mode
        self._later = later
        self._changed = threading.Condition()
        self._waiting: deque[Line] = deque()
        self._in_hand: Sequence[Line] = ()
        self.written = 0.0
        self._due = True  # whether it is time to write what waits
        self._lost, self._lost_since = 0, 0.0
        self._problem = ""
        self._thread: threading.Thread | None = None
        self._closing = False
        # Only of the thread:
        self._whole = False  # whether the last line is known to be complete
        self._earlier: float | None = None  # when an earlier agent wrote its last line

    async def ended_at(self, within: float) -> float | None:
        """The moment of the last line that an earlier agent wrote, in monotonic seconds; minus
        infinity if there is none, None if that is not known within ``within`` seconds.
        """
        if not self._waiting:
            return float("-inf")
        with contextlib.suppress(OSError):  # a TimeoutError too
            return await apart(self._last_moment, within)
        return None

    async def last_runs(self, within: float) -> Mapping[str, int]:
        """The highest number of a run of each unit that earlier agents wrote; empty if that is not
        known within ``within`` seconds.
        """
        with contextlib.suppress(OSError):  # a TimeoutError too
            return await apart(self._last_runs, within)
        return {}

    def resume(self, lines: Sequence[Line]) -> None:
        """Queues what an earlier agent noted; call it first."""
        self._waiting.extend(lines)

    def begin(self) -> None:
        """Begins to write what waits, and what comes."""
        self._thread = threading.Thread(target=self._work, daemon=True, name="journal")
        self._thread.start()

    def write(self, line: Line) -> None:
        """Queues a line."""
        with self._changed:
            self._waiting.append(line)
            self._lose_surplus()
            if len(self._waiting) == 1:
                self._due = False
                self._later(GATHER_S, self._rouse)

    def _rouse(self) -> None:
        with self._changed:
            self._due = True
            self._changed.notify_all()

    def waiting(self) -> list[Line]:
        """The lines that are not written yet, in order."""
        with self._changed:
            return [*self._in_hand, *self._waiting]

    async def close(self, within: float) -> None:
        """Returns when everything is written, or can't be, or after ``within`` seconds."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            with contextlib.suppress(TimeoutError):
                await apart(thread.join, within)

    # -- in the thread --------------------------------------------------------------------------

    def _work(self) -> None:
        while lines := self._next():
            problem = self._append(lines)
            self._put_down(lines if problem else ())
            if problem != self._problem:
                self._problem = problem
                self._tell(problem)
            with self._changed:
                if problem and not self._closing:
                    self._changed.wait_for(lambda: self._closing, RETRY_S)
                elif problem:
                    return

    def _next(self) -> Sequence[Line]:
        """Waits for lines and takes some; none if the journal is closed."""
        with self._changed:
            self._changed.wait_for(lambda: (self._due and self._waiting) or self._closing)
            # There may be room for one line where there is none for many.
            count = min(len(self._waiting), 1 if self._problem else MOST_AT_ONCE)
            self._in_hand = [self._waiting.popleft() for _ in range(count)]
            return self._in_hand

    def _put_down(self, unwritten: Sequence[Line]) -> None:
        with self._changed:
            if not unwritten:
                self.written = self._in_hand[-1].moment
            self._in_hand = ()
            self._waiting.extendleft(reversed(unwritten))
            self._due |= bool(unwritten)
            self._lose_surplus()

    def _lose_surplus(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            lost = self._waiting.popleft()
            self._lost_since = self._lost_since if self._lost else lost.wall
            self._lost += 1

    def _append(self, lines: Sequence[Line]) -> str:
        """Appends all of the lines or none; returns why that failed, "" if it did not."""
        try:
            with contextlib.suppress(FileNotFoundError):
                return self._append_to_file(lines)
            make_directory(self.path.parent)
            return self._append_to_file(lines)
        except OSError as error:
            return error.strerror or str(error)

    def _append_to_file(self, lines: Sequence[Line]) -> str:
        if self._earlier is None and any(line.late for line in lines):
            self._earlier = self._last_moment()
        earlier = self._earlier or 0.0
        due = [line for line in lines if not (line.late and line.moment <= earlier)]
        if not due:
            return ""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        file = open_regular(self.path, flags, self._mode)
        try:
            size = os.fstat(file).st_size
            text = "".join(line.text for line in due)
            # A line that an agent which was killed has cut short must not spoil the next one.
            start = "" if self._whole or _ends_whole(file, size) else "\n"
            lost = self._lost
            data = f"{start}{self._loss(lost, due)}{text}".encode()
            if os.write(file, data) < len(data):
                self._whole = False
                os.ftruncate(file, size)
                return os.strerror(errno.ENOSPC)
            self._whole = True
        finally:
            os.close(file)
        with self._changed:
            self._lost -= lost
        return ""

    def _loss(self, count: int, due: Sequence[Line]) -> str:
        if not count:
            return ""
        loss = Loss(count, round(self._lost_since, 6), self._problem or "no room for them")
        return entry.loss_line(loss, self._node, due[0].moment, due[0].wall, self._boot)

    def _last_runs(self) -> dict[str, int]:
        found: dict[str, int] = {}
        with os.fdopen(open_regular(self.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            for each in map(entry.parse, file):
                if each is not None and each.unit and each.run:
                    found[each.unit] = max(each.run, found.get(each.unit, 0))
        return found

    def _last_moment(self) -> float:
        """The monotonic seconds of the last line; minus infinity if there is none."""
        most = END_BYTES
        while True:
            try:
                file = open_regular(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return float("-inf")
            with os.fdopen(file, "rb") as opened:
                opened.seek(max(0, opened.seek(0, os.SEEK_END) - most))
                end = opened.read()
            entries = map(entry.parse, reversed(end.splitlines()))
            ours = (each for each in entries if each and each.boot in ("", self._boot))
            moment = next((each.raw["monotonic"] for each in ours if _has_moment(each)), None)
            if moment is not None or len(end) < most:
                return float("-inf") if moment is None else float(moment)
            most *= 8


def _ends_whole(file: int, size: int) -> bool:
    return not size or os.pread(file, 1, size - 1) == b"\n"


def _has_moment(line: Entry) -> bool:
    return isinstance(line.raw.get("monotonic"), int | float)
