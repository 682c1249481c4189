"""What is asked of routers when workers go and come back: the fake does as the real router does."""

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web

from pdsup.front import router_rules
from pdsup.front.router_rules import Target
from tests.bed.routers import FakeRouter

pytest.importorskip("sglang_router", reason="sglang-router is not installed")

LIMIT_S = 60.0


class Front:
    """A router that knows a prefill and a decode, as a client sees it; ``other`` is one more."""

    def __init__(self, session, api, metrics, targets):
        self.session, self.api, self.metrics_at = session, api, metrics
        *self.known, self.other = targets

    async def ask(self, method, path, body=None):
        """The answer, which is no refusal."""
        async with self.session.request(method, f"{self.api}{path}", json=body) as answer:
            assert answer.ok, await answer.text()
            return await answer.json(content_type=None)

    async def listed(self):
        return router_rules.listing(await self.ask("GET", "/workers"))

    async def lists(self, *targets):
        """Comes true soon."""
        while (await self.listed()).keys() != {target.url for target in targets}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def open_breakers(self):
        async with self.session.get(f"{self.metrics_at}/metrics") as answer:
            return router_rules.open_breakers(await answer.text())


@contextlib.asynccontextmanager
async def fake(session, targets):
    runner = web.AppRunner(FakeRouter(targets[:2]).app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    where = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield Front(session, where, where, targets)
    await runner.cleanup()


FAR = [
    Target("prefill-0", "http://10.0.0.1:30000", "prefill", 30001),
    Target("decode-0", "http://10.0.0.2:30000", "decode", None),
    Target("decode-1", "http://10.0.0.3:30000", "decode", None),
]


@pytest.fixture
def real(crew, router, until):
    """The real router in front of stand-ins for engines."""
    prefill, *decodes = crew.prefill(), crew.decode(), crew.decode()
    served = router(prefill, decodes[0])
    until(lambda: served.status("/readiness") == 200, "readiness")
    workers = (("prefill", prefill, 30001), *(("decode", decode, None) for decode in decodes))
    targets = [Target(role, f"http://{one.host}:30000", role, at) for role, one, at in workers]
    return f"http://{served.host}:30080", f"http://{served.host}:29000", targets


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.processes)])
def fronts(request):
    """A router, to be entered."""
    given = request.getfixturevalue("real") if request.param == "real" else None

    @contextlib.asynccontextmanager
    async def made():
        async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as session:
            if given is not None:
                yield Front(session, *given)
                return
            async with fake(session, FAR) as front:
                yield front

    return made


async def test_a_router_lists_adds_closes_and_drops_workers_when_it_is_asked(fronts):
    async with fronts() as front:
        await front.lists(*front.known)
        assert await front.open_breakers() == set()
        await front.ask("POST", "/workers", front.other.addition())
        await front.lists(*front.known, front.other)
        decode = front.known[1]
        identity = (await front.listed())[decode.url]
        await front.ask("PUT", f"/workers/{identity}", {"priority": 50})
        await front.lists(*front.known, front.other)
        assert (await front.listed())[decode.url] == identity
        await front.ask("DELETE", f"/workers/{identity}")
        await front.lists(front.known[0], front.other)
