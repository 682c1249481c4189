"""Units run by a real supervising process; whatever a test leaves behind is found and ended."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pdsup.node.assignment import AssignedUnit
from pdsup.plan.model import Log, PlanUnit, Restart, Stop
from tests.bed.addresses import address

HERE = Path(__file__).parent
LIMIT = 60.0  # seconds, for anything that is going to happen
NASTY = (sys.executable, "-S", str(HERE / "nasty.py"))
_names = itertools.count(1)


def poll(true: Callable[[], Any], what: str = "the condition") -> Any:
    """The first true value of ``true``, which must come soon."""
    end = time.monotonic() + LIMIT
    while not (value := true()):
        assert time.monotonic() < end, f"{what} did not come within {LIMIT} s"
        time.sleep(0.003)
    return value


@dataclass(frozen=True)
class News:
    """What the supervising process told of a unit."""

    unit: str
    state: str
    reason: str
    detail: str
    log_problem: str
    pid: int | None
    run: int
    last: str | None
    event: str | None


class Supervising:
    """The process under test. Everything that its units start stays below it: it is a subreaper."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.news: dict[str, list[News]] = {}
        self.survivors: list[int] | None = None
        self._errors = (directory / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.host.supervise", str(directory)],
            cwd=HERE.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self._arrived = threading.Condition()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            facts = json.loads(line)
            with self._arrived:
                if "unit" in facts:
                    self.news.setdefault(facts["unit"], []).append(News(**facts))
                else:
                    self.survivors = facts.get("survivors", self.survivors)
                self._arrived.notify_all()

    def do(self, command: str, *words: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([command, *words]) + "\n")
        self.process.stdin.flush()

    def wait_for(self, true: Callable[[], Any], what: Callable[[], str]) -> Any:
        """Looks at each news, and now and then for conditions that no news tells of."""
        end = time.monotonic() + LIMIT
        with self._arrived:
            while not (value := true()):
                assert self.process.poll() is None, f"it has ended: {self.errors()}"
                assert time.monotonic() < end, f"not within {LIMIT} s: {what()}"
                self._arrived.wait(0.05)
        return value

    def errors(self) -> str:
        """What went wrong inside, which must be nothing."""
        return (self.directory / "stderr").read_text()

    def children(self) -> list[psutil.Process]:
        """Every living process below it, as seen from outside."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def close(self) -> None:
        """Ends it by the end of its stdin; then nothing of it is left, whatever happened."""
        left = self.children()
        try:
            assert self.process.stdin is not None
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            self.process.wait(LIMIT)
        finally:
            end(self.process.pid)
            for process in left:
                end(process.pid, process.create_time())
            self.process.wait(LIMIT)
            self._reading.join(LIMIT)
            self.process.stdout.close()
            self._errors.close()


def end(pid: int, created: float | None = None) -> None:
    """SIGKILL to a process that a test started, unless it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if created is None or process.create_time() == created:
            process.kill()


@pytest.fixture
def begin_supervising(tmp_path: Path) -> Iterator[Callable[[], Supervising]]:
    """Starts supervising processes that a test may end as it likes."""
    made: list[Supervising] = []

    def begin() -> Supervising:
        directory = tmp_path / f"supervising-{len(made)}"
        directory.mkdir()
        made.append(Supervising(directory))
        return made[-1]

    yield begin
    for one in made:
        one.close()


@dataclass
class Unit:
    """One unit, and what a test does with it."""

    name: str
    supervising: Supervising
    plan: PlanUnit
    log: Path
    file: Path  # where its processes announce their pids

    @property
    def news(self) -> list[News]:
        return self.supervising.news.get(self.name, [])

    @property
    def states(self) -> list[str]:
        """The public states it went through, in order."""
        return [state for state, _ in itertools.groupby(news.state for news in self.news)]

    def do(self, command: str, *words: Any) -> Unit:
        self.supervising.do(command, self.name, *words)
        return self

    def start(self) -> Unit:
        return self.do("start")

    def stop(self) -> Unit:
        return self.do("stop")

    def until(self, state: str, true: Callable[[News], Any] = lambda news: True) -> News:
        """The newest news, when it is of this state and true."""
        self.supervising.wait_for(
            lambda: self.news and self.news[-1].state == state and true(self.news[-1]),
            lambda: f"{self.name} {state}; {self.news[-3:]}",
        )
        return self.news[-1]

    def ever(self, true: Callable[[News], Any]) -> News:
        """The first news that is true."""
        return self.supervising.wait_for(
            lambda: next((news for news in self.news if true(news)), None),
            lambda: f"{self.name}: {self.news[-3:]}",
        )

    def pids(self, count: int = 1) -> list[int]:
        """What its processes announced, when at least so many did."""
        return poll(
            lambda: (
                self.file.exists()
                and len(pids := [int(pid) for pid in self.file.read_text().split()]) >= count
                and pids
            ),
            f"{count} pids in {self.file}",
        )

    def end(self) -> None:
        """Down, by force and soon; nothing of it is left."""
        self.do("hurry", 0.0)
        self.until_settled()

    def until_settled(self) -> None:
        self.supervising.wait_for(
            lambda: not self.news or self.news[-1].state in ("STOPPED", "EXITED"),
            lambda: f"{self.name} settled; {self.news[-3:]}",
        )


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for a condition."""
    return poll


@pytest.fixture
def gone() -> Callable[..., bool]:
    """Whether none of the processes is left, not even as a zombie."""
    return lambda *pids: not any(psutil.pid_exists(pid) for pid in pids)


@pytest.fixture(scope="module")
def supervising(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervising]:
    """One for the tests of a module."""
    made = Supervising(tmp_path_factory.mktemp("supervising"))
    try:
        yield made
        assert made.errors() == ""
    finally:
        made.close()


class Make(list[Unit]):
    """Makes units of one supervising process."""

    def __init__(self, supervising: Supervising, directory: Path) -> None:
        super().__init__()
        self._supervising = supervising
        self._directory = directory

    def __call__(
        self,
        *command: str,
        stop_s: float = 5.0,
        log: Path | None = None,
        env: dict[str, str] | None = None,
        address: str = "127.0.0.1",
        bind: str = "address",
        restart: Restart | None = None,
        log_settings: Log | None = None,
        **plan: Any,
    ) -> Unit:
        """A unit that runs a nasty child (first word: its kind) or, with a path, any program.

        ``{file}`` in the command is where the child announces its pid. It does not restart unless
        ``restart`` says so.
        """
        name = f"unit-{next(_names)}"
        file = self._directory / f"{name}.pids"
        words = tuple(word.replace("{file}", str(file)) for word in command)
        described = PlanUnit(
            name=name,
            kind="service",
            node="node0",
            command=words if "/" in words[0] else (*NASTY, *words),
            restart=restart or Restart(policy="never"),
            stop=plan.pop("stop", Stop(timeout_s=stop_s)),
            log=log_settings or Log(),
            **plan,
        )
        path = log or self._directory / f"{name}.out"
        assigned = AssignedUnit(
            plan=described,
            command=described.command,
            env={**os.environ, **(env or {})},
            log_path=str(path),
            pipe_path=str(self._directory / "output" / name),
            address=address,
            bind=bind,
        )
        self._supervising.do("add", base64.b64encode(pickle.dumps(assigned)).decode())
        self.append(Unit(name, self._supervising, described, path, file))
        return self[-1]


@pytest.fixture
def make(supervising: Supervising, tmp_path: Path) -> Iterator[Make]:
    """Makes units; at the end they are down and no process of theirs is left."""
    made = Make(supervising, tmp_path)
    try:
        yield made
        for unit in made:
            unit.end()
        poll(lambda: not supervising.children(), "the end of every process of the units")
    finally:
        for process in supervising.children():
            end(process.pid, process.create_time())


@pytest.fixture
def make_in(tmp_path: Path) -> Callable[[Supervising], Make]:
    """Makes units of a given supervising process."""
    return lambda supervising: Make(supervising, tmp_path)


@pytest.fixture
def stranger() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts processes that no unit is related to, and ends them."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        """A nasty kind, which has said its first line when this returns."""
        process = subprocess.Popen(
            [*NASTY, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
