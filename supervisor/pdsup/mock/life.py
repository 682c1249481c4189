"""The life of one worker: bootstrap port, rendezvous, load, --port, warm-up, serving, drain.

The order is SGLang's, and readiness depends on it. A prefill's bootstrap port opens long before
anything works; then all ranks meet; --port opens only once the weights are loaded; /health turns
200 after the warm-up; SIGTERM drains. So no single open port may count as ready, and a port that is
taken shows only after the whole load. Ranks above 0 never serve: they load, register with rank 0
and wait for its ``shutdown``. If rank 0 is lost instead, they stay alive and useless, as real ones
do: ending them is the supervisor's job.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from contextlib import AsyncExitStack, suppress

from pdsup.mock.child import Scheduler
from pdsup.mock.engine import Engine, Status
from pdsup.mock.faults import LOAD_FAULTS, Faults, end_process
from pdsup.mock.knobs import Knobs
from pdsup.mock.options import Options
from pdsup.mock.peers import KvReceiver, Leader, Member, StartFailed, hold_ports

log = logging.getLogger(__name__)

STDOUT = 1
LOAD_STEPS, LONGEST_STEP = 10, 1.0  # progress lines: at least this many, at most 1 s apart


class _Lines(logging.Handler):
    """Writes each line with one write(2), and ignores a reader that has gone."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            os.write(STDOUT, (self.format(record) + "\n").encode())


def set_up_logging() -> None:
    """Sends every log line to stdout."""
    handler = _Lines()
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


async def run(options: Options, knobs: Knobs, scheduler: Scheduler | None) -> None:
    """Runs a worker until it has drained; raises StartFailed and BadKnob."""
    faults = Faults(knobs, scheduler)
    faults.arm()
    receiver = KvReceiver(options.disaggregation_bootstrap_port, faults)
    engine = Engine(options, os.environ, faults, receiver.fetch)
    log.info("server_args=%s pid=%d", options, os.getpid())
    for words in options.ignored:
        log.info("Ignored by the stand-in: %s", words)
    async with AsyncExitStack() as stack:
        if scheduler:
            loop = asyncio.get_running_loop()
            scheduler.watch(loop, engine.lose_scheduler)
            stack.callback(scheduler.end, loop)
        stack.push_async_callback(receiver.close)
        if options.node_rank > 0:
            await _live_as_member(engine, stack)
        else:
            await _live_as_leader(engine, stack)


async def _live_as_leader(engine: Engine, stack: AsyncExitStack) -> None:
    options, knobs = engine.options, engine.faults.knobs
    leader = Leader(options.nnodes, engine.lose_rank)
    stack.callback(leader.close)
    if options.has_bootstrap:
        await _open_bootstrap(options, engine.faults, leader, stack)
    if options.nnodes > 1 and options.dist_init_addr:
        await leader.open(options.dist_init_addr)
        await leader.gather(knobs.gang_seconds)
    await hold_ports(options.derived_ports(), stack)
    await _load(knobs)
    leader.count_loaded(0)
    stop = asyncio.Event()
    if not knobs.ignore_term:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await _open_http(engine, stack)
    await _serve(engine, leader, stop)
    leader.shut_down()
    if engine.faults.knobs.clean_exit == "sigkill":
        end_process(-signal.SIGKILL)


async def _live_as_member(engine: Engine, stack: AsyncExitStack) -> None:
    options, knobs = engine.options, engine.faults.knobs
    member = Member(options.node_rank)
    if options.dist_init_addr:
        await member.join(options.dist_init_addr, knobs.gang_seconds)
    await _load(knobs)
    member.tell_loaded()
    await _open_http(engine, stack)
    engine.status = Status.UP
    waits = knobs.rank_term == "waits"
    if waits:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if await member.wait_for_shutdown() and waits:
        return
    log.warning("Rank 0 is gone; this rank stays alive")
    await asyncio.Event().wait()


async def _serve(engine: Engine, leader: Leader, stop: asyncio.Event) -> None:
    """Serves from the moment --port opens until the drain is over."""

    async def warm_up() -> None:
        await engine.warm_up(leader.all_loaded)
        log.info("The server is fired up and ready to roll!")

    warming = asyncio.create_task(warm_up())
    await stop.wait()
    warming.cancel()
    await asyncio.gather(warming, return_exceptions=True)
    await engine.drain()


async def _load(knobs: Knobs) -> None:
    """Pretends to load the weights: prints what SGLang prints, for as long as the knob says."""
    loop = asyncio.get_running_loop()
    end = loop.time() + knobs.load_seconds
    if not knobs.silent_load:
        log.info("Load weight begin.")
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, knobs.load_seconds / LOAD_STEPS, LONGEST_STEP))
        if not knobs.silent_load:
            log.info("Loading checkpoint shards: %.1f s left", max(0.0, end - loop.time()))
    if knobs.load_fault != "none":
        log.error(LOAD_FAULTS[knobs.load_fault])
        raise StartFailed("RuntimeError: Initialization failed, see the scheduler's error above")


async def _open_bootstrap(
    options: Options, faults: Faults, leader: Leader, stack: AsyncExitStack
) -> None:
    """Opens the bootstrap port; like SGLang, only logs a failure, so the worker looks healthy."""
    from pdsup.mock import server

    def registered() -> int:
        loaded = len(leader.loaded) * options.ranks // options.nnodes
        return loaded - faults.knobs.unregistered_ranks

    try:
        if faults.knobs.busy_port == "bootstrap":
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        app = server.bootstrap(options, registered)
        port = options.disaggregation_bootstrap_port
        stack.push_async_callback((await server.open_server(app, options.host, port)).cleanup)
    except OSError as error:
        log.error("Server error: %s", error)


async def _open_http(engine: Engine, stack: AsyncExitStack) -> None:
    """Opens --port; raises StartFailed if it is taken, which shows only after the whole load."""
    from pdsup.mock import server

    options, faults = engine.options, engine.faults
    try:
        if faults.knobs.busy_port == "http":
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        app = server.dummy(faults) if options.node_rank else server.engine(engine)
        runner = await server.open_server(app, options.host, options.port)
    except OSError as error:
        raise StartFailed(f"ERROR: {error} (port {options.port})") from None
    stack.push_async_callback(runner.cleanup)
