"""Whatever routers do, in the end nginx runs with those that are ready, and no reload was in vain.

Random sequences run against the fake nginx; the same ones are tried on the real nginx, fewer.
PDSUP_TEST_SEQUENCES makes them more.
"""

import asyncio
import contextlib
import os

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdsup.front import nginx_generation
from pdsup.front.nginx_conf import Upstream, render

pytestmark = pytest.mark.processes

SEQUENCES = int(os.environ.get("PDSUP_TEST_SEQUENCES", "25"))
ROUTERS = [Upstream(f"router-{i}", "127.0.0.1", 1 + i) for i in range(4)]

# A router comes or goes, time passes until nginx has followed, or nginx dies and is started.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, len(ROUTERS) - 1)),
        st.tuples(st.just("settle"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("turn"), st.integers(1, 30)),
    ),
    max_size=14,
)


async def settled(bench, ready) -> None:
    """Until nginx runs with these, its file says so, and the reloader knows.

    What the reloader said last may be of before a restart; nginx itself is asked too.
    """
    names = {one.name for one in ready}
    async with asyncio.timeout(60):
        while True:
            wanted = render(bench.reloader._settings, ready)
            live = bench.reloader._published
            known = (live.generation, live.upstreams) == (wanted.generation, names)
            if known and bench.conf.read_text() == wanted.text:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with bench.session.get(bench.status + "/generation") as answer:
                        if await answer.text() == wanted.generation:
                            return
            await bench.turn()


async def play(bench, steps) -> None:
    """Plays a sequence to an nginx that runs with no router, and judges the end."""
    ready: frozenset[Upstream] = frozenset()
    bench.reloader.want(ready)
    bench.start()
    await bench.until_live()
    changes, before = 0, bench.reloads
    for what, number in steps:
        if what == "flip":
            ready ^= {ROUTERS[number]}
            bench.reloader.want(ready)
            changes += 1
        elif what == "settle":
            await settled(bench, ready)
        elif what == "restart":
            bench.kill()
            bench.start()
        else:
            for _ in range(number):
                await bench.turn()
    await settled(bench, ready)
    assert bench.reloads - before <= changes


def run(kind, tmp_path_factory, run_any, steps) -> None:
    """One sequence, in a directory and on an address of its own."""

    async def main() -> None:
        directory = tmp_path_factory.mktemp("sequence")
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            run_any(kind, directory, session) as bench,
            asyncio.timeout(60),
        ):
            await play(bench, steps)

    asyncio.run(main())


@pytest.fixture
def hasty(monkeypatch):
    """The fake has no old workers to wait for."""
    monkeypatch.setattr(nginx_generation, "STEADY_S", 0.02)


FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=FIXTURES)
@given(steps=STEPS)
def test_in_the_end_the_live_configuration_is_that_of_the_ready_routers(
    hasty, fake_nginx, tmp_path_factory, run_any, steps
):
    run(fake_nginx, tmp_path_factory, run_any, steps)


@settings(max_examples=max(3, SEQUENCES // 40), deadline=None, suppress_health_check=FIXTURES)
@given(steps=STEPS)
def test_so_it_is_with_the_real_nginx(real_nginx, tmp_path_factory, run_any, steps):
    run(real_nginx, tmp_path_factory, run_any, steps)
