"""What an agent that has ended its units still waits for, so that no node misses an end."""

import asyncio
import contextlib

import pytest

from pdsup.cluster import ending


@pytest.fixture
def lingering(serving, until):
    """node0 after the end of its units; it follows node1, which listens, and others."""

    @contextlib.asynccontextmanager
    async def made(*others, of_cluster=True):
        async with serving("node0") as first, serving("node1") as peer:
            first.parts.peers.follow(["node1", *others])
            await until(lambda: first.parts.peers.peers["node1"].usable)
            first.parts.shutdown.begin("told", of_cluster=of_cluster)
            task = asyncio.create_task(first.parts.ending.linger())
            for _ in range(5):
                await asyncio.sleep(0)
            yield task, peer.parts.shutdown
            async with asyncio.timeout(60):
                await task

    return made


async def test_the_end_of_a_node_alone_concerns_nobody(lingering):
    async with lingering(of_cluster=False) as (task, _):
        assert task.done()


async def test_an_agent_stays_until_the_others_end_with_the_cluster(lingering):
    async with lingering() as (task, peer):
        assert not task.done()
        peer.begin("told too", of_cluster=True)


async def test_an_agent_that_ends_for_itself_does_not_know_of_the_end_of_the_cluster(lingering):
    async with lingering() as (task, peer):
        peer.begin("SIGTERM", of_cluster=False)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        peer.begin("told too", of_cluster=True)


async def test_a_node_that_never_ends_is_waited_for_only_so_long(lingering, monkeypatch):
    monkeypatch.setattr(ending, "MEET_S", 0.01)
    monkeypatch.setattr(ending, "LINGER_S", 0.01)
    async with lingering():
        pass


async def test_a_node_that_was_not_met_yet_is_given_a_moment_to_come(
    lingering, serving, monkeypatch
):
    monkeypatch.setattr(ending, "LINGER_S", 0.0)
    async with lingering("node2") as (task, peer):
        peer.begin("told too", of_cluster=True)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        async with serving("node2") as late:
            late.parts.shutdown.begin("told too", of_cluster=True)
            async with asyncio.timeout(60):
                await task


async def test_a_node_that_can_not_be_met_is_waited_for_only_a_moment(lingering, monkeypatch):
    monkeypatch.setattr(ending, "MEET_S", 0.05)
    monkeypatch.setattr(ending, "LINGER_S", 600.0)
    async with lingering("node2") as (_, peer):
        peer.begin("told too", of_cluster=True)
