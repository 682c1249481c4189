"""What the journals tell."""

import json

import pytest

from pdsup.journal import entry as entry_module
from pdsup.journal import runs
from pdsup.journal.entry import merged, parse
from pdsup.plan.model import Restart
from pdsup.units import events, states
from pdsup.units import lifecycle as lc
from pdsup.units.facts import Transition
from pdsup.units.process.exit import ExitStatus
from pdsup.units.public_state import PublicState

KILLED = ExitStatus(None, "SIGKILL")


def entry(at, before, to, run=1, node="node0", reason="", event="Tick", **more):
    raw = {"at": at, "node": node, "unit": "decode-0", "run": run, "event": event, "from": before,
           "to": to, "reason": reason, **more}  # fmt: skip
    return parse(json.dumps(raw))


def stopping(reason, how_far=""):
    return {"reason": f"{reason}{how_far}", "state": {"type": "Stopping", "reason": reason}}


def exited(code=None, signal=None):
    return {"event": {"type": "Exited", "run": 1, "status": {"code": code, "signal": signal}}}


def test_a_line_of_the_agent_is_an_entry():
    context = lc.Context(12.0, 3, None, Restart(), 900.0, 15.0)
    running, backoff = states.Running(2, 0, ()), states.Backoff(9.0, (12.0,), "killed by SIGKILL")
    transition = Transition("decode-0", events.Exited(2, KILLED), running, backoff, context)
    found = parse(entry_module.line(transition, "node2", 1.7e9).text)
    assert (found.at, found.node, found.unit, found.run) == (1.7e9, "node2", "decode-0", 2)
    assert (found.event, found.before, found.to) == ("Exited", "RUNNING", "BACKOFF")
    assert (found.reason, found.exit) == ("killed by SIGKILL", KILLED)


@pytest.mark.parametrize(
    "line",
    ["", "{", '{"at": 1', "[]", "null", "7", '"text"', "{}", '{"at": "soon", "node": "a"}',
     '{"at": 1}', "[" * 100_000, b"\xff\xfe"],
    ids=lambda line: repr(line[:12]),
)  # fmt: skip
def test_what_is_no_entry_is_left_out(line):
    assert parse(line) is None


def test_an_entry_of_another_version_is_read_as_far_as_it_is_known():
    found = parse('{"at": 5, "node": "node1", "event": "AgentStarted", "news": [1]}')
    assert (found.at, found.node, found.unit, found.run) == (5.0, "node1", "", None)
    assert (found.event, found.before, found.to, found.reason) == ("AgentStarted", None, None, "")
    assert found.raw["news"] == [1]


def test_a_state_that_this_version_does_not_know_is_no_step_of_a_unit():
    known, limping = entry(1, "STOPPED", "STARTING"), entry(2, "STARTING", "LIMPING")
    assert (limping.before, limping.to) == (PublicState.STARTING, None)
    assert runs.steps([known, limping]) == {"decode-0": [known]}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"code": 3, "signal": None}, ExitStatus(3)),
        ({"code": None, "signal": "SIGKILL"}, KILLED),
        ({"code": None, "signal": None}, ExitStatus(None)),
        ({"code": "three", "signal": 9}, ExitStatus(None)),
        ("exited with status 3", None),
        (None, None),
    ],
)
def test_an_entry_tells_how_a_process_ended_where_it_did(status, told):
    ended = {"type": "Exited", "run": 1, "status": status}
    assert entry(1, "RUNNING", "BACKOFF", event=ended).exit == told


RELOAD = {"at": 3, "node": "node0", "unit": "decode-0", "run": 1, "event": {"type": "Reloaded"},
          "reason": "1 router, router-1 out"}  # fmt: skip


def test_what_changes_no_state_is_an_entry_and_no_step():
    reload = parse(json.dumps(RELOAD))
    node = parse('{"at": 5, "node": "node1", "event": "AgentStarted"}')
    assert (reload.event, reload.run, reload.to, reload.changes) == ("Reloaded", 1, None, False)
    starts = [entry(1, "STOPPED", "STARTING"), entry(2, "STARTING", "RUNNING")]
    ends = [entry(4, "RUNNING", "STOPPING", reason="asked"), entry(5, "STOPPING", "STOPPED")]
    found = runs.steps([*starts, reload, node, *ends])
    assert found == {"decode-0": [*starts, *ends]}


def test_journals_are_merged_by_time_and_a_clock_that_was_set_back_turns_no_order():
    one = [entry(at, "WAITING", "WAITING", reason=f"one-{at}") for at in (1, 9, 3, 12)]
    two = [entry(at, "WAITING", "WAITING", reason=f"two-{at}") for at in (2, 10)]
    order = [each.reason for each in merged([one, two])]
    assert order == ["one-1", "two-2", "one-9", "one-3", "two-10", "one-12"]


def life(*steps):
    return runs.runs([entry(*step[:3], **(step[3] if len(step) > 3 else {})) for step in steps])


def test_a_run_that_goes_on_has_begun_and_become_ready():
    (run,) = life((1, "STOPPED", "STARTING"), (3, "STARTING", "RUNNING"))
    assert (run.number, run.began, run.ready, run.ended) == (1, 1.0, 3.0, None)


def test_a_run_that_died_tells_how_and_counts_as_failed():
    died, again = life(
        (1, "STOPPED", "STARTING"), (3, "STARTING", "RUNNING"),
        (5, "RUNNING", "BACKOFF", exited(signal="SIGKILL")),
        (6, "BACKOFF", "STARTING", {"run": 2}),
    )  # fmt: skip
    assert (died.ended, died.how, died.failed) == (5.0, "killed by SIGKILL", True)
    assert (again.number, again.began, again.ready, again.ended) == (2, 6.0, None, None)


def test_a_run_that_was_stopped_tells_why_and_did_not_fail():
    (run,) = life(
        (1, "STOPPED", "STARTING"), (3, "STARTING", "RUNNING"),
        (5, "RUNNING", "STOPPING", stopping("stop requested")),
        (6, "STOPPING", "STOPPED", exited(code=0)),
    )  # fmt: skip
    assert (run.ended, run.how, run.failed) == (6.0, "stop requested", False)


def test_a_run_that_was_not_ready_in_time_failed_for_that_reason_however_it_was_ended():
    (run,) = life(
        (1, "STOPPED", "STARTING"),
        (5, "STARTING", "STOPPING", stopping("not ready within 4 s")),
        (6, "STOPPING", "STOPPING", stopping("not ready within 4 s", "; SIGKILL sent")),
        (6, "STOPPING", "BACKOFF", exited(signal="SIGKILL")),
    )  # fmt: skip
    assert (run.ready, run.how, run.failed) == (None, "not ready within 4 s", True)


def test_a_restart_without_a_pause_ends_one_run_and_begins_the_next():
    first, second = life(
        (1, "STOPPED", "STARTING"),
        (3, "STARTING", "STOPPING", stopping("a; b, as its plan says")),
        (4, "STOPPING", "STARTING", {"run": 2}),
    )
    assert (first.ended, first.how, first.failed) == (4.0, "a; b, as its plan says", False)
    assert (second.number, second.began) == (2, 4.0)


def test_a_sign_of_life_while_starting_begins_no_run():
    assert len(life((1, "STOPPED", "STARTING"), (2, "STARTING", "STARTING"))) == 1


@pytest.mark.parametrize("back", ["STARTING", "WAITING"])
def test_an_agent_that_was_killed_leaves_a_run_without_a_word_about_its_end(back):
    lost = life(
        (1, "STOPPED", "STARTING", {"run": 7}), (3, "STARTING", "RUNNING", {"run": 7}),
        (9, "STOPPED", back, {"reason": "waits for etcd"}), (10, back, "STARTING"),
    )[0]  # fmt: skip
    assert (lost.number, lost.ended, lost.failed) == (7, 9.0, False)
    assert lost.how == "it was gone when its agent came back"


def test_a_unit_that_only_waited_has_no_run():
    assert life((1, "STOPPED", "WAITING"), (2, "WAITING", "STOPPED")) == []


UNEXPLAINED = "killed by SIGKILL: cause unknown; its last words: x"


def failed(reason, own=None, **more):
    own = reason if own is None else own
    return {"reason": reason, "state": {"type": "Backoff", "reason": own, **more}}


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (failed("killed: CUDA out of memory", last_words=""), "killed: CUDA out of memory"),
        (failed(UNEXPLAINED, "killed by SIGKILL", last_words="x"), "killed by SIGKILL"),
        # No phrase of a reason is taken for what another module wrote.
        (failed("dead: cause unknown", last_words=""), "dead: cause unknown"),
        (failed(UNEXPLAINED), "killed by SIGKILL"),  # as 0.1.0 wrote it
    ],
)
def test_how_a_run_ended_is_told_without_the_last_words_of_its_output(end, how):
    (run,) = life((1, "STOPPED", "STARTING"), (2, "STARTING", "BACKOFF", end))
    assert run.how == how
