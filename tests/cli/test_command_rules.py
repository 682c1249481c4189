"""What a command of an operator means, to which units, and when it is done."""

import shlex

import pytest

from pdsup.answers.commands import UnitBefore
from pdsup.cli.command_rules import (
    Outcome,
    Result,
    choose,
    exit_status,
    job_of,
    on_node,
    outcome,
    waves,
)
from pdsup.errors import NothingThere
from pdsup.units.public_state import PublicState


@pytest.fixture
def cluster(unit, node, status):
    """Two ranks of a gang and a router on node0, one rank, a router and nginx on node1."""

    first = [unit(f"prefill-0.{rank}", gang="prefill-0") for rank in (0, 1)]
    front = unit("nginx", kind="nginx", gang=None)
    last = unit("prefill-0.2", gang="prefill-0")
    return status(
        node("node0", [*first, unit("router-0", kind="router", role=None)]),
        node("node1", [last, unit("router-1", kind="router", role=None)]),
        node("node2", [front]),
    )


def names(units):
    return [unit.name for unit in units]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["router-1"], ["router-1"]),
        (["router-*"], ["router-0", "router-1"]),
        (["prefill-0.1"], ["prefill-0.0", "prefill-0.1", "prefill-0.2"]),
        (["prefill-0"], ["prefill-0.0", "prefill-0.1", "prefill-0.2"]),
        (["nginx", "router-0", "router-?"], ["router-0", "router-1", "nginx"]),
        (["all"], ["prefill-0.0", "prefill-0.1", "router-0", "prefill-0.2", "router-1", "nginx"]),
    ],
    ids=str,
)
def test_units_are_named_by_name_glob_gang_or_all(cluster, patterns, expected):
    chosen = choose("stop", cluster, patterns, {"node0", "node1", "node2"})
    assert (names(chosen.units), chosen.elsewhere) == (expected, ())


def test_all_means_the_units_of_this_machine(cluster):
    for pattern in ("all", "*"):
        chosen = choose("stop", cluster, [pattern], {"node2"})
        assert (names(chosen.units), chosen.elsewhere) == (["nginx"], ())


def test_named_units_and_ranks_of_their_gangs_on_other_machines_are_told_apart(cluster):
    chosen = choose("stop", cluster, ["prefill-0.0", "router", "nginx"], {"node0"})
    assert names(chosen.units) == ["prefill-0.0", "prefill-0.1", "router-0"]
    assert names(chosen.elsewhere) == ["router-1", "nginx"]
    assert names(chosen.mates) == ["prefill-0.2"]


def test_a_pattern_that_matches_nothing_is_an_error_whatever_else_is_named(cluster):
    with pytest.raises(NothingThere, match=r"cannot stop zz\*: no such unit; there are p"):
        choose("stop", cluster, ["router-0", "zz*"], {"node0"})


@pytest.mark.parametrize(
    ("run_dir", "environ", "number"),
    [
        ("/runs/demo-4711", {}, "4711"),
        ("/runs/demo-4711", {"SLURM_JOB_ID": "12"}, "12"),
        ("/runs/demo-local", {}, None),
    ],
)
def test_the_job_of_a_run_is_known_by_its_directory_unless_this_is_a_step_of_it(
    run_dir, environ, number
):
    assert job_of(run_dir, environ) == number


def test_a_command_for_another_node_can_be_pasted():
    words = ["signal", "KILL", "decode-0", "--run-dir", "/my runs/x"]
    assert on_node(words, "node1", "4711") == (
        "srun --jobid=4711 --overlap --nodes=1 --ntasks=1 -w node1 "
        "pdsup signal KILL decode-0 --run-dir '/my runs/x'"
    )
    over_ssh = on_node(words, "node1", None)
    assert over_ssh.startswith("ssh node1 ")
    assert shlex.split(shlex.split(over_ssh)[2]) == ["pdsup", *words]


def test_a_stop_begins_in_front(unit):
    given = [
        unit("decode-0"), unit("router-0", kind="router", role=None), unit("nginx", kind="nginx"),
        unit("router-1", kind="router", role=None), unit("etcd", kind="service"),
    ]  # fmt: skip
    order = [names(wave) for wave in waves("stop", given)]
    assert order == [["nginx"], ["router-0", "router-1"], ["decode-0", "etcd"]]


def test_a_restart_takes_one_router_at_a_time(unit):
    given = [unit(f"router-{i}", kind="router") for i in range(2)] + [unit("decode-0")]
    order = [names(wave) for wave in waves("restart", given)]
    assert order == [["decode-0"], ["router-0"], ["router-1"]]


def test_a_start_needs_no_order(unit):
    given = [unit("router-0", kind="router", role=None), unit("decode-0")]
    assert [names(wave) for wave in waves("start", given)] == [["router-0", "decode-0"]]


RAN = UnitBefore(state=PublicState.RUNNING, run=1, since=1.0)
NEVER = UnitBefore(state=PublicState.STOPPED, run=0, since=1.0)
GAVE_UP = UnitBefore(state=PublicState.FATAL, run=3, since=1.0)
WELL, BADLY = ({"code": code, "signal": None, "at": 2.0} for code in (0, 1))


@pytest.mark.parametrize(
    ("verb", "before", "now", "expected"),
    [
        ("stop", RAN, {"state": "RUNNING"}, None),
        ("stop", RAN, {"state": "STOPPING"}, None),
        ("stop", RAN, {"state": "STOPPED"}, Outcome.DONE),
        ("stop", NEVER, {"state": "STOPPED"}, Outcome.ALREADY),
        ("stop", GAVE_UP, {"state": "FATAL", "since": 1.0}, None),
        ("start", RAN, {"state": "RUNNING"}, Outcome.ALREADY),
        ("start", NEVER, {"state": "STOPPED", "run": 0}, None),
        ("start", NEVER, {"state": "WAITING", "run": 0}, None),
        ("start", NEVER, {"state": "STARTING"}, None),
        ("start", NEVER, {"state": "RUNNING"}, Outcome.DONE),
        ("start", NEVER, {"state": "RUNNING", "ready": False}, None),
        ("start", NEVER, {"state": "RUNNING", "ready": False, "kind": "nginx"}, Outcome.DONE),
        ("start", NEVER, {"state": "EXITED", "last_exit": WELL}, Outcome.DONE),
        ("start", NEVER, {"state": "EXITED", "last_exit": BADLY}, Outcome.FAILED),
        ("start", GAVE_UP, {"state": "FATAL", "run": 3, "since": 1.0}, None),
        ("start", GAVE_UP, {"state": "FATAL", "run": 3, "since": 2.0}, Outcome.FAILED),
        ("restart", RAN, {"state": "RUNNING", "run": 1}, None),
        ("restart", RAN, {"state": "RUNNING", "run": 2}, Outcome.DONE),
        ("restart", RAN, {"state": "BACKOFF", "run": 2}, None),
        ("restart", RAN, {"state": "FATAL", "run": 2}, Outcome.FAILED),
    ],
    ids=str,
)
def test_a_command_is_done_when_its_units_are_as_it_wants_them(unit, verb, before, now, expected):
    assert outcome(verb, unit(**now), before) == expected


def later(verb, at=2.0):
    return {"verb": verb, "by": "by ann with pdsup (pid 7, node0)", "at": at}


@pytest.mark.parametrize(
    ("verb", "last", "now", "expected"),
    [
        ("stop", later("restart"), {"state": "STARTING"}, Outcome.OVERTAKEN),
        ("stop", later("start"), {"state": "RUNNING", "run": 2}, Outcome.OVERTAKEN),
        ("stop", later("stop"), {"state": "STOPPING"}, None),
        ("stop", later("restart", at=1.0), {"state": "STOPPING"}, None),
        ("stop", later("restart"), {"state": "STOPPED"}, Outcome.DONE),
        ("start", later("stop"), {"state": "STOPPING"}, Outcome.OVERTAKEN),
        ("start", later("stop"), {"state": "STOPPED"}, Outcome.OVERTAKEN),
        ("start", later("restart"), {"state": "STARTING"}, None),
        ("restart", later("stop"), {"state": "STOPPED"}, Outcome.OVERTAKEN),
        ("restart", later("restart"), {"state": "STARTING", "run": 2}, None),
        ("restart", later("stop"), {"state": "RUNNING", "run": 2}, Outcome.DONE),
    ],
    ids=str,
)
def test_a_command_is_overtaken_by_a_later_one_that_wants_the_reverse(
    unit, verb, last, now, expected
):
    before = UnitBefore(state=PublicState.BACKOFF, run=1, since=1.0, at=1.0)
    assert outcome(verb, unit(last_command=last, **now), before) == expected


def test_who_has_overtaken_a_command_is_told(unit):
    taken = Result("stop", unit("a", last_command=later("restart")), Outcome.OVERTAKEN)
    assert taken.line() == (
        "a: ERROR (overtaken by restart by ann with pdsup (pid 7, node0): RUNNING)"
    )
    assert exit_status([taken]) == 1


def test_results_are_written_as_supervisorctl_does(unit):
    late = unit("router-0", "WAITING", reason="waits for decode-0")
    assert Result("restart", unit("router-1"), Outcome.DONE).line() == "router-1: restarted"
    assert Result("start", late, Outcome.LATE).line() == (
        "router-0: ERROR (not started in time: WAITING, waits for decode-0)"
    )


@pytest.mark.parametrize(
    ("verb", "outcome", "told"),
    [
        ("stop", Outcome.DONE, "stopped"),
        ("start", Outcome.ALREADY, "already started"),
        ("restart", Outcome.FAILED, "failed"),
        ("restart", Outcome.LATE, "not restarted in time"),
        ("restart", Outcome.SKIPPED, "not restarted"),
        ("signal", Outcome.DONE, "signalled"),
        ("signal", Outcome.NO_PROCESS, "not running"),
    ],
    ids=str,
)
def test_an_outcome_is_told_in_the_words_of_its_command(unit, verb, outcome, told):
    value = Result(verb, unit(), outcome).value()
    good = outcome in (Outcome.DONE, Outcome.ALREADY)
    assert (value["outcome"], value["ok"]) == (told, good)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], 0),
        ([Outcome.DONE, Outcome.ALREADY], 0),
        ([Outcome.DONE, Outcome.FAILED], 1),
        ([Outcome.NO_PROCESS], 1),
        ([Outcome.FAILED, Outcome.LATE, Outcome.SKIPPED], 124),
    ],
    ids=str,
)
def test_the_exit_status_follows_from_the_outcomes(unit, outcomes, expected):
    assert exit_status([Result("start", unit(), one) for one in outcomes]) == expected
