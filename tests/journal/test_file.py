"""The journals of a run: reading them all, and what an agent appends to its own."""

import json

import pytest

from pdsup.errors import SupervisorError
from pdsup.journal import file
from pdsup.journal.entry import Happening
from pdsup.journal.file import Journal, Journals
from pdsup.node.assignment import Place
from pdsup.plan.model import Restart
from pdsup.units import events, lifecycle, states
from pdsup.units.facts import Transition


@pytest.fixture
def journal(tmp_path):
    """Appends to the journal of a node, as its agent does."""
    (tmp_path / "events").mkdir()

    def write(node, *ats, end="\n"):
        with (tmp_path / "events" / f"{node}.jsonl").open("a") as file:
            for at in ats:
                raw = {"at": at, "node": node, "unit": "a", "from": "STOPPED", "to": "STARTING"}
                file.write(json.dumps(raw) + end)

    return write


def seen(chronicler):
    return [(one.at, one.node) for one in chronicler.news()]


def test_all_nodes_are_read_in_the_order_of_time_and_each_line_once(journal, tmp_path):
    journal("node0", 1, 4)
    journal("node1", 2)
    chronicler = Journals(tmp_path)
    assert seen(chronicler) == [(1, "node0"), (2, "node1"), (4, "node0")]
    assert seen(chronicler) == []
    journal("node2", 5)
    journal("node0", 6)
    assert seen(chronicler) == [(5, "node2"), (6, "node0")]


def test_a_line_that_is_not_complete_comes_when_it_is(journal, tmp_path):
    journal("node0", 1)
    journal("node0", 2, end="")
    chronicler = Journals(tmp_path)
    assert seen(chronicler) == [(1, "node0")]
    with (tmp_path / "events" / "node0.jsonl").open("a") as file:
        file.write("\n")
    assert seen(chronicler) == [(2, "node0")]


def test_a_journal_that_was_replaced_by_a_shorter_one_is_read_anew(journal, tmp_path):
    journal("node0", 1, 2, 3)
    chronicler = Journals(tmp_path)
    chronicler.news()
    (tmp_path / "events" / "node0.jsonl").unlink()
    journal("node0", 4)
    assert seen(chronicler) == [(4, "node0")]


def test_a_run_without_a_journal_has_no_events(tmp_path):
    assert Journals(tmp_path / "nothing").news() == []


def test_a_journal_that_can_not_be_read_is_named(tmp_path):
    (tmp_path / "events" / "node0.jsonl").mkdir(parents=True)
    with pytest.raises(SupervisorError, match=r"cannot read the journal .*node0\.jsonl: Is a dir"):
        Journals(tmp_path).news()


# -- the one of this node -------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    (tmp_path / "events").mkdir()
    place = Place(
        node="n", run_dir=str(tmp_path), state_dir="", python="", environ={},
        has_module=lambda name: False,
    )  # fmt: skip
    return Journal(place)


def step(now, unit="a"):
    context = lifecycle.Context(
        now=now, next_run=1, gate="waits", restart=Restart(), ready_within=1.0, stop_within=1.0,
        chance=0.5,
    )  # fmt: skip
    after, _ = lifecycle.step(states.Stopped(), events.Start(), context)
    return Transition(unit, events.Start(), states.Stopped(), after, context)


@pytest.mark.parametrize("later", [0, 1, 50])
def test_a_step_is_found_whatever_was_told_after_it(own, monkeypatch, later):
    monkeypatch.setattr(file, "END_BYTES", 300)
    for told in (step(1.0), step(2.5)):
        own.write(told, 1e9)
    for number in range(later):
        own.write(Happening(3.0 + number, "a", 1, "GpusLost", "lost", {"gpus": [0]}), 1e9)
    assert (own.has(step(1.0)), own.has(step(2.5))) == (True, True)
    missing = [step(2.0), step(2.5, "b"), step(100.0), step(0.5)]
    assert [own.has(one) for one in missing] == [False] * 4


def test_a_journal_that_is_not_there_tells_no_step(own):
    assert not own.has(step(1.0))


def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(own):
    own.path.write_text('{"at": 17')
    own.write(step(2.0), 1e9)
    own.write(step(3.0), 1e9)
    assert (own.has(step(2.0)), own.has(step(3.0))) == (True, True)
    assert len(own.path.read_text().splitlines()) == 3
