"""What an agent tells of the nginx of its node: a real one, with listeners for routers."""

import os
import signal

import pytest


@pytest.fixture
def front(agents, wait_for):
    """An nginx that passes requests to two routers, since its start."""
    agents.start(agents.plan(*agents.front()))
    wait_for(lambda: agents.look("nginx")["ready"])
    return agents


def command(agents, verb, unit):
    agents.tell("node0", "/v1/units", {"command": verb, "units": [unit]})


def reloads(agents):
    return [line for line in agents.journal() if "to" not in line]


def test_the_configuration_that_nginx_starts_with_is_no_reload(front):
    assert reloads(front) == []


def test_a_router_that_goes_is_told_as_a_reload_of_nginx_and_so_is_its_return(front, wait_for):
    command(front, "stop", "router-1")
    wait_for(lambda: reloads(front))
    command(front, "start", "router-1")
    wait_for(lambda: len(reloads(front)) > 1)
    out, back = reloads(front)
    assert (out["node"], out["unit"], out["run"]) == ("node0", "nginx", 1)
    assert (out["reason"], back["reason"]) == (
        "1 router, router-1 out", "2 routers, router-1 in",
    )  # fmt: skip
    assert out["event"] == {
        "type": "Reloaded", "upstreams": ["router-0"], "joined": [], "left": ["router-1"],
    }  # fmt: skip
    assert out["at"] < back["at"]
    assert out["monotonic"] < back["monotonic"]


def test_an_nginx_that_was_started_again_was_not_reloaded(front, wait_for):
    command(front, "restart", "nginx")
    wait_for(lambda: front.look("nginx")["run"] == 2 and front.look("nginx")["ready"])
    assert reloads(front) == []


def test_an_agent_that_takes_a_running_nginx_over_tells_of_no_reload(agents, wait_for):
    agents.start(agents.plan(*agents.front()), program=("-m", "pdsup", "agent"))
    wait_for(lambda: agents.look("nginx")["ready"])
    nginx, agent = agents.look("nginx")["pid"], agents.agent()
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: agents.agent() not in (None, agent))
    wait_for(lambda: agents.look("nginx")["ready"])
    command(agents, "stop", "router-1")
    wait_for(lambda: reloads(agents))
    assert [line["reason"] for line in reloads(agents)] == ["1 router, router-1 out"]
    assert agents.look("nginx")["pid"] == nginx
