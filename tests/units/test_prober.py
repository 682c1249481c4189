"""Questions to real servers on loopback addresses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from supervisor.plan.model import Check, Gauges, Probe, Probes, Trial
from supervisor.units.prober import Prober, cause, connect

LIMIT = 10.0  # seconds, for anything that is going to happen
PORTS = {"http": 8000, "other": 8001}
GET = Check(port="http", path="/health")
TCP = Check(port="http")


def probe(
    *checks: Check, timeout_s: float = 5.0, period_s: float = 0.01, failures: int = 1
) -> Probe:
    return Probe(checks=checks or (GET,), period_s=period_s, timeout_s=timeout_s, failures=failures)


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    async with aiohttp.ClientSession() as session:
        yield Prober(session)


@contextlib.asynccontextmanager
async def serving(
    address: str, answer: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int = 8000
) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


def always(status: int, **how) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, **how)

    return answer


@contextlib.asynccontextmanager
async def talking(address: str, said: bytes | None) -> AsyncIterator[list[bytes]]:
    """A listener that is no HTTP server: it says ``said`` and hangs up, or nothing (None)."""
    heard: list[bytes] = []
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            heard.append(await reader.read(4096))
            if said is None:
                await over.wait()
            else:
                writer.write(said)
            writer.close()

    server = await asyncio.start_server(talk, address, 8000)
    try:
        yield heard
    finally:
        over.set()
        server.close()


# -- one question ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_any_2xx_is_a_yes(prober: Prober, address: str, status: int) -> None:
    async with serving(address, always(status)):
        assert await prober.ask(probe(), address, PORTS) is None


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_any_other_status_is_a_no_that_names_it(
    prober: Prober, address: str, status: int
) -> None:
    async with serving(address, always(status)):
        said = await prober.ask(probe(), address, PORTS)
        assert said == f"{address}:8000/health: HTTP {status}"


async def test_a_redirect_is_a_no_and_is_not_followed(prober: Prober, address: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(address, answer):
        assert await prober.ask(probe(), address, PORTS) == f"{address}:8000/health: HTTP 302"
    assert asked == ["/health"]


async def test_nobody_listening_is_a_refused_connection(prober: Prober, address: str) -> None:
    for check in (GET, TCP):
        said = await prober.ask(probe(check), address, PORTS)
        assert said == f"{address}:8000{check.path or ''}: connection refused"


async def test_a_server_that_never_answers_is_a_no_after_the_timeout(
    prober: Prober, address: str
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(address, answer), asyncio.timeout(LIMIT):
        said = await prober.ask(probe(timeout_s=0.1), address, PORTS)
    assert said == f"{address}:8000/health: no answer within 0.1 s"


async def test_a_half_open_server_passes_a_connect_and_fails_a_request(
    prober: Prober, address: str
) -> None:
    async with talking(address, None), asyncio.timeout(LIMIT):
        assert await prober.ask(probe(TCP), address, PORTS) is None
        said = await prober.ask(probe(timeout_s=0.1), address, PORTS)
    assert said == f"{address}:8000/health: no answer within 0.1 s"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00\xff\xfe nonsense\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "bytes", "status", "header", "long header"],
)
async def test_an_answer_that_is_not_http_is_a_no(
    prober: Prober, address: str, said: bytes
) -> None:
    async with talking(address, said), asyncio.timeout(LIMIT):
        assert await prober.ask(probe(), address, PORTS)


async def test_a_body_that_never_ends_does_not_hold_the_answer_up(
    prober: Prober, address: str
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(OSError):
            while True:
                await response.write(b"x" * 1000)
                await asyncio.sleep(0)
        return response

    async with serving(address, answer), asyncio.timeout(LIMIT):
        assert await prober.ask(probe(), address, PORTS) is None


async def test_a_name_that_can_not_be_a_host_is_a_no(prober: Prober) -> None:
    for check in (GET, TCP):
        assert await prober.ask(probe(check), "a..b", PORTS)


async def test_all_checks_must_pass_and_the_first_that_does_not_is_named(
    prober: Prober, address: str
) -> None:
    both = probe(GET, Check(port="other", path="/x"))
    async with serving(address, always(200)):
        assert await prober.ask(both, address, PORTS) == f"{address}:8001/x: connection refused"
        async with serving(address, always(200), port=8001):
            assert await prober.ask(both, address, PORTS) is None


async def test_every_question_has_a_connection_of_its_own(prober: Prober, address: str) -> None:
    """A kept connection would hide that the port has closed since."""
    heard: set[object] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        heard.add(request.transport.get_extra_info("peername"))
        return web.Response()

    async with serving(address, answer):
        for _ in range(3):
            assert await prober.ask(probe(), address, PORTS) is None
    assert len(heard) == 3


# -- a watch -----------------------------------------------------------------------------------


class Watch:
    """A watch of a server whose answers are scripted; the last one stays for ever."""

    def __init__(self, prober: Prober, address: str, probes: Probes, script: list[int]) -> None:
        self.prober, self.address, self.probes = prober, address, probes
        self.script = iter(script)
        self.said: list[str] = []
        self.done = asyncio.Event()

    async def answer(self, _: web.Request) -> web.StreamResponse:
        status = next(self.script, None)
        if status is None:
            self.done.set()
            await asyncio.Event().wait()
        return web.Response(status=status or 500)

    async def run(self) -> list[str]:
        """What was told, in order, when the script is at its end."""
        async with serving(self.address, self.answer):
            watching = asyncio.create_task(
                self.prober.watch(
                    self.probes,
                    self.address,
                    PORTS,
                    lambda: self.said.append("ready"),
                    lambda detail: self.said.append(detail.rpartition(": ")[2]),
                )
            )
            async with asyncio.timeout(LIMIT):
                await self.done.wait()
            watching.cancel()
            await asyncio.wait({watching})
        assert watching.cancelled()
        return self.said


async def test_startup_tells_every_no_until_the_first_yes(prober: Prober, address: str) -> None:
    probes = Probes(startup=probe(), readiness=probe())
    said = await Watch(prober, address, probes, [503, 500, 200, 200]).run()
    assert said == ["HTTP 503", "HTTP 500", "ready"]


async def test_readiness_is_lost_only_after_so_many_failures_in_a_row(
    prober: Prober, address: str
) -> None:
    probes = Probes(readiness=probe(failures=3))
    said = await Watch(prober, address, probes, [503, 503, 200, 503, 503, 200]).run()
    assert said == ["ready"]
    said = await Watch(prober, address, probes, [503, 503, 500]).run()
    assert said == ["ready", "HTTP 500"]


async def test_lost_readiness_is_told_again_with_each_newer_no(
    prober: Prober, address: str
) -> None:
    probes = Probes(readiness=probe(failures=2))
    said = await Watch(prober, address, probes, [503, 503, 500]).run()
    assert said == ["ready", "HTTP 503", "HTTP 500"]


async def test_one_yes_brings_readiness_back_and_is_told_once(prober: Prober, address: str) -> None:
    probes = Probes(readiness=probe(failures=2))
    said = await Watch(prober, address, probes, [503, 503, 200, 200, 503, 200]).run()
    assert said == ["ready", "HTTP 503", "ready"]


async def test_a_unit_without_probes_is_ready_at_once(prober: Prober, address: str) -> None:
    said: list[str] = []
    await prober.watch(Probes(), address, PORTS, lambda: said.append("ready"), said.append)
    assert said == ["ready"]


# -- gauges and trials --------------------------------------------------------------------------

TRIAL = Trial(port="other", path="/generate", body='{"text": "a"}', timeout_s=5.0)


def breakers(trial: Trial | None = None) -> Probe:
    gauges = Gauges(
        name="open", label="w", bad=1.0, means="an open breaker", groups={"decode": ("d",)},
        trial=trial,
    )  # fmt: skip
    return probe(Check(port="http", path="/metrics", gauges=gauges))


@pytest.mark.parametrize(
    ("value", "expected"), [(0, None), (1, "every decode has an open breaker")]
)
async def test_gauges_of_an_answer_can_make_it_a_no(
    prober: Prober, address: str, value: int, expected: str | None
) -> None:
    async with serving(address, always(200, text=f'open{{w="d"}} {value}\n')):
        said = await prober.ask(breakers(), address, PORTS)
        assert said == (expected and f"{address}:8000/metrics: {expected}")


@pytest.mark.parametrize(("status", "yes"), [(200, True), (503, False)])
async def test_a_trial_has_the_last_word_over_bad_gauges(
    prober: Prober, address: str, status: int, yes: bool
) -> None:
    bodies: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(f"{request.path} {request.content_type} {await request.text()}")
        return web.Response(status=status)

    bad = always(200, text='open{w="d"} 1\n')
    async with serving(address, bad), serving(address, answer, port=8001):
        said = await prober.ask(breakers(TRIAL), address, PORTS)
    assert bodies == ['/generate application/json {"text": "a"}']
    refused = "every decode has an open breaker, and a trial request failed: HTTP 503"
    assert said == (None if yes else f"{address}:8000/metrics: {refused}")


async def test_nobody_is_tried_while_the_gauges_are_good(prober: Prober, address: str) -> None:
    async with serving(address, always(200, text='open{w="d"} 0\n')):  # the trial would be refused
        assert await prober.ask(breakers(TRIAL), address, PORTS) is None


# -- connections and their failures ------------------------------------------------------------


async def test_a_connect_returns_when_somebody_accepts(address: str) -> None:
    async with talking(address, b""):
        await connect(address, 8000)
    with pytest.raises(OSError):
        await connect(address, 8000)


def test_a_cause_is_never_empty() -> None:
    assert cause(TimeoutError()) == "no answer in time"
    assert cause(ConnectionRefusedError()) == "connection refused"
    assert cause(aiohttp.ServerDisconnectedError()) == "Server disconnected"
    assert cause(OSError()) == "OSError"
