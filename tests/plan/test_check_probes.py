"""What probes may ask, and what of it is refused with which words."""

import json

import pytest

from pdsup.plan import check_probes
from pdsup.plan.model import Check, PlanUnit, Probe, Probes, Progress

GET = Check(port="http", path="/health")


def unit(**probes) -> PlanUnit:
    return PlanUnit(
        name="w", kind="service", node="a", ports={"http": 1}, command=("w",),
        probes=Probes(**probes),
    )  # fmt: skip


def probe(*checks, **numbers) -> Probe:
    return Probe(**{"checks": checks or (GET,), "period_s": 1.0, "timeout_s": 1.0, **numbers})


def problems(**probes) -> list[str]:
    return [f"{one.path}: {one.message}" for one in check_probes.check("p", unit(**probes))]


@pytest.mark.parametrize(
    "check",
    [
        Check(port="http"),
        GET,
        Check(port="http", path="/x?a=-1", status=(401,), skip=(404,), body="^a", field="b.0"),
        Check(port="http", path="/x", field="b", equals="true"),
        Check(command=("true",)),
        Check(log="ready"),
        Check(tree=""),
        Check(tree="sglang::"),
    ],
    ids=str,
)
def test_each_way_to_ask_is_good(check):
    assert problems(startup=probe(check), readiness=probe(check), liveness=probe(check)) == []


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (Check(), "p.startup.checks.0: must have exactly one of"),
        (Check(port="http", log="x"), "p.startup.checks.0: must have exactly one of"),
        (Check(port="x"), "p.startup.checks.0.port: w has no port 'x'"),
        (Check(port="http", path="x"), "p.startup.checks.0.path: must begin with /"),
        (Check(log="x", path="/x"), "p.startup.checks.0.path: needs a port"),
        (Check(port="http", body="x"), "p.startup.checks.0.body: needs a path"),
        (Check(port="http", status=(200,)), "p.startup.checks.0.status: needs a path"),
        (Check(port="http", path="/", equals="x"), "p.startup.checks.0.equals: needs a field"),
        (Check(port="http", path="/", status=(7,)), "p.startup.checks.0.status: must be HTTP"),
        (Check(port="http", path="/", skip=(600,)), "p.startup.checks.0.skip: must be HTTP"),
        (Check(port="http", path="/", body="("), "p.startup.checks.0.body: is not a regular expr"),
        (Check(log="["), "p.startup.checks.0.log: is not a regular expression"),
        (Check(command=("",)), "p.startup.checks.0.command: can't be a command"),
        (Check(command=("a\0",)), "p.startup.checks.0.command: can't be a command"),
    ],
    ids=str,
)
def test_a_question_that_can_not_be_asked_is_a_problem(check, problem):
    (found,) = problems(startup=probe(check))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("kind", "numbers", "problem"),
    [
        ("startup", {"successes": 0}, "p.startup.successes: must be at least 1"),
        ("startup", {"jitter": 1.0}, "p.startup.jitter: must be at least 0 and below 1"),
        ("startup", {"stable_s": -1}, "p.startup.stable_s: must be a number at least 0"),
        ("startup", {"limit_s": 5.0}, "p.startup.limit_s: needs a deadline_s"),
        ("startup", {"limit_s": 5.0, "deadline_s": 6.0}, "p.startup.limit_s: needs a deadline_s"),
        ("startup", {"quiet_s": 5.0, "deadline_s": 6.0}, "p.startup.quiet_s: needs a limit_s"),
        (
            "readiness",
            {"quiet_s": 5.0},
            "p.readiness.quiet_s: is for startup and liveness probes only",
        ),
        ("readiness", {"deadline_s": 5.0}, "p.readiness.deadline_s: is for the startup probe"),
        ("liveness", {"limit_s": 5.0, "deadline_s": 1.0}, "p.liveness.deadline_s: is for the st"),
        ("liveness", {"quiet_s": -1.0}, "p.liveness.quiet_s: must be a number at least 0"),
    ],
)
def test_a_number_that_means_nothing_is_a_problem(kind, numbers, problem):
    assert problems(**{kind: probe(**numbers)})[0].startswith(problem)


@pytest.mark.parametrize(
    ("progress", "problem"),
    [
        (Progress(counters=("x",)), "p.progress: needs both counters and a port"),
        (Progress(port="http"), "p.progress: needs both counters and a port"),
        (Progress(port="x", counters=("x",)), "p.progress.port: w has no port 'x'"),
        (Progress(path="x"), "p.progress.path: must begin with /"),
        (Progress(noise=("(",)), "p.progress.noise: is not a regular expression"),
    ],
    ids=str,
)
def test_progress_that_can_not_be_seen_is_a_problem(progress, problem):
    assert problems(progress=progress)[0].startswith(problem)


def test_problems_come_with_their_lines(desk):
    text = json.dumps(
        {
            "plan": 1, "name": "x", "nodes": [{"name": "a", "address": "a"}],
            "units": [{
                "name": "w", "kind": "service", "node": "a", "command": ["w"],
                "probes": {"liveness": {"checks": [{"log": "("}], "period_s": 1, "timeout_s": 1}},
            }],
        },
        indent=0,
    )  # fmt: skip
    found = desk.problems(text)
    assert [one.path for one in found] == ["units.0.probes.liveness.checks.0.log"]
    assert text.splitlines()[found[0].line - 1].startswith('"log"')
