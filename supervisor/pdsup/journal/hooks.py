"""Runs the hooks of the plan: commands and HTTP posts about events of this node.

Hooks are foreign code and foreign servers: they hang, fail, fork, and flood their output. None of
this may delay supervision, fill the memory, or leave a process behind. So every hook has a queue
of its own, bounded, and gets one event at a time within its time limit; when the queue is full,
events are dropped, counted and logged. A command reads its event from a file in memory, not from a
pipe, so that nothing waits for a command that does not read; its output goes to another one of
fixed size; and when it ends or times out its whole process tree is killed, like a unit's. Errors
are logged once per reason, with secrets masked, and have no other effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from ssl import SSLContext

import aiohttp

from pdsup.journal import hook_events, https
from pdsup.journal.news import Log
from pdsup.node.assignment import RUN_VARIABLE, Assignment, filled
from pdsup.plan import hooks
from pdsup.plan.model import Hook, HookEvent
from pdsup.times import duration
from pdsup.units.probes import http
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.holders import cause
from pdsup.units.process.reap import Reaper
from pdsup.units.process.spawn import KILLED_S, Spawner
from pdsup.units.process.tree import Trace

# Grace period for deliveries in flight when the agent exits.
END_S = 2.0
# How many bytes a command may write; beyond that its writes fail.
MOST_OUTPUT = 1 << 16
NO_SESSION = -1


class Hooks:
    """All hooks of one agent, independent of each other."""

    def __init__(
        self,
        assignment: Assignment,
        spawner: Spawner,
        reaper: Reaper,
        session: aiohttp.ClientSession,
        log: Log,
        *,
        inherited: bool,
    ) -> None:
        """``inherited``: commands of an earlier agent may still be running."""
        self._cluster = assignment.plan.name
        self._mark = f"{assignment.run_name}/{assignment.place.node}.hooks"
        self._inherited = inherited
        self._place = assignment.place
        self._spawner = spawner
        self._reaper = reaper
        self._session = session
        self._https: SSLContext | None = None
        self._hooks = [
            (
                frozenset(hook.events),
                Delivery(f"hooks.{index}: {hooks.shown(hook)}", self._way(index, hook), log),
            )
            for index, hook in enumerate(assignment.plan.hooks)
        ]

    def tell(self, event: HookEvent, line: str) -> None:
        """Queues the journal's ``line`` for the hooks that subscribe to ``event``."""
        subscribed = [delivery for events, delivery in self._hooks if event in events]
        if subscribed:
            text = hook_events.text(event, self._cluster, line)
            for delivery in subscribed:
                delivery.take(text)

    async def run(self) -> None:
        """Delivers events until cancelled; then no process of a command is left."""
        if self._inherited:
            await self._end_inherited()
        async with asyncio.TaskGroup() as tasks:
            for _, delivery in self._hooks:
                tasks.create_task(delivery.run())

    async def _end_inherited(self) -> None:
        """Kills the commands of an agent that was killed, as nothing limits their time now."""
        for index, _ in enumerate(self._hooks):
            trace = Trace(f"{self._mark}.{index}/0", NO_SESSION, None, anywhere=True)
            await self._reaper.end(trace, KILLED_S)

    async def finish(self) -> None:
        """Returns when everything has been delivered, or after ``END_S`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                for _, delivery in self._hooks:
                    await delivery.finish()

    def _way(self, index: int, hook: Hook) -> Callable[[bytes], Awaitable[str | None]]:
        if hook.command:
            return functools.partial(self._execute, f"{self._mark}.{index}/0", hook)
        return functools.partial(self._post, hook)

    async def _post(self, hook: Hook, text: bytes) -> str | None:
        url = hook.url or self._place.environ.get(hook.url_env or "", "")
        if not hooks.usable(url):
            return f"the environment variable {hook.url_env} contains no URL"
        try:
            if url.lower().startswith("https:"):
                self._https = self._https or await https.context(hook.timeout_s)
            async with self._session.post(
                url,
                ssl=self._https or True,
                data=text,
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=hook.timeout_s),
                allow_redirects=False,
            ) as answer:
                return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"
        except (OSError, ValueError, aiohttp.ClientError) as error:
            return hooks.masked(http.cause(error))

    async def _execute(self, mark: str, hook: Hook, text: bytes) -> str | None:
        command = tuple(filled(word, self._place) for word in hook.command)
        try:
            with _reading(text) as stdin, _written() as output:
                status = await self._run(command, mark, stdin, output, hook.timeout_s)
                words = _last_words(output)
        except OSError as error:  # it may also be that there are no descriptors left
            return hooks.masked(cause(error))
        if status is None:
            return f"killed after {duration(hook.timeout_s)}"
        if status.code == 0:
            return None
        return f"{status}: {words}" if words else str(status)

    async def _run(
        self, command: tuple[str, ...], mark: str, stdin: int, output: int, within: float
    ) -> ExitStatus | None:
        """Runs a command; returns its exit status, or None if it took over ``within`` seconds. Then
        kills whatever is left of it. Raises OSError if it cannot be started.
        """
        ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        tag = self._spawner.next_tag()
        place = self._place
        env = {**place.environ, RUN_VARIABLE: mark, "PDSUP_RUN_DIR": place.run_dir}
        process = self._spawner.spawn(command, env, output, ended.set_result, tag, stdin)
        try:
            await asyncio.wait({ended}, timeout=within)
            return ended.result() if ended.done() else None
        finally:
            self._reaper.kill_tree(process.pid)
            await asyncio.wait({ended}, timeout=KILLED_S)
            await self._reaper.end(Trace(mark, process.pid, process.tag), KILLED_S)


@contextlib.contextmanager
def _reading(text: bytes) -> Iterator[int]:
    """A descriptor from which ``text`` can be read; not a pipe, which a command may not empty."""
    with os.fdopen(os.memfd_create("event"), "w+b") as file:
        file.write(text)
        file.seek(0)
        yield file.fileno()


@contextlib.contextmanager
def _written() -> Iterator[int]:
    """A descriptor that takes ``MOST_OUTPUT`` bytes and need not be emptied."""
    descriptor = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, MOST_OUTPUT)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        yield descriptor
    finally:
        os.close(descriptor)


def _last_words(output: int) -> str:
    said = os.pread(output, MOST_OUTPUT, 0).rstrip(b"\0").decode(errors="replace").strip()
    return hooks.masked(said.splitlines()[-1][:200]) if said else ""


# How many events may wait for a slow hook; later ones would be out of date when their turn came.
MOST_WAITING = 100


class Delivery:
    """The queue of one hook. ``deliver`` delivers one event, and returns why it could not."""

    def __init__(
        self, name: str, deliver: Callable[[bytes], Awaitable[str | None]], log: Log
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._log = log
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._missed = 0
        self._failures = 0
        self._problem: str | None = None

    def take(self, event: bytes) -> None:
        """Queues an event without waiting; if the queue is full, drops it and counts it."""
        if len(self._waiting) >= MOST_WAITING:
            if not self._missed:
                self._log.warning("hook is too slow and misses events", hook=self._name)
            self._missed += 1
            return
        self._waiting.append(event)
        self._idle.clear()
        self._news.set()

    async def run(self) -> None:
        """Delivers events until cancelled."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    self._judge(await self._delivered(self._waiting.popleft()))
                self._tell_missed()
                self._idle.set()
        finally:
            self._missed += len(self._waiting)
            self._tell_missed()

    async def _delivered(self, event: bytes) -> str | None:
        try:
            return await self._deliver(event)
        except Exception as error:  # a hook is foreign code on a foreign machine
            return hooks.masked(repr(error))

    async def finish(self) -> None:
        """Returns when the queue is empty."""
        await self._idle.wait()

    def _judge(self, problem: str | None) -> None:
        """Logs a failing hook once per reason, and once when it works again."""
        before, self._problem = self._problem, problem
        if problem is None:
            if self._failures:
                self._log.info("hook works again", hook=self._name, failed=self._failures)
            self._failures = 0
            return
        self._failures += 1
        if problem != before:
            self._log.warning("hook failed", hook=self._name, cause=problem)

    def _tell_missed(self) -> None:
        if self._missed:
            self._log.warning("hook missed events", hook=self._name, missed=self._missed)
            self._missed = 0
