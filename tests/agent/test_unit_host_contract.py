"""What a runner asks of the agent around it: the fake of many tests answers as a real agent does.

Of the plan: etcd needs nothing and nobody uses it directly, the benchmark needs decode-1.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from pdsup.agent import parts
from pdsup.plan.model import Restart
from pdsup.units import events, lifecycle, states
from pdsup.units.facts import Transition
from pdsup.units.ledger import Ledger
from pdsup.units.process.guardian_link import GuardianLink
from tests.bed.hosts import FakeUnitHost, line
from tests.bed.log import quiet
from tests.bed.network import TOKEN


@pytest.fixture(params=["fake", "agent"])
def around(request, assignment):
    """The agent around the units of a node; nothing of it runs. Ends with what ``closed`` gates."""

    @contextlib.asynccontextmanager
    async def made(node, closed=()):
        if request.param == "fake":
            fake = FakeUnitHost()
            fake.gates = dict.fromkeys(closed, "waits for decode-1")
            yield fake
            return
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            log, _ = quiet()
            given = assignment(node), TOKEN, session, tasks
            built = parts.build(*given, GuardianLink(None), Ledger(), log)
            yield built.host
            await built.peers.close()

    return made


@pytest.mark.parametrize("first", [True, False])
async def test_a_unit_that_needs_nothing_may_start(around, first):
    async with around("node0") as host:
        assert host.gate("etcd", first=first) is None
        assert host.before_spawn("etcd") is None


async def test_a_unit_that_lacks_another_is_told_what_it_waits_for(around):
    async with around("node3", closed=["benchmark"]) as host:
        assert host.gate("benchmark", first=True).startswith("waits for decode-1")


async def test_a_unit_of_no_gang_has_no_epoch(around):
    async with around("node0") as host:
        assert host.epoch("etcd") is None


async def test_a_unit_that_nothing_is_in_front_of_need_not_drain(around):
    async with around("node0") as host:
        assert host.drain_within("etcd") == 0.0
        async with asyncio.timeout(60):
            await host.drain("etcd")


async def test_a_change_may_be_told_with_a_step_and_without(around):
    context = lifecycle.Context(
        now=1.0, next_run=1, gate=None, restart=Restart(), ready_within=1.0, stop_within=1.0
    )
    after = states.Waiting((), "waits")
    async with around("node0") as host:
        host.changed("etcd")
        step = Transition("etcd", events.Start(), states.Stopped(), after, context)
        host.changed("etcd", step, line(step))


async def test_an_examination_is_told_in_words(around):
    async with around("node0") as host, asyncio.timeout(60):
        assert (await host.examine("etcd", "it hangs")).strip()
