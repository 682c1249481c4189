"""What may be concluded from the status of a unit."""

import json

import pytest

from pdsup import typed
from pdsup.answers.status import LastExit, Status, UnitStatus
from pdsup.units.public_state import PublicState

GOOD, BAD = (LastExit(code=code, signal=None, at=1.0) for code in (0, 1))


def unit(state=PublicState.RUNNING, ready=None, last_exit=None):
    return UnitStatus(
        name="decode-0", kind="worker", role="decode", node="node2", rank=0, gang=None, state=state,
        ready=state == "RUNNING" if ready is None else ready, pid=None, run=1, restarts=0,
        since=None, ports={}, gpus=(), reason="", short_reason=None,
        last_exit=last_exit, gpu_use=None, uptime_s=None, last_command=None,
    )  # fmt: skip


@pytest.mark.parametrize("state", PublicState)
def test_a_unit_is_up_when_it_is_ready_or_ended_well(state):
    assert unit(state).is_up is (state == "RUNNING")
    assert unit(state, last_exit=BAD).is_up is (state == "RUNNING")
    assert unit(state, last_exit=GOOD).is_up is (state in ("RUNNING", "EXITED"))


def test_a_unit_that_runs_but_can_not_be_used_is_not_up():
    assert not unit(ready=False).is_up


@pytest.mark.parametrize("state", PublicState)
def test_a_unit_is_lost_when_only_somebody_can_bring_it_up(state):
    assert unit(state, last_exit=BAD).is_lost is (state in ("EXITED", "FATAL"))
    assert unit(state, last_exit=GOOD).is_lost is (state == "FATAL")


def as_json():
    agent = {"pid": 7, "guardian_pid": None, "incarnation": "i", "version": "1", "reachable": True,
             "age_s": 0.0, "problem": None}  # fmt: skip
    one = json.loads(typed.dumps(unit(last_exit=GOOD)))
    node = {"node": "node2", "address": "10.0.0.2", "agent": agent, "units": [one]}
    return {"cluster": "demo", "plan": "d", "nodes": [node], "url": None}


def test_a_status_that_is_read_and_written_again_is_the_same():
    read, faults = typed.read(Status, as_json(), lenient=True)
    assert faults == ()
    assert json.loads(typed.dumps(read)) == as_json()
    assert read.units[0].last_exit == GOOD


def test_what_a_later_version_adds_is_passed_over():
    later = as_json()
    later["nodes"][0]["units"][0]["mood"] = later["more"] = "fine"
    assert typed.read(Status, later, lenient=True) == typed.read(Status, as_json(), lenient=True)


def test_what_an_earlier_version_lacks_may_be_missing():
    earlier = as_json()
    del earlier["nodes"][0]["units"][0]["gpu_use"]
    read, _ = typed.read(Status, earlier, lenient=True)
    assert read.units[0].gpu_use is None
