"""Routers hear of workers that are back, against a stand-in for the router's API."""

import asyncio
import contextlib
import dataclasses
import errno
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from pdsup.front import router as repair_module
from pdsup.front import router_rules
from pdsup.front.router import RouterRepair
from pdsup.units.public_state import PublicState
from tests.bed.log import quiet
from tests.bed.routers import FakeRouter

LIMIT_S = 60.0
ALL = ("prefill-0", "prefill-1", "decode-0", "decode-1")


@pytest.fixture
def front(plan, assignment, unit_report, monkeypatch):
    """A repair of router-0 with all workers RUNNING; ``see`` changes what is reported."""
    monkeypatch.setattr(repair_module, "CHECK_S", 0.01)

    @contextlib.asynccontextmanager
    async def made(unheard=frozenset()):
        targets = router_rules.targets(plan, "router-0")
        router = FakeRouter(targets)
        runner = web.AppRunner(router.app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        unit = next(u for u in assignment("node0").units if u.name == "router-0")
        ports = {"http": port, "prometheus": port}
        command = ("router", "--decode", targets[-1].url)
        planned = dataclasses.replace(unit.plan, command=command)
        unit = dataclasses.replace(unit, plan=planned)
        said = {name: unit_report(name) for name in ALL}
        # Where the run listens, which was started before the plan gave it other ports.
        said["router-0"] = unit_report("router-0", ports=ports)
        async with aiohttp.ClientSession() as session, asyncio.timeout(LIMIT_S):
            heard = set(said) - unheard
            repair = RouterRepair(plan, unit, said.get, heard.__contains__, session, quiet()[0])
            task = asyncio.create_task(repair.run())

            def see(name, **changes):
                if "state" in changes:
                    changes["state"] = PublicState(changes["state"])
                said[name] = dataclasses.replace(said[name], **changes) if changes else None
                repair.react()

            def back(name):
                run, since = said[name].run + 1, said[name].since + 10
                see(name, state="STARTING", run=run, since=since)
                see(name, state="RUNNING", since=since + 5)

            repair.react()
            try:
                yield SimpleNamespace(
                    router=router,
                    targets=targets,
                    see=see,
                    back=back,
                    said=said,
                    react=repair.react,
                    heard=heard,
                )
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await runner.cleanup()

    return made


async def test_a_router_that_has_just_started_is_told_nothing(front, until):
    async with front() as f:
        f.router.fails = 1  # so that it is certain that it was asked
        f.see("router-0", run=9)
        await until(lambda: not f.router.fails)
        f.back("decode-1")
        await until(lambda: f.router.asked)
        assert f.router.asked == [("close", "decode-1")]


async def test_a_worker_that_was_started_again_is_served_again(front, until):
    async with front() as f:
        f.back("prefill-1")
        await until(lambda: f.router.asked == [("close", "prefill-1")])


async def test_a_worker_that_was_only_unhealthy_is_served_again(front, until):
    async with front() as f:
        f.see("decode-0", state="UNHEALTHY", since=2e9)
        assert f.router.asked == []
        f.see("decode-0", state="RUNNING", since=2e9 + 1)
        await until(lambda: f.router.asked == [("close", "decode-0")])


async def test_a_worker_that_is_halted_is_dropped_until_it_answers_again(front, until):
    async with front() as f:
        f.see("decode-0", state="UNHEALTHY", halted=True, since=2e9)
        await until(lambda: f.router.asked == [("drop", "decode-0")])
        f.see("decode-0", state="RUNNING", halted=None, since=2e9 + 1)
        await until(lambda: "decode-0" not in f.router.ids.values() and len(f.router.asked) == 2)
        url = next(t.url for t in f.targets if t.unit == "decode-0")
        assert f.router.asked[1] == ("add", url, None)


async def test_the_last_worker_of_a_role_stays_listed_also_when_it_is_halted(front, until):
    async with front() as f:
        f.see("decode-1", state="BACKOFF")
        await until(lambda: f.router.asked == [("drop", "decode-1")])
        f.see("decode-0", state="UNHEALTHY", halted=True, since=2e9)
        f.see("prefill-0", state="BACKOFF")
        await until(lambda: f.router.asked == [("drop", "decode-1"), ("drop", "prefill-0")])


async def test_a_worker_of_a_node_that_a_new_agent_has_not_heard_of_yet_is_not_tried(
    front, until, monkeypatch
):
    tried = []

    async def connect(address, port):
        tried.append(address)
        raise OSError(errno.EHOSTUNREACH, "no route to host")

    monkeypatch.setattr(repair_module, "connect", connect)
    async with front(unheard={"prefill-1"}) as f:
        f.see("prefill-1")
        f.see("decode-1", state="BACKOFF")
        await until(lambda: f.router.asked == [("drop", "decode-1")])
        assert tried == []
        f.heard.add("prefill-1")
        f.react()
        await until(lambda: f.router.asked[1:] == [("drop", "prefill-1")])
        assert len(tried) == 1


async def test_a_worker_whose_node_was_gone_for_a_while_is_served_again(front, until):
    async with front() as f:
        f.see("decode-0", state="RUNNING")
        there = f.said["decode-0"]
        f.see("decode-0")
        f.said["decode-0"] = there
        f.react()
        await until(lambda: f.router.asked == [("close", "decode-0")])


async def test_the_healthy_ones_that_lost_requests_with_it_are_served_again(front, until):
    async with front() as f:
        f.router.open = {"prefill-0", "decode-1"}
        f.back("decode-1")
        await until(lambda: len(f.router.asked) == 2)
        assert f.router.open == set()


async def test_a_worker_that_the_router_lacks_is_added_until_it_is_there(front, until):
    async with front() as f:
        url = next(url for url, name in f.router.ids.items() if name == "prefill-1")
        del f.router.ids[url]
        f.back("prefill-1")
        await until(lambda: url in f.router.ids)
        assert set(f.router.asked) == {("add", url, 30001)}


async def test_a_list_that_somebody_has_changed_is_as_planned_again_without_any_news(
    front, until, monkeypatch
):
    monkeypatch.setattr(repair_module, "COMPARE_S", 0.02)
    async with front() as f:
        planned = set(f.router.ids)
        f.router.ids["http://10.66.6.6:30000"] = "stranger"
        await until(lambda: set(f.router.ids) == planned)
        assert f.router.asked == [("drop", "stranger")]
        f.router.ids.clear()
        await until(lambda: set(f.router.ids) == planned)
        assert {what for what, *_ in f.router.asked[1:]} == {"add"}


def test_how_often_it_is_compared_is_within_what_is_promised():
    assert 10.0 <= repair_module.COMPARE_S <= 30.0


async def test_a_router_without_a_ready_worker_is_repaired_though_unhealthy(front, until):
    async with front() as f:
        f.see("router-0", state="UNHEALTHY")
        f.back("decode-0")
        await until(lambda: f.router.asked == [("close", "decode-0")])


async def test_a_router_that_is_down_is_not_asked(front, until):
    async with front() as f:
        f.see("router-0", state="BACKOFF")
        f.router.fails = 1000
        f.back("decode-0")
        f.see("router-0", state="RUNNING", run=3)
        await until(lambda: f.router.fails < 1000)
        f.router.fails = 0
        f.back("decode-1")
        await until(lambda: f.router.asked)
        assert f.router.asked == [("close", "decode-1")]


async def test_a_router_that_fails_to_answer_is_asked_again(front, until):
    async with front() as f:
        f.router.fails = 3
        f.back("decode-0")
        await until(lambda: f.router.asked == [("close", "decode-0")])


async def test_a_program_that_is_no_router_we_know_is_left_alone(front, until):
    async with front() as f:
        f.router.foreign = 0
        f.back("decode-0")
        await until(lambda: f.router.foreign)
        f.router.foreign = None
        f.back("decode-1")
        await until(lambda: f.router.asked)
        assert f.router.asked == [("close", "decode-1")]


async def test_a_worker_behind_a_dead_path_is_dropped_and_one_that_refuses_is_not(
    front, until, monkeypatch, plan
):
    async def connect(address, port):
        if address == plan.address["node3"]:
            raise OSError(errno.EHOSTUNREACH, "no route to host")
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    monkeypatch.setattr(repair_module, "connect", connect)
    async with front() as f:
        f.said["prefill-1"] = None
        f.see("decode-1")
        await until(lambda: f.router.asked)
        assert f.router.asked == [("drop", "decode-1")]


async def test_a_path_that_swallows_everything_is_dead(front, until, monkeypatch):
    async def connect(address, port):
        await asyncio.Event().wait()

    monkeypatch.setattr(repair_module, "connect", connect)
    monkeypatch.setattr(repair_module, "SILENT_S", 0.01)
    async with front() as f:
        f.see("decode-1")
        await until(lambda: f.router.asked == [("drop", "decode-1")])


@pytest.mark.parametrize("state", ["BACKOFF", "STOPPING", "STARTING", "FATAL"])
async def test_a_worker_that_is_down_is_dropped_at_once_and_only_once(front, until, state):
    async with front() as f:
        f.see("decode-1", state=state)
        await until(lambda: f.router.asked == [("drop", "decode-1")])
        f.see("decode-1", state="WAITING")
        f.back("prefill-0")
        await until(lambda: ("close", "prefill-0") in f.router.asked)
        assert f.router.asked.count(("drop", "decode-1")) == 1


async def test_a_worker_that_was_dropped_is_taken_in_again_when_it_is_back(front, until):
    async with front() as f:
        f.see("decode-1", state="BACKOFF")
        await until(lambda: f.router.asked == [("drop", "decode-1")])
        f.back("decode-1")
        await until(lambda: f.router.asked[-1][0] == "add")


async def test_the_last_worker_of_its_role_is_not_dropped(front, until):
    async with front() as f:
        f.said["decode-0"] = dataclasses.replace(f.said["decode-0"], state=PublicState.BACKOFF)
        f.see("decode-1", state="BACKOFF")
        f.back("prefill-0")
        await until(lambda: ("close", "prefill-0") in f.router.asked)
        assert [what for what, *_ in f.router.asked if what == "drop"] == []


async def test_a_worker_that_is_unhealthy_is_left_to_the_router(front, until):
    async with front() as f:
        f.see("decode-1", state="UNHEALTHY")
        f.back("decode-0")
        await until(lambda: ("close", "decode-0") in f.router.asked)
        assert ("drop", "decode-1") not in f.router.asked
