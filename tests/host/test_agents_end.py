"""When a supervising process ends, however it does, nothing of its units is left."""

from pdsup.plan.model import Restart

AT_ONCE = Restart(first_delay_s=0.0, delay_s=0.0)


def test_the_end_of_an_agent_ends_everything_that_its_units_ever_started(
    begin_supervising, make_in, gone
):
    supervising = begin_supervising()
    make = make_in(supervising)
    kinds = [["sleep"], ["ignores_term"], ["breeds"], ["daemon"]]
    kinds += [["daemon", "closed", "cleared", "deaf"], ["daemon", "renamed"]]
    units = [make(kind, "{file}", *how, restart=AT_ONCE).start() for kind, *how in kinds]
    pids = [
        pid for unit in units for pid in unit.pids(2 if unit.plan.command[3] == "daemon" else 1)
    ]
    supervising.close()
    assert supervising.survivors == []
    assert gone(*pids)
    assert supervising.errors() == ""


def test_an_agent_that_ends_by_a_defect_ends_everything_too(begin_supervising, make_in, gone):
    supervising = begin_supervising()
    make = make_in(supervising)
    units = [make("daemon", "{file}", "closed", restart=AT_ONCE).start() for _ in range(3)]
    pids = [pid for unit in units for pid in unit.pids(2)]
    supervising.do("crash")
    supervising.process.wait(60)
    assert gone(*pids)
    supervising.close()
    assert supervising.survivors == []
    assert supervising.errors() == ""


def test_an_agent_that_is_stopped_in_the_middle_of_a_proof_still_ends_everything(
    begin_supervising, make_in, stranger, until, tmp_path, gone
):
    supervising = begin_supervising()
    unit = make_in(supervising)("unkillable", "{file}", str(tmp_path / "go")).start()
    (pid,) = unit.pids()
    tracer = stranger("holds", str(pid))
    (tmp_path / "go").touch()
    unit.until("UNHEALTHY")
    supervising.process.stdin.close()
    tracer.kill()
    supervising.process.wait(60)
    assert gone(pid)
    assert supervising.errors() == ""
