"""A node's part of a plan, ready to run."""

import dataclasses
import json

import pytest

from pdsup.errors import SupervisorError
from pdsup.node.assignment import assign, log_path
from pdsup.plan.model import Log

JSON = '{"a": {"run": [1, 2]}, "b": "{}", "{x}": "{run_di}"}'


@pytest.fixture
def resolve(make_plan, make_unit, make_place):
    """The one unit of a node, with its command and settings resolved."""

    def one(*command, place=None, bind="any", **settings):
        plan = make_plan("node0", units=(make_unit("u", "node0", *command, **settings),), bind=bind)
        (unit,) = assign(plan, "digest", place or make_place()).units
        return unit

    return one


def test_a_node_gets_its_own_units_in_the_plans_order(make_plan, make_unit, make_place):
    units = [make_unit(name, node) for name, node in zip("dcba", ["n", "node0"] * 2, strict=True)]
    assignment = assign(make_plan("node0", "n", units=tuple(units)), "digest", make_place())
    assert [unit.name for unit in assignment.units] == ["c", "a"]
    assert assignment.address == "10.0.0.1"
    assert assignment.digest == "digest"


def test_a_node_without_units_has_an_empty_assignment(make_plan, make_unit, make_place):
    plan = make_plan("node0", "node1", units=(make_unit("u", "node1"),))
    assert assign(plan, "digest", make_place()).units == ()


def test_a_node_that_the_plan_lacks_can_not_be_assigned(make_plan, make_place):
    with pytest.raises(SupervisorError, match="cannot assign units to node0: the plan has no such"):
        assign(make_plan("node1"), "digest", make_place())


def test_directories_are_filled_into_commands_and_environments(resolve):
    unit = resolve(
        "engine",
        "--log={run_dir}/x",
        "{state_dir}{run_dir}",
        env={"CACHE": "{state_dir}/cache", "{run_dir}": "key"},
    )
    assert unit.command == (
        "engine",
        "--log=/runs/bench-1/x",
        "/tmp/pdsup-1/abc/node0/runs/bench-1",
    )
    assert unit.env["CACHE"] == "/tmp/pdsup-1/abc/node0/cache"
    assert unit.env["{run_dir}"] == "key"


def test_json_in_engine_flags_is_not_touched(resolve):
    unit = resolve("engine", "--override", JSON, env={"CONFIG": JSON})
    assert unit.command[2] == unit.env["CONFIG"] == JSON
    assert json.loads(unit.command[2])


@pytest.mark.parametrize("python", ["python3", "python"])
def test_a_module_that_the_agent_has_is_run_by_the_agents_interpreter(resolve, python):
    assert resolve(python, "-m", "sglang.launch_server", "--tp", "8").command == (
        "/venv/bin/python",
        "-m",
        "sglang.launch_server",
        "--tp",
        "8",
    )


@pytest.mark.parametrize(
    "command",
    [
        ("python3", "-m", "vllm.server"),
        ("python3", "sglang.py"),
        ("python3", "-u", "-m", "sglang.launch_server"),
        ("/opt/engine/python3", "-m", "sglang.launch_server"),
        ("python3",),
        ("python3", "-m"),
        ("sglang", "-m", "sglang"),
    ],
    ids=" ".join,
)
def test_any_other_command_is_left_to_the_path(resolve, command):
    assert resolve(*command).command == command


def test_a_unit_gets_the_agents_environment_and_its_own_wins(resolve):
    unit = resolve("engine", env={"HOME": "/scratch", "NEW": "1"})
    assert dict(unit.env) == {"PATH": "/usr/bin", "HOME": "/scratch", "NEW": "1"}


def test_the_environments_of_units_are_not_shared(resolve, make_place):
    place = make_place()
    resolve("engine", place=place, env={"NEW": "1"})
    assert "NEW" not in place.environ


@pytest.mark.parametrize(
    ("bind", "address", "local_address"),
    [("address", "10.0.0.1", "10.0.0.1"), ("any", "10.0.0.1", "127.0.0.1"),
     ("any", "node0", "127.0.0.1"), ("address", "fd00::1", "fd00::1"), ("any", "fd00::1", "::1")],
)  # fmt: skip
def test_a_unit_is_asked_over_the_loopback_of_its_nodes_kind_of_address(
    resolve, bind, address, local_address
):
    unit = dataclasses.replace(resolve("engine"), bind=bind, address=address)
    assert unit.local_address == local_address


def test_a_unit_knows_the_address_of_its_node_and_how_to_bind(resolve):
    unit = resolve("engine", bind="address")
    assert (unit.address, unit.bind) == ("10.0.0.1", "address")


def test_output_goes_where_the_plan_says_below_the_logs(make_unit):
    unit = make_unit("decode-0", "gb1", log=Log(file="gb1_decode_w0.out"))
    assert log_path("/runs/bench-1", unit) == "/runs/bench-1/logs/gb1_decode_w0.out"


def test_output_without_a_file_is_named_after_node_and_unit(make_unit):
    unit = make_unit("etcd", "gb1")
    assert log_path("/runs/bench-1", unit) == "/runs/bench-1/logs/gb1_etcd.out"


@pytest.mark.parametrize("proxy", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_no_proxy_is_between_the_nodes_of_a_run(resolve, make_place, proxy):
    given = {proxy: "http://proxy:3128", "no_proxy": "localhost,.corp", "PATH": "/bin"}
    env = resolve("x", place=make_place(environ=given)).env
    assert env["no_proxy"] == env["NO_PROXY"]
    assert env["no_proxy"].split(",")[:3] == ["localhost", ".corp", "node0"]
    assert "127.0.0.1" in env["no_proxy"].split(",")


def test_without_a_proxy_the_environment_is_as_it_was(resolve, make_place):
    assert resolve("x", place=make_place(environ={"A": "1"})).env == {"A": "1"}


def test_what_a_unit_says_of_proxies_counts(resolve, make_place):
    place = make_place(environ={"http_proxy": "http://proxy:3128"})
    assert resolve("x", place=place, env={"no_proxy": "*"}).env["no_proxy"] == "*"
