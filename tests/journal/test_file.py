"""The journals of a run, which are read all together."""

import json
import os

import pytest

from pdsup.errors import SupervisorError
from pdsup.journal.file import Journals


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


def test_of_a_long_journal_the_end_can_be_read_and_then_all_that_follows(journal, tmp_path):
    journal("node0", *range(100, 200))
    line = (tmp_path / "events" / "node0.jsonl").stat().st_size // 100
    for most, found in ((3 * line, 2), (3 * line + 5, 3), (line // 2, 0), (1000 * line, 100)):
        journals = Journals(tmp_path, most)
        assert [at for at, _ in seen(journals)] == list(range(200 - found, 200))
    journal("node0", *range(200, 290))
    assert len(seen(journals)) == 90


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


def test_a_named_pipe_among_the_journals_is_named_and_not_waited_for(tmp_path):
    (tmp_path / "events").mkdir()
    os.mkfifo(tmp_path / "events" / "node0.jsonl")
    with pytest.raises(SupervisorError, match=r"node0\.jsonl: not a regular file"):
        Journals(tmp_path).news()
