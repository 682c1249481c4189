"""Nobody who waits for news misses it, and nobody is woken for what is none of theirs."""

import asyncio

import pytest

from pdsup.bell import Bell
from pdsup.cluster.own_report import OwnReport

LONG = 600.0


@pytest.fixture
def publisher(assignment):
    return OwnReport(assignment("node2"), Bell())


async def test_who_waits_for_what_is_so_already_does_not_wait():
    assert await Bell().wait_until(lambda: True, LONG)


async def test_who_waits_is_woken_by_a_ring():
    bell, done = Bell(), []
    waiter = asyncio.create_task(bell.wait_until(lambda: bool(done), LONG))
    await asyncio.sleep(0)
    done.append(1)
    bell.ring()
    async with asyncio.timeout(60):
        assert await waiter


async def test_a_ring_between_looking_and_waiting_is_not_lost():
    """Every ring changes what is looked at, at every possible moment of the waiter."""
    bell, number, seen = Bell(), 0, 0

    async def follow():
        nonlocal seen
        while seen < 500:
            assert await bell.wait_until(behind, LONG)
            seen = number

    def behind():
        return number != seen

    waiter = asyncio.create_task(follow())
    async with asyncio.timeout(60):
        while number < 500:
            number += 1
            bell.ring()
            for _ in range(number % 4):
                await asyncio.sleep(0)
        await waiter


async def test_two_rings_at_once_wake_a_waiter_that_looks_at_the_last():
    bell, number = Bell(), 0
    waiters = [asyncio.create_task(bell.wait_until(lambda: number == 2, LONG)) for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(2):
        number += 1
        bell.ring()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*waiters) == [True] * 3


async def test_a_wait_ends_when_its_time_is_over():
    assert not await Bell().wait_until(lambda: False, 0.01)
    assert not await Bell().wait_until(lambda: False, 0)


async def test_a_wait_that_is_cancelled_is_cancelled():
    waiter = asyncio.create_task(Bell().wait_until(lambda: False, LONG))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_nobody_waits_once_the_bell_is_closed():
    bell = Bell()
    waiter = asyncio.create_task(bell.wait_until(lambda: False, LONG))
    await asyncio.sleep(0)
    bell.close()
    async with asyncio.timeout(60):
        assert not await waiter
        assert not await bell.wait_until(lambda: False, LONG)


async def test_a_change_of_a_unit_changes_the_version_and_rings(publisher, unit_report):
    publisher.publish(unit_report("decode-0", "STARTING"))
    before = publisher.version
    waiter = asyncio.create_task(publisher.bell.wait_until(lambda: publisher.version != before, 5))
    await asyncio.sleep(0)
    publisher.publish(unit_report("decode-0", "RUNNING"))
    assert await waiter
    assert publisher.report().unit("decode-0").state == "RUNNING"


def test_the_same_again_is_no_change(publisher, unit_report):
    publisher.publish(unit_report("decode-0"))
    before = publisher.version
    publisher.publish(unit_report("decode-0"))
    assert publisher.version == before


def test_a_report_has_the_version_that_followers_are_told(publisher, unit_report):
    for state in ("STARTING", "RUNNING", "STARTING"):
        publisher.publish(unit_report("decode-0", state))
        assert publisher.report().version == publisher.version


def test_two_agents_never_publish_the_same_version(assignment):
    assert len({OwnReport(assignment("node2"), Bell()).version for _ in range(20)}) == 20


def test_a_report_says_whose_it_is(publisher, plan, digest):
    found = publisher.report()
    assert (found.cluster, found.plan, found.node) == ("demo", digest, "node2")
    assert (found.address, found.ending, found.ends_cluster) == (plan.address["node2"], None, False)


def test_the_end_of_the_cluster_is_not_taken_back_by_the_end_of_the_node(publisher):
    publisher.publish_end("shutdown", of_cluster=True)
    publisher.publish_end("SIGTERM", of_cluster=False)
    assert (publisher.report().ending, publisher.report().ends_cluster) == ("SIGTERM", True)


async def test_news_ring_for_own_changes_too(assignment, unit_report):
    news = Bell()
    publisher = OwnReport(assignment("node2"), news)
    waiter = asyncio.create_task(news.wait_until(lambda: bool(publisher.units), LONG))
    await asyncio.sleep(0)
    publisher.publish(unit_report("decode-0"))
    async with asyncio.timeout(60):
        assert await waiter


async def test_news_of_others_wake_no_follower_of_this_node(assignment):
    """All nodes follow the first one, which follows all: its news must not reach every one."""
    news, asked = Bell(), []
    publisher = OwnReport(assignment("node0"), news)
    waiter = asyncio.create_task(publisher.bell.wait_until(lambda: bool(asked.append(1)), LONG))
    await asyncio.sleep(0)
    for _ in range(5):
        news.ring()
        await asyncio.sleep(0)
    assert len(asked) == 1
    waiter.cancel()
