"""What a unit writes to its pipe, while the agent that empties it is killed or can't write."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdsup.plan.model import Log
from pdsup.units.logs import files, rotate
from pdsup.units.logs import pipe as forwarding
from pdsup.units.logs.pipe import CAPACITY, LogPipe
from pdsup.units.logs.rotate import LogWriter

HERE = Path(__file__).parent
LIMIT = 60.0


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def log_of(path: Path) -> bytes:
    """All parts, the oldest first."""
    ages = files.ages(path.name, (entry.name for entry in path.parent.iterdir()))
    parts = [Path(files.aged(str(path), age)) for age in sorted(ages, reverse=True)]
    return b"".join(part.read_bytes() for part in parts)


class One:
    """A unit's pipe and log."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "logs" / "one.out"
        self.pipe = directory / "state" / "output" / "one"
        self.told: list[str] = []
        self.writer = LogWriter(str(self.log), Log(mode="pipe"))
        self.forwarder = LogPipe("one", self.pipe, self.writer, self.told.append)
        self._outputs: list[int] = []

    def begin(self, marker="=== begins\n") -> int:
        self._outputs.append(self.forwarder.begin(marker))
        return self._outputs[-1]

    async def until(self, true) -> None:
        async with asyncio.timeout(LIMIT):
            while not true():  # noqa: ASYNC110 (what a file holds rings no bell)
                await asyncio.sleep(0.001)

    async def has(self, text: str) -> None:
        await self.until(lambda: self.log.exists() and self.log.read_text() == text)

    def close(self) -> None:
        self.forwarder.end()
        while self._outputs:
            os.close(self._outputs.pop())


@pytest.fixture
async def make(tmp_path):
    """Makes units; in the end all their descriptors are closed."""
    made = []

    def make():
        made.append(One(tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def one(make, monkeypatch):
    monkeypatch.setattr(rotate, "LOOK_S", 0.0)
    monkeypatch.setattr(forwarding, "RETRY_S", 0.02)
    monkeypatch.setattr(forwarding, "DROP_S", 0.05)
    return make()


async def test_what_is_written_comes_after_the_marker(one):
    output = one.begin()
    os.write(output, b"1\n")
    await one.has("=== begins\n1\n")
    os.write(output, b"2\n")
    await one.has("=== begins\n1\n2\n")
    assert one.told == []


async def test_a_unit_may_write_while_no_agent_is_there(one, make):
    output = one.begin()
    one.forwarder.end()
    os.write(output, b"alone\n")
    another = make()
    assert another.forwarder.resume()
    await one.has("=== begins\nalone\n")


async def test_what_a_run_left_comes_before_the_marker_of_the_next(one, make):
    output = one.begin("=== 1\n")
    one.forwarder.end()
    os.write(output, b"last words")
    make().begin("=== 2\n")
    await one.has("=== 1\nlast words\n=== 2\n")


async def test_at_the_end_everything_is_moved_and_closed(one):
    before = descriptors()
    output = one.begin()
    text = b"x" * CAPACITY
    assert os.write(output, text) == len(text)
    one.close()
    assert one.log.read_bytes() == b"=== begins\n" + text
    assert descriptors() == before


@pytest.mark.processes
async def test_a_pipe_that_lost_its_name_is_found_at_the_unit_that_writes_to_it(one, make):
    output = one.begin()
    one.forwarder.end()
    unit = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=output)  # noqa: ASYNC220
    one.pipe.unlink()
    another = make()
    assert not another.forwarder.resume(os.getpid())
    assert another.forwarder.resume(unit.pid)
    unit.communicate(b"nameless\n", 60)
    await one.has("=== begins\nnameless\n")


async def test_a_unit_without_a_pipe_is_not_resumed(one):
    assert not one.forwarder.resume()
    one.pipe.parent.mkdir(parents=True)
    one.pipe.write_text("no pipe")
    assert not one.forwarder.resume()


async def test_a_pipe_is_only_for_its_owner(one):
    one.pipe.parent.mkdir(parents=True)
    one.pipe.write_text("no pipe")
    one.begin()
    assert one.pipe.is_fifo()
    assert one.pipe.stat().st_mode & 0o077 == 0


async def test_a_quiet_unit_costs_nothing(one, monkeypatch):
    os.write(one.begin(), b"1\n")
    await one.has("=== begins\n1\n")
    turns = []
    await one.until(lambda: one.forwarder._timer is None)
    monkeypatch.setattr(one.forwarder, "_move", lambda most: turns.append(most) or 0)
    loop = asyncio.get_running_loop()
    quiet = loop.time() + 0.1
    await one.until(lambda: loop.time() > quiet)
    assert turns == []


async def test_many_short_lines_are_moved_at_once(one, monkeypatch):
    calls = []
    receive = one.writer.receive
    monkeypatch.setattr(one.writer, "receive", lambda *words: calls.append(1) or receive(*words))
    output = one.begin()
    for _ in range(2000):
        os.write(output, b"line\n")
        await asyncio.sleep(0)
    await one.has("=== begins\n" + "line\n" * 2000)
    assert len(calls) < 500


# -- what can't be written ---------------------------------------------------------------------


@pytest.fixture
def full(one):
    """A unit whose disk is full until it is told to have room."""
    one.log.parent.mkdir()
    one.log.symlink_to("/dev/full")
    yield one
    one.log.unlink(missing_ok=True)


async def test_a_full_disk_is_told_once_and_what_fits_the_pipe_is_not_lost(full):
    output = full.begin()
    os.write(output, b"1\n")
    await full.until(lambda: full.told == ["cannot write its log: No space left on device"])
    os.write(output, b"2\n")
    full.log.unlink()
    await full.has("=== begins\n1\n2\n")
    assert full.told[1:] == [""]


async def test_a_full_disk_does_not_hold_the_unit_up_and_what_is_lost_is_told_in_its_place(full):
    output = full.begin()
    sent = 0

    def flood() -> None:
        nonlocal sent
        for _ in range(40):
            sent += os.write(output, b"x" * (CAPACITY // 4))

    await asyncio.wait_for(asyncio.to_thread(flood), LIMIT)
    full.log.unlink()
    await full.until(lambda: full.log.exists() and b"missing" in full.log.read_bytes())
    os.write(output, b"after\n")
    await full.until(lambda: full.log.read_bytes().endswith(b"after\n"))
    text = full.log.read_text()
    lost = [int(count) for count in re.findall(r"=== \S+ one (\d+) bytes are missing", text)]
    assert sum(lost) + text.count("x") == sent
    assert sum(lost) > 0
    assert text.startswith("=== begins\n=== ")
    assert "bytes are missing here: No space left on device\n" in text


async def test_what_is_lost_at_the_end_of_a_run_is_told_before_the_next(full):
    output = full.begin("=== 1\n")
    os.write(output, b"lost\n")
    full.forwarder.end()
    full.log.unlink()
    full.begin("=== 2\n")
    first, second, third = full.log.read_text().splitlines()
    assert (first, third) == ("=== 1", "=== 2")
    assert second.endswith("one 5 bytes are missing here: No space left on device")


async def test_a_directory_that_vanished_is_made_again(one):
    output = one.begin()
    one.log.unlink()
    one.log.parent.rmdir()
    os.write(output, b"1\n")
    await one.has("1\n")


# -- agents that are killed --------------------------------------------------------------------


class Writers:
    """Processes that write numbered lines to pipes, and what moves them to logs."""

    def __init__(self, directory: Path, count: int) -> None:
        self.directory = directory
        self.names = [f"unit-{number}" for number in range(count)]
        (directory / "pipes").mkdir()
        self._mover: subprocess.Popen[bytes] | None = None
        self._writers = [
            self._start(name, 0 if index % 2 else 3001) for index, name in enumerate(self.names)
        ]

    def _start(self, name: str, size: int) -> "subprocess.Popen[bytes]":
        path = self.directory / "pipes" / name
        os.mkfifo(path)
        output = os.open(path, os.O_RDWR)
        words = [sys.executable, "-S", HERE / "writes.py", name, str(size), self.directory / name]
        try:
            return subprocess.Popen(words, stdout=output)
        finally:
            os.close(output)

    def move(self, **log) -> None:
        """Begins to move, in a process that replaces the one before."""
        self._mover = subprocess.Popen(
            [
                *(sys.executable, HERE / "forwards.py", self.directory, json.dumps(log)),
                *self.names,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[2] / "supervisor")},
        )  # fmt: skip
        assert self._mover.stdout.readline() == b"begun\n"

    def kill(self) -> None:
        self._mover.kill()
        self._reap()

    def end(self) -> dict[str, int]:
        """Ends the writers, then the mover; how many lines each wrote."""
        for writer in self._writers:
            writer.terminate()
        for writer in self._writers:
            assert writer.wait(LIMIT) == 0
        self._mover.stdin.close()
        self._mover.wait(LIMIT)
        return {name: int((self.directory / name).read_text()) for name in self.names}

    def close(self) -> None:
        for writer in self._writers:
            writer.kill()
            writer.wait()
        if self._mover is not None:
            self.kill()

    def _reap(self) -> None:
        self._mover.wait()
        self._mover.stdin.close()
        self._mover.stdout.close()


@pytest.fixture
def writers(tmp_path):
    made = []

    def make(count):
        made.append(Writers(tmp_path, count))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.processes
@pytest.mark.parametrize("log", [{}, {"max_bytes": 70_000, "keep": 10_000, "timestamps": True}])
def test_no_line_is_lost_doubled_or_moved_when_agents_are_killed(writers, log):
    some = writers(4)
    dice = random.Random(1)
    for _ in range(8):
        some.move(**log)
        until = time.monotonic() + dice.uniform(0.0, 0.1)
        while time.monotonic() < until:
            time.sleep(0.001)
        some.kill()
    some.move(**log)
    for name, count in some.end().items():
        text = log_of(some.directory / "logs" / name)
        assert text == b"".join(b"%s %d\n" % (name.encode(), number) for number in range(count))
