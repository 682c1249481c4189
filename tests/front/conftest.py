"""A real nginx, a fake one that the same tests verify, and tiny routers behind them.

Every test has its own loopback addresses, so the ports are always the same.
"""

import asyncio
import contextlib
import dataclasses
import functools
import os
import re
import select
import shutil
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web

from pdsup.front.nginx_conf import Settings, Upstream
from pdsup.front.nginx_reload import Live, NginxReload
from pdsup.units.process.spawn import Spawner
from tests.bed.addresses import fresh_address
from tests.bed.agents import _wait_for, agents, assignment, shared_agents
from tests.bed.reports import digest, plan, report, unit_report, until

# Another version can be tested with PDSUP_TEST_NGINX.
NGINX = os.environ.get("PDSUP_TEST_NGINX") or shutil.which("nginx") or "/usr/sbin/nginx"
# What `nginx -t` does, as far as the reloader can tell: it refuses hosts that do not exist.
FAKE_NGINX = """#!/bin/sh
[ "$1" = -v ] && exec echo "nginx version: nginx/1.22.1" >&2
grep -n nowhere.invalid "$4" >&2 && {
    echo "nginx: [emerg] host not found in upstream \\"nowhere.invalid\\" in $4:1" >&2
    exit 1
}
exit 0
"""


def settings_of(directory: Path, **changes) -> Settings:
    """Settings of an nginx on an address of its own, with everything below ``directory``."""
    host = fresh_address()
    plain = Settings(
        listen=host,
        ipv6=False,
        port=8000,
        status_address=host,
        status_port=8001,
        prefix=str(directory / "prefix"),
        user=("root", "root") if os.geteuid() == 0 else None,
        keepalive_timeout="600s",
        stream_timeout="24h",
        client_max_body_size="45m",
        client_header_size="32k",
        proxy_buffer_size="32k",
        refused_paths=("/workers",),
        descriptors=1024,
        worker_connections=256,
        balance="round-robin",
        session_header=None,
        spares_idle=False,
    )
    return dataclasses.replace(plain, **changes)


class RealMaster:
    """nginx as the agent runs it: in a session of its own, which ends as one."""

    binary = NGINX

    def __init__(self, conf: Path, settings: Settings, directory: Path, **popen) -> None:
        self.conf, self.settings, self.popen = conf, settings, popen
        self.log = directory / "nginx.out"
        self.process = None
        self.signals = []

    def start(self) -> None:
        command = [NGINX, "-p", self.settings.prefix, "-c", self.conf, "-g", "daemon off;"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **self.popen
            )

    def signal(self, number: int) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        if number:
            self.signals.append(number)
        self.process.send_signal(number)
        return True

    def kill(self) -> None:
        """kill -9 of the master, then of the workers it leaves behind, as the supervisor does."""
        self.end()

    async def quit(self) -> int:
        """The graceful stop; returns the exit code."""
        self.process.send_signal(signal.SIGQUIT)
        return await asyncio.to_thread(self.process.wait, timeout=60)

    def members(self) -> list[int]:
        """Every process of nginx's session; one that only waits to be reaped is none."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getsid(process.pid) == self.process.pid and process.status() != "zombie":
                    found.append(process.pid)
        return found

    def end(self) -> None:
        """Whatever of it lives is killed, the master first: it would start new workers."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=60)
            for orphan in self.members():
                end_orphan(orphan)


def end_orphan(pid: int) -> None:
    """Kills a process that is no child of ours and waits for its end, reaped or not."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert select.select([pidfd], [], [], 10)[0], f"{pid} survives SIGKILL"
        os.close(pidfd)


class FakeMaster:
    """Serves the generation of its file; after HUP the old one twice more, as old workers do."""

    def __init__(self, conf: Path, settings: Settings, directory: Path) -> None:
        self.conf, self.settings = conf, settings
        self.binary = str(directory / "nginx")
        Path(self.binary).write_text(FAKE_NGINX)
        Path(self.binary).chmod(0o755)
        self.server = None
        self.signals = []

    def start(self) -> None:
        self.old_answers, self.generation = [], self._configured()
        fake = self

        class Status(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write((fake.old_answers or [fake.generation]).pop().encode())

            def log_message(self, *_) -> None:
                pass

        where = (self.settings.status_address, self.settings.status_port)
        self.server = ThreadingHTTPServer(where, Status)
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()

    def _configured(self) -> str:
        text = self.conf.read_text()
        for directory in re.findall(r'_temp_path "(.*)";', text):
            Path(directory).mkdir(exist_ok=True)
        return re.search(r'return 200 "([0-9a-f]{12})"', text)[1]

    def signal(self, number: int) -> bool:
        if self.server is None:
            return False
        if number:
            self.signals.append(number)
            self.old_answers = [self.generation] * 2
            self.generation = self._configured()
        return True

    def kill(self) -> None:
        self.end()

    def end(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class Bench:
    """A reloader, the nginx it serves, and what it said about it."""

    def __init__(self, master, directory: Path, session: aiohttp.ClientSession) -> None:
        self.master, self.settings, self.session = master, master.settings, session
        self.conf, self.copy = master.conf, directory / "shared" / "nginx.conf"
        self.front = f"http://{self.settings.listen}:{self.settings.port}"
        self.status = f"http://{self.settings.status_address}:{self.settings.status_port}"
        self.task: asyncio.Task | None = None
        self.said: asyncio.Queue[Live] = asyncio.Queue()
        self.reloader = NginxReload(
            binary=master.binary,
            conf=self.conf,
            copy=self.copy,
            settings=self.settings,
            spawner=Spawner(),
            session=session,
            signal_master=master.signal,
            on_live=self.said.put_nowait,
        )

    def start(self) -> None:
        """As the agent starts nginx."""
        self.reloader.prepare()
        self.master.start()
        self.reloader.master_changed()

    def kill(self) -> None:
        """kill -9, and what the agent does about it."""
        self.master.kill()
        self.reloader.master_changed()

    async def hear(self, wanted) -> Live:
        """The first thing said from now on that ``wanted`` accepts."""
        async with asyncio.timeout(60):
            while not wanted(live := await self.said.get()):
                pass
        return live

    async def until_live(self, *names: str) -> Live:
        """Until exactly these routers are known to be live."""
        return await self.hear(lambda live: live.generation and live.upstreams == set(names))

    async def turn(self) -> None:
        """Lets every other task go on to its next wait."""
        await asyncio.sleep(0)

    async def until(self, fact) -> None:
        """For what nobody announces."""
        async with asyncio.timeout(60):
            while not fact():
                await self.turn()

    @property
    def reloads(self) -> int:
        return self.master.signals.count(signal.SIGHUP)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


@contextlib.asynccontextmanager
async def running(kind, directory: Path, session, settings=None, **more):
    """A bench whose reloader runs; whatever happens, its nginx is gone afterwards."""
    master = kind(
        directory / "conf" / "nginx.conf", settings or settings_of(directory), directory, **more
    )
    bench = Bench(master, directory, session)
    bench.task = asyncio.create_task(bench.reloader.run())
    try:
        yield bench
        assert bench.task.cancelling() or not bench.task.done(), bench.task.exception()
    finally:
        bench.task.cancel()
        await asyncio.wait([bench.task])
        master.end()


@pytest.fixture(params=[FakeMaster, RealMaster], ids=["fake", "real"])
async def bench(request, tmp_path, session):
    """Contract tests: what holds with the fake holds with nginx."""
    async with running(request.param, tmp_path, session) as bench:
        yield bench


@pytest.fixture
async def nginx(tmp_path, session):
    """A bench with the real nginx, started and live with no routers."""
    async with running(RealMaster, tmp_path, session) as bench:
        bench.start()
        await bench.until_live()
        yield bench


@pytest.fixture
def run_bench():
    """Makes a bench with the real nginx and more wishes; to be entered."""
    return functools.partial(running, RealMaster)


class Router:
    """Says its name; streams two chunks, the second when it is released."""

    def __init__(self, name: str) -> None:
        self.upstream = Upstream(name, fresh_address(), 30080)
        self.released = asyncio.Event()
        self.bodies: list[int] = []
        self.runner: web.AppRunner | None = None

    async def serve(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/stream", self._stream)
        app.router.add_post("/dies", self._die)
        app.router.add_get("/big/{mib}", self._send_much)
        app.router.add_get("/header/{size}", self._send_header)
        app.router.add_get("/headers", self._tell_headers)
        app.router.add_get("/v1/realtime", self._talk)
        app.router.add_get("/refuses", self._refuse)
        app.router.add_post("/count", self._count)
        app.router.add_route("*", "/{any:.*}", self._name)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1, max_field_size=1 << 16)
        await self.runner.setup()
        await web.TCPSite(self.runner, self.upstream.address, self.upstream.port).start()

    async def end(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()

    async def _send_header(self, request: web.Request) -> web.Response:
        return web.Response(headers={"X-Long": "x" * int(request.match_info["size"])})

    async def _tell_headers(self, request: web.Request) -> web.Response:
        return web.json_response({name.lower(): text for name, text in request.headers.items()})

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{self.upstream.name} heard {message.data}")
        return socket

    async def _refuse(self, request: web.Request) -> web.Response:
        raise web.HTTPBadGateway(text="this is the router's own text")

    async def _name(self, request: web.Request) -> web.Response:
        self.bodies.append(len(await request.read()))
        return web.Response(text=self.upstream.name)

    async def _die(self, request: web.Request) -> web.Response:
        """As a router does that is killed before it answers."""
        self.bodies.append(len(await request.read()))
        request.transport.abort()
        return web.Response()

    async def _send_much(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.match_info["mib"])):
            await response.write(bytes(1 << 20))
        return response

    async def _count(self, request: web.Request) -> web.Response:
        return web.Response(text=str(sum([len(part) async for part in request.content.iter_any()])))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await self.released.wait()
        await response.write(b"last")
        return response


@pytest.fixture
async def router():
    """Makes routers by name; where a ``dead`` one should be nothing listens until ``serve``."""
    made = []

    async def make(name: str, dead: bool = False) -> Router:
        made.append(Router(name))
        if not dead:
            await made[-1].serve()
        return made[-1]

    yield make
    for each in made:
        await each.end()


@pytest.fixture
def make_settings():
    """Settings of an nginx on an address of its own."""
    return settings_of


@pytest.fixture
def run_any():
    """Makes a bench with one kind of nginx or the other; to be entered."""
    return running


@pytest.fixture
def fake_nginx():
    return FakeMaster


@pytest.fixture
def real_nginx():
    return RealMaster
