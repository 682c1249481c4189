"""Routers leave nginx before they end, and their requests may go on."""

import asyncio
import dataclasses

import pytest
from aiohttp import web

from pdsup.front import drain as module
from pdsup.front import drain_rules
from pdsup.front.drain import Drains
from pdsup.plan.model import Stop

PATIENCE = 60.0


@pytest.fixture
def routed(plan):
    """The plan with a router that has a Prometheus port and a patience of its own."""

    def changed(unit):
        ports = {**unit.ports, "prometheus": 29000}
        return dataclasses.replace(unit, ports=ports, stop=Stop(drain_timeout_s=PATIENCE))

    units = tuple(changed(u) if u.name == "router-0" else u for u in plan.units)
    return dataclasses.replace(plan, bind="address", units=units)


@pytest.fixture
def drainer(routed, assignment, unit_report):
    """A drainer on the router's node, and what nginx's agent reports: ``known``."""
    known = {"nginx": unit_report("nginx", upstreams=("router-0",))}
    own = assignment(routed.by_name["router-0"].node, routed)

    def change():
        made.changes += 1

    made = Drains(own, known.get, lambda: made.node_ends, change)
    made.known, made.node_ends, made.changes = known, False, 0
    return made


@pytest.fixture
async def busy(routed):
    """The router's own figures: how much it has to do."""
    figures = {"smg_http_connections_active": 0, 'smg_worker_requests_active{worker="a"}': 0}

    async def tell(_):
        return web.Response(text="".join(f"{k} {v}\n" for k, v in figures.items()))

    app = web.Application()
    app.router.add_get("/metrics", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    where = routed.address[routed.by_name["router-0"].node]
    await web.TCPSite(runner, where, 29000).start()
    yield figures
    await runner.cleanup()


@pytest.fixture
async def connected(routed, until):
    """A client keeps a connection to the router."""
    where = (routed.address[routed.by_name["router-0"].node], 30080)
    ends = []
    server = await asyncio.start_server(lambda _, writer: ends.append(writer), *where)
    _, client = await asyncio.open_connection(*where)
    ends.append(client)
    await until(lambda: len(ends) == 2)
    yield
    server.close()
    for end in ends:
        end.close()
        await end.wait_closed()


async def still_drains(task):
    """Whether it goes on for some turns of the loop."""
    done, _ = await asyncio.wait({task}, timeout=0.1)
    return not done


def test_a_router_that_nginx_uses_must_drain_and_others_need_not(drainer, unit_report):
    assert drainer.within("router-0") == PATIENCE
    assert drainer.within("decode-0") == 0
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    assert drainer.within("router-0") == 0
    del drainer.known["nginx"]
    assert drainer.within("router-0") == PATIENCE


def test_at_the_end_of_a_node_there_is_less_time(drainer):
    drainer.node_ends = True
    assert drainer.within("router-0") == module.END_S


async def test_a_router_is_drained_when_nginx_says_that_it_is_out(drainer, unit_report):
    task = asyncio.create_task(drainer.drain("router-0"))
    assert await still_drains(task)
    drainer.known["nginx"] = unit_report("nginx", upstreams=("router-1",))
    await asyncio.wait_for(task, 60)


@pytest.mark.parametrize("which", [0, 1])
async def test_then_its_requests_and_streams_may_end(drainer, unit_report, busy, connected, which):
    busy[list(busy)[which]] = 2
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    task = asyncio.create_task(drainer.drain("router-0"))
    assert await still_drains(task)
    busy[list(busy)[which]] = 0
    await asyncio.wait_for(task, 60)


async def test_a_request_whose_client_has_gone_away_is_not_waited_for(drainer, unit_report, busy):
    busy["smg_http_connections_active"] = 2  # and never less, though nobody is connected
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    await asyncio.wait_for(drainer.drain("router-0"), 30)


async def test_nor_is_it_for_long_while_another_client_has_a_connection_but_no_request(
    drainer, unit_report, busy, connected, monkeypatch
):
    monkeypatch.setattr(drain_rules, "STILL_S", 0.3)
    busy["smg_http_connections_active"] = 2
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    await asyncio.wait_for(drainer.drain("router-0"), 30)


@pytest.mark.parametrize("what", ["nan", "+Inf", "-1", "many"])
async def test_figures_that_are_none_do_not_hold_up_a_drain(drainer, unit_report, busy, what):
    busy["smg_http_connections_active"] = what
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    await asyncio.wait_for(drainer.drain("router-0"), 30)


async def test_a_drain_says_what_it_waits_for(
    drainer, unit_report, busy, connected, until, monkeypatch
):
    monkeypatch.setattr(module, "TELL_S", 0.0)
    task = asyncio.create_task(drainer.drain("router-0"))
    await until(lambda: drainer.waits_for("router-0") == "nginx still lists it")
    del drainer.known["nginx"]
    await until(lambda: drainer.waits_for("router-0") == "nginx cannot be asked")
    busy["smg_http_connections_active"] = 1
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    await until(lambda: drainer.waits_for("router-0") == "1 left")
    assert drainer.changes == 3
    busy["smg_http_connections_active"] = 0
    await asyncio.wait_for(task, 30)
    assert drainer.waits_for("router-0") is None


async def test_an_nginx_whose_list_is_not_known_yet_is_waited_for(
    drainer, unit_report, monkeypatch
):
    monkeypatch.setattr(module, "UNKNOWN_S", 0.0)
    drainer.known["nginx"] = unit_report("nginx", upstreams=None)
    task = asyncio.create_task(drainer.drain("router-0"))
    assert await still_drains(task)
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    await asyncio.wait_for(task, 30)


async def test_an_nginx_that_can_not_be_asked_is_waited_for_only_for_a_while(drainer, monkeypatch):
    monkeypatch.setattr(module, "UNKNOWN_S", 0.15)
    del drainer.known["nginx"]
    task = asyncio.create_task(drainer.drain("router-0"))
    assert await still_drains(task)
    await asyncio.wait_for(task, 60)


async def test_what_no_nginx_knows_is_drained_at_once(drainer):
    await asyncio.wait_for(drainer.drain("decode-0"), 60)


def test_a_router_that_nginx_does_not_list_yet_says_so(drainer, unit_report):
    assert drainer.unlisted("router-0") is None
    drainer.known["nginx"] = unit_report("nginx", upstreams=())
    assert drainer.unlisted("router-0") == "nginx does not pass requests to it yet"
    assert drainer.unlisted("decode-0") is None
