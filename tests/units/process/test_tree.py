"""Whose a leftover process is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdsup.units.process.tree import Leftover, Trace, members_of_run

TRACE = Trace(mark="bench/decode-0/3", session=100, tag=7)


def leftover(**shows) -> Leftover:
    """A process of somebody else, unless ``shows`` says otherwise."""
    foreign = {"pid": 500, "started": 9, "session": 400, "tag": 8, "mark": "bench/decode-1/1"}
    return Leftover(**{**foreign, **shows})


def ours(process: Leftover, trace: Trace = TRACE, known=()) -> bool:
    return members_of_run([process], trace, known) == [process]


def test_a_process_with_the_tag_of_the_run_is_of_it_whatever_else_it_shows() -> None:
    assert ours(leftover(tag=7))
    assert ours(leftover(tag=7, mark=None))


def test_a_process_with_the_mark_of_the_run_is_of_it_also_in_a_session_of_its_own() -> None:
    assert ours(leftover(mark="bench/decode-0/3"))


@pytest.mark.parametrize("mark", ["bench/decode-0/2", "bench/decode-0/31", "bench/decode-1/3"])
def test_a_process_with_the_mark_of_another_run_is_not_of_it(mark: str) -> None:
    assert not ours(leftover(mark=mark))
    assert not ours(leftover(mark=mark, session=100))


def test_a_process_that_shows_no_mark_is_known_by_its_session() -> None:
    assert ours(leftover(mark=None, session=100))
    assert not ours(leftover(mark=None, session=101))


@pytest.mark.parametrize("tag", [None, 7])
def test_a_session_proves_nothing_of_a_process_that_this_agent_did_not_inherit(tag) -> None:
    """The pid of a main process that has ended may be a stranger's, who leads a session too."""
    trace = replace(TRACE, tag=tag, anywhere=True)
    for shown in (None, 8):
        assert not ours(leftover(pid=100, session=100, mark=None, tag=shown), trace)
        assert not ours(leftover(session=100, mark=None, tag=shown), trace)


def test_a_mark_beside_another_tag_is_that_of_another_cluster_with_the_same_name() -> None:
    trace = replace(TRACE, anywhere=True)
    assert not ours(leftover(mark=TRACE.mark, tag=8), trace)
    assert ours(leftover(mark=TRACE.mark, tag=None), trace)
    assert ours(leftover(mark=TRACE.mark, tag=8), replace(trace, tag=None))


def test_a_process_that_shows_nothing_is_of_no_run() -> None:
    assert not ours(leftover(mark=None, tag=None))


def test_where_tags_can_not_be_set_their_absence_proves_nothing() -> None:
    assert not ours(leftover(tag=None), Trace(mark=TRACE.mark, session=100, tag=None))


def test_a_process_that_was_known_stays_known_when_it_shows_nothing_any_more() -> None:
    dying = leftover(mark=None, tag=None)
    assert ours(dying, known={(500, 9)})


def test_another_process_with_the_pid_of_a_known_one_is_not_it() -> None:
    assert not ours(leftover(mark=None, tag=None, started=10), known={(500, 9)})


def test_of_many_leftovers_only_those_of_the_run_are_named() -> None:
    found = [leftover(pid=1), leftover(pid=2, tag=7), leftover(pid=3, mark=TRACE.mark)]
    assert [process.pid for process in members_of_run(found, TRACE, ())] == [2, 3]
