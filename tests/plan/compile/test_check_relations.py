"""What a plan must fulfil as a whole; each rule is broken once in a plan that was good."""

import pytest
import yaml

GOOD = {
    "plan": 1,
    "name": "hand-written",
    "nodes": [{"name": "a", "address": "10.0.0.1"}, {"name": "b", "address": "10.0.0.2"}],
    "units": [
        {
            "name": "prefill-0.0", "kind": "worker", "role": "prefill", "rank": 0,
            "gang": "prefill-0", "node": "a", "gpus": [0, 1],
            "ports": {"http": 30000, "bootstrap": 30001}, "command": ["serve"],
            "probes": {"startup": {"checks": [{"port": "http", "path": "/health"}],
                                   "period_s": 1, "timeout_s": 2, "deadline_s": 9}},
        },
        {
            "name": "prefill-0.1", "kind": "worker", "role": "prefill", "rank": 1,
            "gang": "prefill-0", "node": "b", "gpus": [0, 1], "ports": {"http": 30000},
            "command": ["serve"],
        },
        {
            "name": "decode-0", "kind": "worker", "role": "decode", "rank": 0, "node": "b",
            "gpus": [2, 3], "ports": {"http": 30032}, "command": ["serve"],
        },
        {
            "name": "router-0", "kind": "router", "node": "a",
            "ports": {"http": 30080, "prometheus": 29000},
            "command": ["router", "--prefill", "http://10.0.0.1:30000", "30001",
                        "--decode", "http://10.0.0.2:30032", "--decode", "http://elsewhere:1"],
            "needs": {"units": [{"unit": "prefill-0.0", "ports": ["http", "bootstrap"]},
                                {"unit": "decode-0"}], "later": "one-per-role"},
            "log": {"file": "a_router.out"},
        },
        {
            "name": "nginx", "kind": "nginx", "node": "a", "ports": {"http": 8000, "status": 81},
            "command": ["nginx"], "nginx": {"upstreams": ["router-0"]},
        },
        {"name": "exporter", "kind": "service", "node": "b", "command": ["exporter"]},
    ],
}  # fmt: skip


def changed(path, value):
    """The good plan with one value changed; ``...`` removes it."""
    plan = yaml.safe_load(yaml.safe_dump(GOOD))
    table, keys = plan, path.split(".")
    for key in keys[:-1]:
        table = table[int(key)] if isinstance(table, list) else table.setdefault(key, {})
    if value is ...:
        del table[keys[-1]]
    else:
        table[int(keys[-1]) if isinstance(table, list) else keys[-1]] = value
    return yaml.safe_dump(plan, sort_keys=False)


def gauges(**changes):
    """What a check may want of the gauges in its answer."""
    good = {"name": "open", "label": "w", "bad": 1, "means": "an open breaker", "groups": {}}
    return {**good, **changes}


def trial(**changes):
    """A request that has the last word over gauges."""
    return {"port": "http", "path": "/generate", "body": "{}", "timeout_s": 25, **changes}


def test_a_check_may_have_gauges_and_a_trial(desk):
    path = "units.0.probes.startup.checks.0.gauges"
    plan = desk.plan(changed(path, gauges(trial=trial(), groups={"decode": ["http://x:1"]})))
    (check,) = plan.units[0].probes.startup.checks
    assert check.gauges.groups == {"decode": ("http://x:1",)}


def test_a_plan_written_by_hand_is_good(desk):
    plan = desk.plan(yaml.safe_dump(GOOD))
    assert [unit.name for unit in plan.units][-1] == "exporter"


@pytest.mark.parametrize(
    ("path", "value", "at", "words"),
    [
        # values alone
        ("name", "a/b", "name", "letters"),
        ("control_port", 0, "control_port", "1 to 65535"),
        ("nodes.0.name", "a b", "nodes.0.name", "letters"),
        ("nodes.0.address", "x y", "nodes.0.address", "neither a host name nor an IP"),
        ("nodes.0.address", "node0:9440", "nodes.0.address", "neither a host name nor an IP"),
        ("nodes.0.address", "[::1]", "nodes.0.address", "neither a host name nor an IP"),
        ("nodes.0.address", "fe80::1%eth0", "nodes.0.address", "neither a host name nor an IP"),
        ("units.5.name", "../x", "units.5.name", "letters"),
        ("units.5.name", "all", "units.5.name", "means every unit"),
        ("units.5.command", [], "units.5.command", "is empty"),
        ("units.5.command", ["a\0b"], "units.5.command", "NUL"),
        ("units.5.env", {"A=": "x"}, "units.5.env.A=", "can't be an environment variable"),
        ("units.5.ports", {"http": 70000}, "units.5.ports.http", "1 to 65535"),
        ("units.5.ports", {"h p": 7000}, "units.5.ports.h p", "letters"),
        ("units.2.gpus", [2, 2], "units.2.gpus", "distinct numbers"),
        ("units.2.gpus", [-1], "units.2.gpus", "distinct numbers"),
        ("units.2.role", None, "units.2", "needs a role and a rank"),
        ("units.0.probes.startup.period_s", 0, "units.0.probes.startup.period_s", "more than 0"),
        ("units.0.probes.startup.timeout_s", float("nan"), "units.0.probes.startup.timeout_s",
         "must be a number"),
        ("units.0.probes.startup.deadline_s", -1, "units.0.probes.startup.deadline_s", "more than"),
        ("units.0.probes.startup.failures", 0, "units.0.probes.startup.failures", "at least 1"),
        ("units.0.probes.startup.checks", [], "units.0.probes.startup.checks", "is empty"),
        ("units.0.probes.startup.checks.0.port", "x", "units.0.probes.startup.checks.0.port",
         "no port 'x'"),
        ("units.0.probes.startup.checks.0.path", "h", "units.0.probes.startup.checks.0.path",
         "begin with /"),
        ("units.0.probes.startup.checks.0.gauges", gauges(name="a b"),
         "units.0.probes.startup.checks.0.gauges.name", "the name of a metric"),
        ("units.0.probes.startup.checks.0.gauges", gauges(label="a-b"),
         "units.0.probes.startup.checks.0.gauges.label", "the name of a label"),
        ("units.0.probes.startup.checks.0.gauges", gauges(trial=trial(port="x")),
         "units.0.probes.startup.checks.0.gauges.trial.port", "no port 'x'"),
        ("units.0.probes.startup.checks.0.gauges", gauges(trial=trial(path="x")),
         "units.0.probes.startup.checks.0.gauges.trial.path", "begin with /"),
        ("units.0.probes.startup.checks.0.gauges", gauges(trial=trial(timeout_s=0)),
         "units.0.probes.startup.checks.0.gauges.trial.timeout_s", "more than 0"),
        ("units.5.restart.delay_s", -1, "units.5.restart.delay_s", "at least 0"),
        ("units.5.restart.limit_s", float("inf"), "units.5.restart.limit_s", "at least 0, not inf"),
        ("units.5.restart.factor", 0.5, "units.5.restart.factor", "at least 1"),
        ("units.5.restart.max_failures", -1, "units.5.restart.max_failures", "at least 0"),
        ("units.5.stop.signal", "SIGTERM", "units.5.stop.signal", "must be one of"),
        ("units.5.stop.timeout_s", -1, "units.5.stop.timeout_s", "at least 0"),
        ("units.5.log.file", "../x.out", "units.5.log.file", "plain path"),
        ("units.5.log.file", "/x.out", "units.5.log.file", "plain path"),
        ("units.4.ports", {"http": 8000}, "units.4.ports", "needs a port 'status'"),
        ("units.4.nginx.keepalive_timeout", "1;x", "units.4.nginx.keepalive_timeout", "a time"),
        ("units.4.nginx.client_max_body_size", "1 m", "units.4.nginx.client_max_body_size",
         "a size"),
        ("units.4.nginx", None, "units.4.nginx", "is required for kind: nginx"),
        # units together
        ("nodes.1.name", "a", "nodes.1.name", "another node also has the name 'a'"),
        ("nodes.1.address", "10.0.0.1", "nodes.1.address", "another node also has the address"),
        ("units.5.name", "nginx", "units.5.name", "another unit is also named 'nginx'"),
        ("units.5.log.file", "a_router.out", "units.5.log.file", "another unit also writes to"),
        ("units.5.log", {"mode": "pipe", "max_bytes": 100}, "units.5.log.max_bytes",
         "must be at least 65536, not 100"),
        ("units.5.log.file", "b_decode-0.out", "units.5.log.file", "another unit also writes to"),
        ("units.5.log.max_bytes", 1 << 20, "units.5.log.max_bytes", "needs mode: pipe"),
        ("units.5.log.timestamps", True, "units.5.log.timestamps", "needs mode: pipe"),
        ("units.5.log.keep", 0, "units.5.log.keep", "must be 1 to 1000, not 0"),
        ("units.5.node", "c", "units.5.node", "no node 'c'"),
        ("units.5.ports", {"x": 30032}, "units.5.ports.x", "is already used by decode-0 (http)"),
        ("units.5.ports", {"x": 9440}, "units.5.ports.x", "is already used by the agent"),
        ("units.5.ports", {"x": 1, "y": 1}, "units.5.ports.y", "is already used by exporter (x)"),
        ("units.2.gpus", [1, 2], "units.2.gpus", "GPU 1 of b is already used by prefill-0.1"),
        ("units.3.needs.units.1.unit", "x", "units.3.needs.units.1.unit", "no unit 'x'"),
        ("units.3.needs.units.1.ports", ["x"], "units.3.needs.units.1.ports", "has no port 'x'"),
        ("units.2.needs.units", [{"unit": "router-0"}], "units.2.needs",
         "decode-0 -> router-0 -> decode-0"),
        ("units.5.needs.units", [{"unit": "exporter"}], "units.5.needs", "waits for itself"),
        ("units.3.needs.units", [{"unit": "nginx"}], "units.3.needs", "router-0 -> nginx"),
        ("units.1.rank", 2, "units.0.gang", "ranks [0, 2]"),
        ("units.1.role", "decode", "units.0.gang", "several roles"),
        ("units.1.gang", ..., "units.1.rank", "is not in a gang"),
        ("units.4.nginx.upstreams", ["decode-0"], "units.4.nginx.upstreams.0", "no router"),
        ("units.3.command", ["router", "--decode", "http://10.0.0.2:30000"], "units.3.command",
         "is not a worker's rank 0"),
        ("units.3.command", ["router", "--decode", "http://10.0.0.1:30000"], "units.3.command",
         "is prefill-0.0, a prefill worker, not decode"),
        ("units.3.command", ["router", "--prefill", "http://10.0.0.1:30000", "31000"],
         "units.3.command", "has bootstrap port 30001, but the router is given 31000"),
        ("units.3.command", ["router", "--worker-urls", "http://x:1", "http://10.0.0.1:1", "--a"],
         "units.3.command", "http://10.0.0.1:1 is not a worker"),
    ],
)  # fmt: skip
def test_a_plan_that_can_not_work_is_refused(desk, path, value, at, words):
    problems = desk.problems(changed(path, value))
    found = [problem for problem in problems if problem.path == at]
    assert [words in problem.message for problem in found] == [True], problems


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://[fd00::2]:30032", None), ("http://[fd00::2]:30000", "is not a worker's rank 0"),
     ("http://[fd00::1]:30000", "a prefill worker, not decode")],
)  # fmt: skip
def test_what_a_router_is_told_is_checked_on_ipv6_addresses_too(desk, url, words):
    plan = yaml.safe_load(changed("units.3.command", ["router", "--decode", url]))
    plan["nodes"] = [{"name": "a", "address": "fd00::1"}, {"name": "b", "address": "fd00::2"}]
    text = yaml.safe_dump(plan)
    if words is None:
        assert desk.plan(text)
    else:
        assert words in desk.problem(text).message


def test_two_ranks_of_a_gang_may_not_share_a_node(desk):
    problems = desk.problems(changed("units.1.node", "a"))
    assert ("units.1.node", "another rank of prefill-0 is also on 'a'") in {
        (problem.path, problem.message) for problem in problems
    }


def test_a_log_may_not_be_where_an_earlier_part_of_another_goes(desk):
    plan = yaml.safe_load(changed("units.5.log.file", "a_router.out.3"))
    assert desk.plan(yaml.safe_dump(plan))
    plan["units"][3]["log"] = {"file": "a_router.out", "mode": "pipe", "max_bytes": 1 << 20}
    (problem,) = desk.problems(yaml.safe_dump(plan))
    assert problem.path == "units.5.log.file"
    assert "is where an older part of 'a_router.out' is kept" in problem.message


@pytest.mark.parametrize("key", ["nodes", "units"])
def test_a_plan_has_nodes_and_units(desk, key):
    problems = desk.problems(changed(key, []))
    assert (key, "is empty") in {(problem.path, problem.message) for problem in problems}


@pytest.mark.parametrize(
    ("path", "value", "at", "words"),
    [
        ("plan", 2, "plan", "must be 1, not 2"),
        ("name", ..., "name", "is missing"),
        ("units.3", "x", "units.3", "must be a table"),
        ("units.5.command", "run me", "units.5.command", 'must be a list, not "run me"'),
        ("units.5.command", ["a", 1], "units.5.command.1", "must be text, not 1"),
        ("units.5.colour", "red", "units.5.colour", "is not a known setting"),
        ("units.5.restart.delay", 1, "units.5.restart.delay", "did you mean delay_s?"),
        ("units.5.stop.timeout_s", "1", "units.5.stop.timeout_s", "must be a number"),
        ("units.5.kind", "servise", "units.5.kind", "did you mean service?"),
        ("units.5.ports", {"x": 1.5}, "units.5.ports.x", "must be a whole number"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(desk, path, value, at, words):
    problem = desk.problem(changed(path, value))
    assert problem.path == at
    assert words in problem.message


def test_a_wrong_unit_hides_no_problem_of_the_others(desk):
    text = changed("units.0.colour", "red").replace("name: exporter", "name: no/good")
    text = text.replace("rank: 1", "rank: one")
    assert [problem.path for problem in desk.problems(text)] == [
        "units.0.colour",
        "units.1.rank",
        "units.5.name",
    ]
