"""Brings the running nginx to the wanted set of routers, and proves that it is there.

It runs nothing but ``nginx -v`` and ``-t``: nginx itself is a unit of the agent, which signals it
for us.
Files beside nginx.conf: ``.new`` while nginx tests it, ``.rejected`` what nginx refused.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from pdsup import files
from pdsup.errors import SupervisorError
from pdsup.front import nginx_program
from pdsup.front.nginx_conf import Rendered, Settings, Upstream, render, status_url
from pdsup.front.nginx_generation import GenerationCheck
from pdsup.front.nginx_program import Program
from pdsup.units.process.spawn import Spawner

# All in seconds.
TEST_S = 10.0  # nginx -t, which looks up host names
RETRY_S = 5.0
SPARED_S = 0.2  # so long old workers may serve one more request (keepalive_min_timeout)


@dataclass(frozen=True, slots=True)
class Live:
    """What the running nginx is known to do.

    ``upstreams``: names of the routers it balances over. ``generation`` of its configuration:
    None while nginx does not run or has not shown it. ``error``: why this is not what is wanted.
    """

    upstreams: frozenset[str] = frozenset()
    generation: str | None = None
    error: str | None = None


class NginxReload:
    """One nginx. All methods belong to one event loop; ``run`` is the only task."""

    def __init__(
        self,
        *,
        binary: str,
        conf: Path,
        settings: Settings,
        spawner: Spawner,
        session: aiohttp.ClientSession,
        signal_master: Callable[[int], bool],
        on_live: Callable[[Live], None],
    ) -> None:
        """``conf`` is absolute. ``signal_master`` signals the supervised nginx and says whether
        it runs; 0 only asks. ``on_live`` is called, from ``run``, whenever the answer changes.
        """
        self._binary = binary
        self._conf = conf
        self._settings = settings
        self._spawner = spawner
        self._signal_master = signal_master
        self._on_live = on_live
        self._verifier = GenerationCheck(session, status_url(settings, "/generation"), self._runs)
        self._wanted: frozenset[Upstream] = frozenset()
        self._rejected: str | None = None
        self._program: Program | None = None
        self._life = 0  # counts starts and ends of nginx: each voids what was learnt before
        self._live = self._published = Live()
        self._changed = asyncio.Event()

    def prepare(self) -> None:
        """Before each start of nginx: its directories, and its configuration for now.

        Raises SupervisorError when the configuration can't be rendered or written, or nginx is
        not installed or too old.
        """
        self._know(nginx_program.find(self._binary))
        for directory in (Path(self._settings.prefix), self._conf.parent):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(directory, error) from None
        rendered = render(self._settings, self._wanted)
        # Better it starts with the one before than with one that it refused.
        refused = rendered.text == self._rejected and self._conf.exists()
        if not refused and not self._is_installed(rendered):
            try:
                files.write_atomically(self._conf, rendered.text.encode(), 0o644)
            except OSError as error:
                raise _unwritable(self._conf, error) from None

    def want(self, upstreams: frozenset[Upstream]) -> None:
        """From now on nginx shall balance over these; many calls in a row make one reload."""
        if upstreams != self._wanted:
            self._wanted = upstreams
            self._changed.set()

    def master_changed(self) -> None:
        """nginx was started or has ended; call it in the same turn of the loop as that."""
        self._life += 1
        self._live = Live()
        self._changed.set()

    async def run(self) -> None:
        """Follows ``want`` and ``master_changed`` until cancelled; asleep when there is nothing."""
        while True:
            await self._next_change()
            self._publish(self._live)
            life = self._life
            try:
                live = await self._converge()
            except SupervisorError as error:
                live = replace(self._live, error=str(error))
            self._publish(live if life == self._life else Live())

    async def _next_change(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S if self._live.error else None):
                await self._changed.wait()
        self._changed.clear()

    def _publish(self, live: Live) -> None:
        self._live = live
        if live != self._published:
            self._published = live
            self._on_live(live)

    async def _converge(self) -> Live:
        wanted, life = self._wanted, self._life
        if self._program is None:  # it ran before we did
            self._know(await asyncio.to_thread(nginx_program.find, self._binary))
        rendered = render(self._settings, wanted)
        if not self._runs():
            return Live()  # ``prepare`` writes what is wanted when it starts
        runs = await self._verifier.first()
        if runs is None:
            return Live()
        up_to_date = runs == rendered.generation and self._is_installed(rendered)
        if not up_to_date and not await self._reload(rendered, life):
            return Live()
        return Live(frozenset(upstream.name for upstream in wanted), rendered.generation)

    def _know(self, program: Program) -> None:
        self._program = program
        self._settings = replace(self._settings, spares_idle=program.spares_idle)

    async def _reload(self, rendered: Rendered, life: int) -> bool:
        """False when nginx ended meanwhile."""
        await self._test(rendered)
        self._live = replace(self._live, generation=None)
        await asyncio.to_thread(_rename, self._aside("new"), self._conf)
        self._forget_rejected()
        # A HUP before nginx has its handlers kills it: never to a master we have not heard.
        if life != self._life or not self._signal_master(signal.SIGHUP):
            return False
        longer = SPARED_S if self._settings.spares_idle else 0.0
        return await self._verifier.steadily(rendered.generation, longer)

    async def _test(self, rendered: Rendered) -> None:
        """Writes the configuration aside; returns when nginx accepts it.

        In a thread, here and at the rename: network file systems take their time, and ext4 first
        writes the data out when a rename replaces a file (0.6 s seen).
        """
        await asyncio.to_thread(_write, self._aside("new"), rendered.text)
        complaint = await self._complaint()
        if complaint is not None:
            self._rejected = rendered.text
            _rename(self._aside("new"), self._aside("rejected"))
            raise SupervisorError(f"cannot reload nginx: {complaint}")

    async def _complaint(self) -> str | None:
        """What nginx says against the file aside."""
        aside, kept = str(self._aside("new")), str(self._aside("rejected"))
        command = (self._binary, "-p", self._settings.prefix, "-c", aside, "-t", "-q")
        with os.fdopen(os.memfd_create("nginx -t"), "r+b") as output:
            try:
                status = await self._spawner.run(command, os.environ, output.fileno(), TEST_S)
            except TimeoutError:
                raise SupervisorError(
                    f"cannot reload nginx: nginx -t took over {TEST_S:g} s; is the name service up?"
                ) from None
            except OSError:
                raise nginx_program.missing(self._binary) from None
            output.seek(0)
            said = output.read().decode(errors="replace")
        return None if status.code == 0 else _essence(said).replace(aside, kept)

    def _forget_rejected(self) -> None:
        self._rejected = None
        with suppress(OSError):
            self._aside("rejected").unlink()

    def _is_installed(self, rendered: Rendered) -> bool:
        try:
            return self._conf.read_text("utf-8") == rendered.text
        except OSError:
            return False

    def _aside(self, suffix: str) -> Path:
        return self._conf.with_name(f"{self._conf.name}.{suffix}")

    def _runs(self) -> bool:
        return self._signal_master(0)


def _essence(output: str) -> str:
    """nginx's own sentence, without its log prefix (``nginx: [emerg]``, or time and pid)."""
    lines = output.strip().splitlines() or ["nginx -t failed and said nothing"]
    worst = next((line for line in lines if "[emerg]" in line), lines[-1])
    return re.sub(r"^.*?\[emerg\] (\d+#\d+: )?", "", worst)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None


def _rename(source: Path, target: Path) -> None:
    try:
        files.put_in_place(source, target)
    except OSError as error:
        raise _unwritable(target, error) from None


def _unwritable(path: Path, error: OSError) -> SupervisorError:
    return SupervisorError(
        f"cannot write {path}: {error.strerror}; nginx needs a directory of yours with free space: "
        "see --run-dir, XDG_RUNTIME_DIR and frontend.nginx_prefix"
    )
