"""No line of the journal is lost or doubled when agents are killed, whenever and however often.

An agent is its ledger and its journal here. One that is killed has never begun to write its
journal, or has written the first of its lines, which stand in the file then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdsup.journal import entry, own_journal
from pdsup.journal.entry import Happening
from pdsup.journal.own_journal import OwnJournal
from pdsup.node.assignment import Place
from pdsup.units import ledger, states
from pdsup.units.facts import Line, Note
from pdsup.units.ledger import Ledger, LedgerFile

LIMIT_S = 60.0
UNITS = ("a", "b", "c")
NOTE = Note(
    unit="a", state=states.Running(1, 0.0, ()), run=1, since=1.0, spawned=None, main=None,
    tag=None, log=None, ended=False, was_ready=True, last_exit=None,
)  # fmt: skip


class Agent:
    """What an agent notes and writes; it takes over what another one left in ``home``."""

    def __init__(self, home: Path) -> None:
        place = Place(
            node="n", run_dir=str(home), state_dir=str(home), python="", environ={},
            has_module=lambda name: False,
        )  # fmt: skip
        inherited = ledger.read(home)
        self.journal = OwnJournal(place, lambda problem: None)
        self.journal.resume(inherited.lines)
        self.ledger = LedgerFile(str(home), "digest", inherited, journal=self.journal)
        self.ledger.open()

    def take(self, unit: str, moment: float) -> None:
        """A step of a unit."""
        note = dataclasses.replace(NOTE, unit=unit, line=line(moment, unit))
        self.ledger.note(note)
        self.journal.write(note.line)

    def tell(self, unit: str, moment: float) -> None:
        """What is no step."""
        self.ledger.note_line(line(moment, unit))
        self.journal.write(line(moment, unit))

    def note(self, unit: str, moment: float) -> None:
        """A step, after which something else is noted about the unit."""
        self.take(unit, moment)
        self.ledger.note(dataclasses.replace(self.ledger._known.notes[unit], line=None))

    def rewrite(self, unit: str, moment: float) -> None:
        """A step, after which the ledger is written anew, as when the plan is changed."""
        self.take(unit, moment)
        self.ledger.adopt("digest")

    def end(self) -> None:
        """A regular end."""
        self.journal.begin()
        asyncio.run(self.journal.close(LIMIT_S))
        self.ledger.close()


def line(moment: float, unit: str) -> Line:
    return entry.line(Happening(moment, unit, 1, "Requested", "start"), "n", 1e9 + moment)


def written(home: Path) -> list[float]:
    text = (home / "events" / "n.jsonl").read_text()
    return [json.loads(each)["monotonic"] for each in text.splitlines()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "events").mkdir()
    return tmp_path


def burst(agent: Agent, do: Callable[..., None], count: int, moments: Iterator[int]) -> None:
    for unit in itertools.islice(itertools.cycle(UNITS), count):
        do(agent, unit, float(next(moments)))


WAYS = (Agent.take, Agent.tell, Agent.note, Agent.rewrite)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("killed", [1, 2, 3])
@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_last_agent_writes_what_those_before_it_noted_and_did_not_write(
    home: Path, monkeypatch, way, killed, units, count
) -> None:
    monkeypatch.setattr("tests.journal.test_lines_of_killed_agents.UNITS", UNITS[:units])
    moments = itertools.count(1)
    for _ in range(killed):
        burst(Agent(home), way, count, moments)
    last = Agent(home)
    burst(last, way, count, moments)
    last.end()
    assert written(home) == list(range(1, next(moments)))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("count", range(6))
def test_at_whatever_line_a_journal_was_cut_the_next_agents_add_what_comes_after_it(
    home: Path, way, count
) -> None:
    moments = itertools.count(1)
    first = Agent(home)
    burst(first, way, 5, moments)
    with (home / "events" / "n.jsonl").open("a") as file:
        file.writelines(each.text for each in first.journal.waiting()[:count])
    Agent(home)  # killed at once
    second = Agent(home)
    burst(second, way, 1, moments)
    second.end()
    assert written(home) == [1, 2, 3, 4, 5, 6]


def test_what_the_journal_has_is_kept_in_no_later_ledger(home: Path) -> None:
    first, moments = Agent(home), itertools.count(1)
    burst(first, Agent.take, 5, moments)
    first.end()
    assert len(ledger.read(home).lines) == 5  # that they were written is not known there yet
    first.ledger.open()
    burst(first, Agent.take, 1, moments)
    assert [each.moment for each in ledger.read(home).lines] == [6]


def test_no_more_lines_are_kept_than_can_wait_for_a_journal(home: Path, monkeypatch) -> None:
    for module, name in ((own_journal, "MOST_WAITING"), (ledger, "MOST_LINES")):
        monkeypatch.setattr(module, name, 3)
    moments = itertools.count(1)
    for _ in range(3):
        agent = Agent(home)
        burst(agent, Agent.take, 4, moments)
        agent.ledger.adopt("digest")
    assert len(agent.journal.waiting()) == 3
    assert [each.moment for each in ledger.read(home).lines] == [10, 11, 12]


def test_a_ledger_of_before_there_were_lines_has_none(home: Path) -> None:
    agent = Agent(home)
    agent.ledger.note(NOTE)
    path = home / ledger.LEDGER
    before = path.read_text().replace('"made":', '"step":{"event":{},"now":1.0},"made":')
    path.write_text(before)
    found = ledger.read(home)
    assert (list(found.notes), found.lines) == (["a"], ())
    assert found != Ledger()
