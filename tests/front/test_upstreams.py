"""What an agent tells of the nginx of its node: a real one, with listeners for routers.

And what it does with the nginx of the agent before it: a fake one, whose signals can be counted.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from pdsup.errors import NothingThere
from pdsup.front import upstreams as module
from pdsup.front.nginx_conf import Upstream, render
from pdsup.front.upstreams import Upstreams
from pdsup.units.process.spawn import Spawner
from tests.bed import forks
from tests.front.conftest import FakeMaster


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
    agents.start(agents.plan(*agents.front()), program=forks.guarded)
    wait_for(lambda: agents.look("nginx")["ready"])
    nginx, agent = agents.look("nginx")["pid"], agents.agent()
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: agents.agent() not in (None, agent))
    wait_for(lambda: agents.look("nginx")["ready"])
    command(agents, "stop", "router-1")
    wait_for(lambda: reloads(agents))
    assert [line["reason"] for line in reloads(agents)] == ["1 router, router-1 out"]
    assert agents.look("nginx")["pid"] == nginx


def test_routers_that_move_to_other_ports_are_in_use_until_they_restart(agents, wait_for):
    front = agents.front()
    for unit in front[:2]:
        probe = {"checks": [{"port": "http"}], "period_s": 0.02, "timeout_s": 5.0}
        unit["probes"]["readiness"] = probe
    agents.start(agents.plan(*front), program=("-m", "pdsup", "agent"))
    wait_for(lambda: agents.look("nginx")["ready"])
    for index, unit in enumerate(front[:2]):
        unit["ports"] = {"http": 30090 + index}
        unit["command"] = tuple(w.replace(f"3008{index}", f"3009{index}") for w in unit["command"])
    agents.plan(*front)
    agents.tell("node0", "/v1/reload", {"plan": None, "dry_run": False})

    def moved():
        with contextlib.suppress(NothingThere, AttributeError):  # between two agents
            seen = {name: agents.look(name) for name in ("router-0", "router-1", "nginx")}
            return [one["run"] for one in seen.values()] == [2, 2, 1] and seen["nginx"]["ready"]
        return False

    wait_for(moved)
    assert all(line["event"]["upstreams"] for line in reloads(agents))
    states = {line["to"] for line in agents.journal() if line["unit"].startswith("router")}
    assert "UNHEALTHY" not in states
    assert agents.look("router-0")["ports"] == {"http": 30090}


class Inherited:
    """An nginx that an earlier agent has left, and the part of the new agent that looks after it.

    ``reports``: what that one has heard of other nodes; ``asked``: the routers whose nodes have
    answered it, or failed to.
    """

    def __init__(self, own, session, directory) -> None:
        unit = next(each for each in own.units if each.name == "nginx")
        conf = directory / "conf" / "nginx.conf"
        self.settings = module._settings(own, unit)
        self.nginx = FakeMaster(conf, self.settings, directory)
        command = (self.nginx.binary, "-c", str(conf))
        self.facts = SimpleNamespace(pid=4711, run=1)
        self.reports, self.asked = {}, set()
        self.router = Upstream("router-0", own.plan.address["node0"], 30080)
        for made in (conf.parent, Path(self.settings.prefix)):
            made.mkdir(exist_ok=True)
        conf.write_text(render(self.settings, [self.router]).text)
        self.nginx.start()
        self._build = lambda: Upstreams(
            own,
            SimpleNamespace(
                unit=dataclasses.replace(unit, command=command),
                facts=self.facts,
                signal=self.nginx.signal,
            ),
            SimpleNamespace(look=self.reports.get, has_asked=self.asked.__contains__),
            Spawner(),
            session,
            lambda: self.part.react(),
            lambda _: None,
        )

    @contextlib.asynccontextmanager
    async def taken_over(self):
        """The new agent's part, at work."""
        self.part = self._build()
        task = asyncio.create_task(self.part.run())
        try:
            self.part.react()
            yield self.part
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.wait([task])
            self.nginx.end()


@pytest.fixture
def inherited(plan, assignment, session, tmp_path):
    ported = dataclasses.replace(plan, bind="address")
    return Inherited(assignment("node0", ported), session, tmp_path)


@contextlib.asynccontextmanager
async def answering(router):
    """Something listens where a router should."""
    server = await asyncio.start_server(lambda _, it: it.close(), router.address, router.port)
    try:
        yield
    finally:
        server.close()


@pytest.mark.processes
async def test_a_new_agent_leaves_nginx_its_routers_until_it_has_heard_of_them(inherited, until):
    async with answering(inherited.router), inherited.taken_over() as part:
        part.restore()  # as at a removal beside its files, perhaps by this agent itself
        await until(lambda: part.upstreams() is not None)
        assert part.upstreams() == ("router-0",)
        assert part.unusable() is None
        assert inherited.nginx.signals == []


@pytest.mark.processes
async def test_an_nginx_that_ends_meanwhile_is_started_with_the_same_routers(inherited):
    before = inherited.nginx.conf.read_text()
    async with answering(inherited.router), inherited.taken_over() as part:
        inherited.nginx.end()
        inherited.facts.pid = None
        part.react()
        part.prepare()
        assert inherited.nginx.conf.read_text() == before


@pytest.mark.processes
async def test_a_router_whose_agent_is_silent_leaves_nginx_once_it_does_not_answer_either(
    inherited, until, monkeypatch
):
    monkeypatch.setattr(module, "ASK_EVERY_S", 0.01)
    asked = 0

    def answer(_, writer):
        nonlocal asked
        asked += 1
        writer.close()

    router = inherited.router
    server = await asyncio.start_server(answer, router.address, router.port)
    async with server, inherited.taken_over() as part:
        inherited.asked.add("router-0")  # and in vain
        part.react()
        await until(lambda: asked > 2)
        assert inherited.nginx.signals == []
        server.close()
        await until(lambda: part.upstreams() == ())


@pytest.mark.processes
async def test_without_its_file_nginx_is_left_alone_until_every_router_was_asked_about(
    inherited, until, unit_report
):
    inherited.nginx.conf.unlink()
    async with answering(inherited.router), inherited.taken_over() as part:
        part.restore()
        assert part.unusable() == "its list of routers is not known yet"
        assert part.upstreams() is None
        inherited.reports["router-0"] = unit_report("router-0")
        inherited.asked.add("router-0")
        part.react()
        await until(lambda: part.upstreams() == ("router-0",))
