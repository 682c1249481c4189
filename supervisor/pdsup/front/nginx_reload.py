"""Reloads the running nginx with the wanted set of routers, and proves that it uses them.

A reload is only a signal: nginx may refuse the configuration, keep the old one and say so in its
log only, or exit meanwhile. So a new configuration is tested with ``nginx -t`` beside the live file
and renamed over it only if nginx accepts it; then nginx gets SIGHUP, and each worker must return
the new generation before the reload counts. Three things must never happen: a configuration that
nginx refuses takes the place of one that works; a HUP hits a master that has no handlers yet, which
kills it; a result from before a restart of nginx is taken for one of the new process (``_life``).

This module runs only ``nginx -v`` and ``-t``. nginx itself is a unit, and its runner signals it.
nginx.conf is a file of this node, so that the list follows also while the run directory is full or
gone; a copy for people lies there. Files beside nginx.conf: ``.new`` while nginx tests it,
``.rejected`` after nginx refused it.
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
from typing import TypeVar

import aiohttp

from pdsup import files
from pdsup.errors import SupervisorError
from pdsup.front import nginx_program
from pdsup.front.nginx_conf import Rendered, Settings, Upstream, render, status_url
from pdsup.front.nginx_generation import GenerationCheck
from pdsup.front.nginx_program import Program
from pdsup.threads import Turns
from pdsup.times import duration
from pdsup.units.process.spawn import Spawner

# All in seconds.
TEST_S = 10.0  # nginx -t, which looks up host names
RETRY_S = 5.0
FILES_S = 10.0
COPY_S = 1.0
SPARED_S = 0.2  # how long old workers may serve one more request (keepalive_min_timeout)

# Below the prefix, see nginx.conf.j2. Without them nginx answers 500 to a large body.
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Live:
    """What the running nginx is known to do.

    ``upstreams``: names of the routers it balances over, None while that is not known.
    ``generation``: that of its configuration, None while nginx does not run or has not returned it.
    ``error``: why the last reload failed.
    """

    upstreams: frozenset[str] | None = None
    generation: str | None = None
    error: str | None = None


class NginxReload:
    """One nginx. All methods belong to one event loop; ``run`` is the only task."""

    def __init__(
        self,
        *,
        binary: str,
        conf: Path,
        copy: Path | None = None,
        settings: Settings,
        spawner: Spawner,
        session: aiohttp.ClientSession,
        signal_master: Callable[[int], bool],
        on_live: Callable[[Live], None],
        wanted: frozenset[Upstream] | None = frozenset(),
    ) -> None:
        """``conf`` is an absolute path. ``copy``: where people read it, if that is possible.
        ``wanted``: as for ``want``; None if that is not known yet, and then nginx is left alone.
        ``signal_master`` signals the supervised nginx and returns whether it runs; signal 0 only
        checks. ``run`` calls ``on_live`` on each change.
        """
        self._binary = binary
        self._conf = conf
        self._copy = copy if copy != conf else None
        self._settings = settings
        self._spawner = spawner
        self._signal_master = signal_master
        self._on_live = on_live
        self._verifier = GenerationCheck(session, status_url(settings, "/generation"), self._runs)
        self._wanted = wanted
        self._rejected: str | None = None
        self._program: Program | None = None
        self._is_proven = True  # whether all workers have the configuration that one answers with
        self._life = 0  # counts starts and exits of nginx; each voids what was learned before
        self._live = self._published = Live()
        self._changed = asyncio.Event()
        self._turns, self._copying = Turns(), Turns()

    def prepare(self) -> None:
        """Writes nginx's directories and current configuration; call it before each start.

        Raises SupervisorError when the configuration can't be rendered or written, or nginx is
        not installed or too old.
        """
        self._know(nginx_program.find(self._binary))
        self._is_proven = True
        self._make_directories()
        rendered = render(self._settings, self._wanted or ())
        # Better to start with the previous configuration than with one that nginx refused, or with
        # no router because nothing is known of any yet.
        worse = rendered.text == self._rejected or self._wanted is None
        if not (worse and self._conf.exists()) and not self._is_installed(rendered):
            try:
                files.write_atomically(self._conf, rendered.text.encode(), 0o644)
            except OSError as error:
                raise _unwritable(self._conf, error) from None

    def _make_directories(self) -> None:
        for directory in (Path(self._settings.prefix), self._conf.parent):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(directory, error) from None

    def look_again(self) -> None:
        """Takes in that some of nginx's files may have been removed."""
        self._changed.set()

    def want(self, upstreams: frozenset[Upstream]) -> None:
        """Sets the routers that nginx should balance over; many calls in a row make one reload."""
        if upstreams != self._wanted:
            self._wanted = upstreams
            self._changed.set()

    def master_changed(self) -> None:
        """Takes in that nginx started or exited; call it before the loop runs anything else."""
        self._life += 1
        self._live = Live()
        self._changed.set()

    async def run(self) -> None:
        """Acts on ``want`` and ``master_changed`` until cancelled; sleeps in between."""
        while True:
            await self._next_change()
            self._publish(self._live)
            life = self._life
            try:
                live = await self._converge()
            except SupervisorError as error:
                live = replace(self._live, error=str(error))
            self._publish(live if life == self._life else Live())
            await self._update_copies()

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
        if wanted is None:
            return self._live
        if self._program is None:  # an earlier agent started nginx, so ``prepare`` was not called
            self._know(await self._apart(lambda: nginx_program.find(self._binary)))
            self._is_proven = False  # it may have been about to reload it
        rendered = render(self._settings, wanted)
        if not self._runs():
            return Live()  # ``prepare`` writes the wanted configuration before the next start
        runs = await self._verifier.first()
        if runs is None:
            return Live()
        if runs != rendered.generation or not self._is_installed(rendered):
            if not await self._reload(rendered, life):
                return Live()
        elif not self._is_proven and not await self._verifier.steadily(runs, 0.0):
            return Live()
        self._is_proven = True
        return Live(frozenset(upstream.name for upstream in wanted), rendered.generation)

    async def _apart(self, work: Callable[[], T]) -> T:
        try:
            return await self._turns.run(work, FILES_S)
        except TimeoutError:
            raise SupervisorError(
                f"cannot reload nginx: a file system does not answer within {duration(FILES_S)}"
            ) from None

    def _know(self, program: Program) -> None:
        self._program = program
        self._settings = replace(self._settings, spares_idle=program.spares_idle)

    async def _reload(self, rendered: Rendered, life: int) -> bool:
        """Installs a configuration and reloads nginx; returns False if nginx exits meanwhile."""
        self._make_directories()
        await self._test(rendered)
        self._live = replace(self._live, generation=None)
        await self._apart(lambda: _rename(self._aside("new"), self._conf))
        self._forget_rejected()
        # A HUP kills a master that has not installed its handlers: only signal one that replied.
        if life != self._life or not self._signal_master(signal.SIGHUP):
            return False
        longer = SPARED_S if self._settings.spares_idle else 0.0
        self._is_proven = False
        try:
            return await self._verifier.steadily(rendered.generation, longer)
        except SupervisorError:
            self._live = Live()  # some workers may have this list, and others the one before
            raise

    async def _test(self, rendered: Rendered) -> None:
        """Writes the configuration beside the live one and tests it; raises if nginx refuses it.

        Writes and renames in a thread: network file systems are slow, and ext4 flushes the data
        before a rename replaces a file (0.6 s seen).
        """
        await self._apart(lambda: _write(self._aside("new"), rendered.text))
        complaint = await self._complaint()
        if complaint is not None:
            self._rejected = rendered.text
            _rename(self._aside("new"), self._aside("rejected"))
            raise SupervisorError(f"cannot reload nginx: {complaint}")

    async def _complaint(self) -> str | None:
        """Why nginx refuses the file beside the live one, or None when it accepts it."""
        aside, kept = str(self._aside("new")), str(self._aside("rejected"))
        command = (self._binary, "-p", self._settings.prefix, "-c", aside, "-t", "-q")
        with os.fdopen(os.memfd_create("nginx -t"), "r+b") as output:
            try:
                status = await self._spawner.run(command, os.environ, output.fileno(), TEST_S)
            except TimeoutError:
                late = f"nginx -t took over {duration(TEST_S)}; is the name service up?"
                raise SupervisorError(f"cannot reload nginx: {late}") from None
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
        """Whether the configuration is in place, and the directories that nginx makes for it."""
        prefix = Path(self._settings.prefix)
        try:
            same = files.read_regular(self._conf) == rendered.text.encode()
        except OSError:
            return False
        return same and (not self._runs() or all((prefix / d).is_dir() for d in TEMPORARY))

    async def _update_copies(self) -> None:
        """Copies the configuration, and one that was refused, to where people look for it."""
        if self._copy is not None:
            with suppress(OSError):  # a TimeoutError too: nothing depends on it
                await self._copying.run(self._write_copies, COPY_S)

    def _write_copies(self) -> None:
        for suffix in ("", ".rejected"):
            source = self._conf.with_name(self._conf.name + suffix)
            target = Path(f"{self._copy}{suffix}")
            if source.exists():
                files.make_directory(target.parent)
                files.write_if_different(target, files.read_regular(source), 0o644)
            else:
                target.unlink(missing_ok=True)

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
