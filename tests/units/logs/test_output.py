"""A log that nobody but its unit writes to is looked after from outside."""

import asyncio
import contextlib
import os

import pytest

from pdsup.node.assignment import AssignedUnit
from pdsup.plan.model import PlanUnit
from pdsup.units.logs import output as recording
from pdsup.units.logs.output import Output

LOST = "its output is lost until it restarts"


class Recorded:
    """The recorder of a unit that writes to its log itself, and what it told."""

    def __init__(self, directory) -> None:
        self.log = directory / "one.out"
        self.told = []
        plan = PlanUnit(name="one", kind="service", node="node0", command=("true",))
        self._unit = AssignedUnit(
            plan=plan, command=plan.command, env={}, log_path=str(self.log),
            pipe_path=str(directory / "pipe"), address="127.0.0.1", bind="any",
        )  # fmt: skip
        self.heard = lambda: None
        self.recorder = Output(self._unit, self._hear)

    def _hear(self, problem) -> None:
        self.told.append(problem)
        if problem:
            self.heard()

    def begin(self) -> None:
        os.close(self.recorder.begin(1, ""))
        self.told.clear()

    def seen(self) -> list[str]:
        """What a look tells."""
        self.told.clear()
        self.recorder.look()()
        return self.told


@pytest.fixture
def one(tmp_path):
    made = Recorded(tmp_path)
    yield made
    made.recorder.end()


def test_nothing_is_wrong_with_a_log_that_is_there(one):
    one.begin()
    assert one.seen() == [""]


def test_a_log_that_was_deleted_is_told_until_the_unit_starts_again(one):
    one.begin()
    one.log.unlink()
    assert one.seen() == [f"its log was deleted: {LOST}"]
    one.begin()
    assert one.seen() == [""]


def test_a_log_that_was_renamed_and_replaced_is_told(one):
    one.begin()
    one.log.rename(f"{one.log}.old")
    one.log.write_text("")
    assert one.seen() == [f"its log was replaced by another file: {LOST}"]


def test_a_full_disk_is_told_and_that_it_has_room_again(one, monkeypatch):
    class Room:
        f_blocks, f_bavail = 1000, 0

    one.begin()
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda path: Room)
        assert one.seen() == ["cannot write its log: No space left on device"]
    assert one.seen() == [""]


def test_a_log_that_an_earlier_agent_opened_is_looked_after_too(one):
    one.begin()
    another = Recorded(one.log.parent)
    another.recorder.resume(None)
    one.log.unlink()
    assert another.seen() == [f"its log was deleted: {LOST}"]


def test_a_unit_that_is_down_is_not_looked_after(one):
    assert one.seen() == []
    one.begin()
    look = one.recorder.look
    one.log.unlink()
    tell = look()
    one.recorder.end()
    tell()
    assert one.told == []


async def test_all_logs_are_looked_after_now_and_then(one, monkeypatch):
    monkeypatch.setattr(recording, "LOOK_S", 0.001)
    one.begin()
    heard = asyncio.Event()
    one.heard = heard.set
    watching = asyncio.create_task(recording.watch([one.recorder]))
    one.log.unlink()
    await asyncio.wait_for(heard.wait(), 60)
    watching.cancel()
    assert one.told[-1] == f"its log was deleted: {LOST}"


def test_a_disk_that_was_full_at_the_start_is_told(one):
    one.log.symlink_to("/dev/full")
    with contextlib.closing(os.fdopen(one.recorder.begin(1, ""))):
        assert one.told == ["cannot write its log: No space left on device"]


def test_a_descriptor_of_its_own_is_for_who_speaks_in_its_place(one):
    one.begin()
    with contextlib.closing(one.recorder.open()) as output:
        os.write(output.fileno(), b"bye\n")
    assert one.log.read_text().endswith("run 1 begins\nbye\n")
