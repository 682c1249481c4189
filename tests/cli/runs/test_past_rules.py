"""What is known about a run of which no agent answers."""

import pytest

from pdsup.cli.runs.past_rules import Machine, Past, is_settled, outlook, run_state, status, why
from pdsup.cli.runs.run_lines import RunState
from pdsup.journal import entry
from pdsup.node.agent_place import AgentPlace
from pdsup.plan.model import Node, Plan, PlanUnit

HERE = Machine("n0", "this boot")
NOW = 1795435200.0  # 2026-11-23 12:00:00 UTC


def place(host="n0", boot="this boot"):
    return AgentPlace(directory="/tmp/pdsup-0/abc/node0", host=host, boot=boot)


def past(state=RunState.ENDED, **changes):
    given = {
        "name": "demo", "words": "runs/x", "run_dir": "/w/runs/x", "began": NOW - 900,
        "last": NOW - 300, "state": state,
    }  # fmt: skip
    return Past(**{**given, **changes})


@pytest.mark.parametrize(
    ("places", "settled", "left", "state"),
    [
        ({}, True, False, RunState.ENDED),
        ({"node0": place()}, True, False, RunState.KILLED),
        ({"node0": place()}, False, False, RunState.KILLED),
        # This machine was restarted meanwhile.
        ({"node0": place(boot="another")}, False, False, RunState.KILLED),
        ({"node0": place(), "node1": place("n1", "its boot")}, False, False, RunState.ELSEWHERE),
        # Agents of 0.1.0 note no place.
        ({}, False, False, RunState.ELSEWHERE),
        ({}, False, True, RunState.KILLED),
    ],
)
def test_whether_a_run_has_ended_is_known_from_the_places_of_its_agents(
    places, settled, left, state
):
    assert run_state(places, HERE, settled=settled, left=left) is state


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("known", "told"),
    [
        (past(), "demo in runs/x ended 5 min ago (11:55:00)"),
        (
            past(RunState.KILLED, places={"node0": place()}, pids={"a": 7}),
            "demo in runs/x is without agents, they were killed on node0, and 1 unit still runs "
            "(pdsup shutdown --all --run-dir /w/runs/x stops what is left); the last "
            "news came 5 min ago (11:55:00)",
        ),
        (
            past(RunState.ELSEWHERE, places={"a": place("n7"), "b": place("n3")}),
            "no agent of demo in runs/x answers here; they were started on n3, n7; the last news "
            "came 5 min ago (11:55:00)",
        ),
        (
            past(RunState.ELSEWHERE),
            "no agent of demo in runs/x answers here, and its journal does not say that it has "
            "ended; the last news came 5 min ago (11:55:00)",
        ),
        (past(last=None), "no agent of demo in runs/x answers, and none has noted anything"),
    ],
)
def test_why_no_agent_answers_is_told(known, told):
    assert why(known, NOW) == told


UNIT = PlanUnit(name="a", kind="worker", role="decode", node="node0", rank=0, command=("a",))
PLAN = Plan(plan=1, name="demo", nodes=(Node(name="node0", address="10.0.0.1"),), units=(UNIT,))


def entries(*steps):
    """The journal of a unit: (state before, state, reason) each second, of run 1."""
    raw = (
        {"at": NOW + at, "node": "node0", "unit": "a", "run": 1, "event": {"type": "Tick"},
         "from": before, "to": after, "reason": why_}
        for at, (before, after, why_) in enumerate(steps)
    )  # fmt: skip
    return [entry.parse(entry.json.dumps(one)) for one in raw]


def shown(*steps, state=RunState.ENDED, **more):
    (unit,) = status(PLAN, "digest", past(state, **more), entries(*steps)).units
    return unit.state, unit.since and unit.since - NOW, unit.reason


STARTED = ("STOPPED", "STARTING", "")
READY = ("STARTING", "RUNNING", "")
ILL = ("RUNNING", "UNHEALTHY", "HTTP 503")
STOPPING = ("RUNNING", "STOPPING", "stop requested")
WAITS = ("STOPPING", "STOPPING", "stop requested, 2 processes left")
GONE = ("STOPPING", "STOPPED", "")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((STARTED, READY, STOPPING, WAITS, GONE), ("STOPPED", 4, "was RUNNING")),
        ((STARTED, READY, ILL, STOPPING, GONE), ("STOPPED", 4, "was UNHEALTHY: HTTP 503")),
        ((("STOPPED", "FATAL", "no program a"),), ("FATAL", 0, "no program a")),
        ((STARTED, READY), ("UNKNOWN", 1, "was RUNNING; its run has ended")),
        ((), ("UNKNOWN", None, "its run has ended")),
    ],
)
def test_a_unit_of_a_past_run_is_shown_as_its_journal_ends(steps, expected):
    assert shown(*steps) == expected


def test_what_kept_a_stopped_unit_from_being_ready_is_still_known():
    stopped = entry.json.dumps(
        {"at": NOW + 9, "node": "node0", "unit": "a", "run": 1, "event": {"type": "Stop"},
         "from": "STARTING", "to": "STOPPING", "reason": "stop requested",
         "detail": "not ready yet: /route: HTTP 503"}
    )  # fmt: skip
    steps = [*entries(STARTED), entry.parse(stopped), *entries(GONE)]
    (unit,) = status(PLAN, "digest", past(), steps).units
    assert unit.reason == "was STARTING: not ready yet: /route: HTTP 503"


def test_a_unit_whose_agent_was_killed_is_unknown_and_its_process_is_named():
    found = shown(STARTED, READY, ILL, state=RunState.KILLED)
    assert found == ("UNKNOWN", 2, "was UNHEALTHY: HTTP 503; its agent was killed")
    (unit,) = status(PLAN, "digest", past(RunState.KILLED, pids={"a": 7}), entries(STARTED)).units
    assert (unit.pid, unit.uptime_s, unit.ready) == (7, None, False)


def test_how_the_last_run_ended_is_known_from_the_journal():
    steps = entries(STARTED, READY)
    died = entry.json.dumps(
        {"at": NOW + 9, "node": "node0", "unit": "a", "run": 1,
         "event": {"type": "Exited", "run": 1, "status": {"code": None, "signal": "SIGKILL"}},
         "from": "RUNNING", "to": "BACKOFF", "reason": "killed by SIGKILL"}
    )  # fmt: skip
    (unit,) = status(PLAN, "digest", past(), [*steps, entry.parse(died)]).units
    assert unit.last_exit is not None
    assert (unit.last_exit.signal, unit.last_exit.at) == ("SIGKILL", NOW + 9)


def test_a_journal_says_that_all_units_are_down_for_good():
    assert is_settled(entries(STARTED, READY, STOPPING, GONE))
    assert not is_settled(entries(STARTED, READY, STOPPING))
    assert is_settled([])


def test_what_happens_next_with_a_unit_of_a_past_run():
    assert outlook(past(), UNIT) == "nothing, its run has ended"
    assert outlook(past(RunState.ELSEWHERE), UNIT) == "unknown from here"
    again = "pdsup agent /w/runs/x/plan.yaml --node node0 --run-dir /w/runs/x"
    assert outlook(past(RunState.KILLED), UNIT).endswith(again)
