"""What an agent appends to its own journal, whatever becomes of the file and its file system."""

import asyncio
import json
import os
import queue
import shutil
import threading
from dataclasses import replace

import pytest

from pdsup.journal import entry, own_journal
from pdsup.journal.entry import Happening
from pdsup.journal.own_journal import OwnJournal
from pdsup.node.assignment import Place
from pdsup.plan.model import Restart
from pdsup.units import events, lifecycle, states
from pdsup.units.facts import Transition

LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(own_journal, "RETRY_S", 0.01)


class Kept:
    """A journal, and what it said about itself. ``late``: the moments of steps that an earlier
    agent noted.
    """

    def __init__(self, run_dir, *late, begins=True):
        place = Place(
            node="n", run_dir=str(run_dir), state_dir="", python="", environ={},
            has_module=lambda name: False,
        )  # fmt: skip
        self.said = []
        self._heard = queue.Queue()
        self.journal = OwnJournal(place, self._hear)
        self.path = self.journal.path
        self.journal.resume([replace(line(moment), late=True) for moment in late])
        if begins:
            self.journal.begin()

    def _hear(self, what):
        self.said.append(what)
        self._heard.put(what)

    def write(self, *moments):
        for moment in moments:
            self.journal.write(line(moment))

    def close(self):
        asyncio.run(self.journal.close(LIMIT_S))

    def lines(self):
        """Whole lines only."""
        return [json.loads(line) for line in self.path.read_text().splitlines(keepends=True)
                if line.endswith("\n")]  # fmt: skip

    def moments(self):
        return [line["monotonic"] for line in self.lines()]

    def says(self, what):
        while self._heard.get(timeout=LIMIT_S) != what:
            pass


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "events").mkdir()
    made = Kept(tmp_path)
    yield made
    made.close()


def step(now, unit="a"):
    context = lifecycle.Context(
        now=now, next_run=1, gate="waits", restart=Restart(), ready_within=1.0, stop_within=1.0,
        chance=0.5,
    )  # fmt: skip
    after, _ = lifecycle.step(states.Stopped(), events.Start(), context)
    return Transition(unit, events.Start(), states.Stopped(), after, context)


def line(moment):
    return entry.line(step(moment), "n", 1e9 + moment)


def test_lines_are_in_the_order_in_which_they_were_told(kept):
    kept.write(*range(1000))
    kept.close()
    assert kept.moments() == list(range(1000))
    assert kept.said == []


def hinder(path, how):
    """Puts something in the way of a journal."""
    shutil.rmtree(path.parent)
    match how:
        case "its directory is a file":
            path.parent.touch()
        case "a directory":
            path.mkdir(parents=True)
        case "a named pipe":
            path.parent.mkdir()
            os.mkfifo(path)
        case "a full disk":
            path.parent.mkdir()
            path.symlink_to("/dev/full")


def clear(path):
    shutil.rmtree(path.parent) if path.parent.is_dir() else path.parent.unlink()


HINDRANCES = ("its directory is a file", "a directory", "a named pipe", "a full disk")


@pytest.mark.parametrize("how", HINDRANCES)
def test_what_can_not_be_written_waits_in_order_until_it_can(kept, how):
    hinder(kept.path, how)
    kept.write(1.0, 2.0)
    kept.says({"a directory": "Is a directory", "its directory is a file": "Not a directory",
               "a full disk": "it is a symbolic link"}
              .get(how, "not a regular file"))  # fmt: skip
    clear(kept.path)
    kept.says("")
    kept.write(3.0)
    kept.close()
    assert kept.moments() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("how", HINDRANCES)
def test_a_journal_that_can_not_be_written_ends_all_the_same(kept, how):
    hinder(kept.path, how)
    kept.write(1.0)
    kept.close()


def test_a_file_system_that_hangs_holds_up_neither_the_agent_nor_its_end(kept, monkeypatch):
    back, opened = threading.Event(), own_journal.open_regular

    def hang(*words):
        back.wait(LIMIT_S)
        return opened(*words)

    monkeypatch.setattr(own_journal, "open_regular", hang)
    kept.write(*range(10))
    asyncio.run(kept.journal.close(0.01))
    assert len(kept.journal.waiting()) == 10
    waits = Kept(kept.path.parents[1], 1.0, begins=False)
    assert asyncio.run(waits.journal.ended_at(0.01)) is None
    back.set()
    kept.close()
    assert kept.moments() == list(range(10))


def test_a_removed_directory_is_made_again(kept):
    kept.write(1.0)
    kept.close()
    shutil.rmtree(kept.path.parent)
    again = Kept(kept.path.parents[1])
    again.write(2.0)
    again.close()
    assert again.moments() == [2.0]
    assert again.said == []


def test_no_more_than_a_limit_waits_and_a_line_says_how_many_were_lost_since_when_and_why(
    kept, monkeypatch
):
    monkeypatch.setattr(own_journal, "MOST_WAITING", 3)
    hinder(kept.path, "a directory")
    kept.write(1.0)
    kept.says("Is a directory")
    kept.write(*range(2, 11))
    assert len(kept.journal._waiting) <= 3  # nothing else shows it
    clear(kept.path)
    kept.says("")
    kept.close()
    lost, *others = kept.lines()
    assert [line["monotonic"] for line in others] == [8, 9, 10]
    assert lost["event"] == {
        "type": "EventsLost", "count": 7, "since": 1e9 + 1, "cause": "Is a directory",
    }  # fmt: skip
    assert lost["reason"] == "7 events since 2001-09-09T01:46:41Z are missing here: Is a directory"
    assert kept.moments() == sorted(kept.moments())


def test_a_disk_that_is_full_in_the_middle_of_a_line_leaves_no_piece_of_it(kept, monkeypatch):
    write, room = os.write, [100]

    def short(file, data):
        return write(file, data[: room[0]])

    monkeypatch.setattr(own_journal.os, "write", short)
    kept.write(1.0)
    kept.says("No space left on device")
    assert kept.path.read_bytes() == b""
    room[0] = 1 << 20
    kept.says("")
    kept.write(2.0)
    kept.close()
    assert kept.moments() == [1.0, 2.0]


def test_a_line_that_a_killed_agent_cut_off_does_not_spoil_the_next_one(kept):
    kept.path.write_text('{"at": 17')
    kept.write(2.0)
    kept.write(3.0)
    kept.close()
    assert len(kept.path.read_text().splitlines()) == 3


@pytest.mark.parametrize("later", [0, 1, 50])
def test_where_an_earlier_agent_stopped_is_found_and_only_what_it_lacks_is_added(
    kept, monkeypatch, later
):
    monkeypatch.setattr(own_journal, "END_BYTES", 300)
    kept.write(1.0, 2.5)
    for number in range(later):
        happening = Happening(3.0 + number, "a", 1, "GpusLost", "lost", {"gpus": [0]})
        kept.journal.write(entry.line(happening, "n", 1e9))
    kept.close()
    last = 2.0 + later if later else 2.5
    with kept.path.open("a") as file:
        file.write('{"no": "moment"}\n{"at": 17')
    noted = (1.0, 2.5, last, last + 0.5, last + 1)
    again = Kept(kept.path.parents[1], *noted, begins=False)
    assert asyncio.run(again.journal.ended_at(LIMIT_S)) == last
    again.journal.begin()
    again.close()
    entries = [line for line in again.path.read_text().splitlines() if "monotonic" in line]
    assert [json.loads(line)["monotonic"] for line in entries][-3:] == [last, last + 0.5, last + 1]


@pytest.mark.parametrize("noted", [(), (1.0,)])
def test_a_journal_that_is_not_there_ended_before_everything(tmp_path, noted):
    waits = Kept(tmp_path, *noted, begins=False)
    assert asyncio.run(waits.journal.ended_at(LIMIT_S)) == float("-inf")


def test_where_a_journal_ended_that_is_none_is_not_known(kept):
    hinder(kept.path, "a named pipe")
    waits = Kept(kept.path.parents[1], 1.0, begins=False)
    assert asyncio.run(waits.journal.ended_at(LIMIT_S)) is None


def test_the_lines_of_another_boot_say_nothing_about_where_it_ended(kept):
    kept.path.write_text(entry.line(step(1.0), "n", 1e9, "another").text)
    waits = Kept(kept.path.parents[1], 0.5, begins=False)
    assert asyncio.run(waits.journal.ended_at(LIMIT_S)) == float("-inf")


def test_what_is_told_before_it_begins_comes_after_what_an_earlier_agent_noted(kept):
    waits = Kept(kept.path.parents[1], 1.0, 2.0, begins=False)
    waits.write(3.0)
    assert not kept.path.exists()
    assert [each.moment for each in waits.journal.waiting()] == [1.0, 2.0, 3.0]
    waits.journal.begin()
    waits.close()
    assert kept.moments() == [1.0, 2.0, 3.0]
    assert (waits.journal.waiting(), waits.journal.written) == ([], 3.0)


@pytest.mark.parametrize("how", HINDRANCES)
def test_what_could_not_be_written_still_waits(kept, how):
    hinder(kept.path, how)
    kept.write(1.0, 2.0)
    kept.close()
    assert [each.moment for each in kept.journal.waiting()] == [1.0, 2.0]
    assert kept.journal.written == 0.0
