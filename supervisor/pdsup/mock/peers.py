"""How workers talk to their peers: the ranks of one worker meet, a decode fetches from a prefill.

Ranks meet at --dist-init-addr over one TCP connection each, with one message per line: a rank sends
``join N`` and, once it has loaded, ``loaded``; rank 0 sends ``go`` once all have joined, and
``shutdown`` when it has drained. A connection that ends any other way means that a rank was lost.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, NoReturn

from pdsup.mock.faults import Faults
from pdsup.mock.options import Address, unbracketed
from pdsup.mock.wire import Bootstrap, Job

if TYPE_CHECKING:
    import aiohttp


log = logging.getLogger(__name__)

PORT_TRIES, PORT_PAUSE = 30, 0.1  # as SGLang's wait_port_available: 3 s in all
JOIN_PAUSE = 0.1
MISSED_HEARTBEATS = 2
NO_TRANSFER_HOST = "2.2.2.2"  # FAKE_BOOTSTRAP_HOST of SGLang: nothing is transferred
RUN_HEADER = "X-Mock-Run"


class StartFailed(Exception):
    """The worker can't start: the text becomes the last line of the log, and the exit code is 1."""


class KvTransferFailed(Exception):
    """A decode did not get the KV cache of a request; the response is a 500."""


async def hold_ports(addresses: tuple[Address, ...], held: AsyncExitStack) -> None:
    """Listens on the ports that SGLang uses between its own processes; raises StartFailed."""
    for address in addresses:
        held.enter_context(await _hold(address))


async def _hold(address: Address) -> socket.socket:
    for _ in range(PORT_TRIES):
        with suppress(OSError):
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            return socket.create_server(address, family=family)
        await asyncio.sleep(PORT_PAUSE)
    raise StartFailed(f"ValueError: {address} is not available in 3 s")


class Leader:
    """Rank 0's side of the rendezvous. ``on_loss`` is called with each rank that is lost."""

    def __init__(self, nnodes: int, on_loss: Callable[[int], None]) -> None:
        self.loaded: set[int] = set()
        self.all_loaded = asyncio.Event()
        self._others = nnodes - 1
        self._on_loss = on_loss
        self._members: dict[int, asyncio.StreamWriter] = {}
        self._complete = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self, address: Address) -> None:
        """Listens for the other ranks; raises StartFailed."""
        try:
            self._server = await asyncio.start_server(self._serve, *address)
        except OSError as error:
            raise StartFailed(str(error)) from None

    async def gather(self, seconds: float) -> None:
        """Waits until all ranks have joined; raises StartFailed after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._complete.wait()
        except TimeoutError:
            joined = f"{len(self._members)} of {self._others}"
            raise StartFailed(f"only {joined} other ranks joined within {seconds:g} s") from None
        self._tell(b"go\n")

    def count_loaded(self, rank: int) -> None:
        """Records that a rank has loaded its weights."""
        self.loaded.add(rank)
        if len(self.loaded) == self._others + 1:
            self.all_loaded.set()

    def shut_down(self) -> None:
        """Tells every rank that this worker is shutting down cleanly."""
        self._tell(b"shutdown\n")

    def close(self) -> None:
        """Stops listening; the connections end with their ranks."""
        if self._server:
            self._server.close()

    def _tell(self, word: bytes) -> None:
        for writer in self._members.values():
            writer.write(word)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._hear(reader, writer)
        except (ConnectionError, ValueError):
            log.warning("Dropped a connection that is not from a rank")
        except asyncio.CancelledError:
            pass  # the process ends; streams before Python 3.12 report a cancelled handler
        finally:
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rank = int((await reader.readline()).removeprefix(b"join "))
        if self._complete.is_set():
            # A rank restarted alone never gets through: its peers are past these collectives.
            log.warning("Rank %d joined after the start; it will wait in vain", rank)
            await reader.read()
            return
        self._members[rank] = writer
        if len(self._members) == self._others:
            self._complete.set()
        with suppress(ConnectionError):
            while await reader.readline():
                self.count_loaded(rank)
        if self._members.get(rank) is writer:  # not replaced by a newer connection before the start
            del self._members[rank]
            if self._complete.is_set():
                self._on_loss(rank)


class Member:
    """The side of any other rank of the rendezvous."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def join(self, address: Address, seconds: float) -> None:
        """Waits until all ranks have joined; raises StartFailed after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._connect(address)
                self._writer.write(f"join {self._rank}\n".encode())
                reply = await self._reader.readline()
        except TimeoutError:
            raise StartFailed(f"ranks did not meet at {address} within {seconds:g} s") from None
        except ConnectionError:
            reply = b""
        if reply != b"go\n":
            raise StartFailed(f"rank 0 at {address} went away before the start")

    def tell_loaded(self) -> None:
        """Registers this rank with rank 0."""
        self._writer.write(b"loaded\n")

    async def wait_for_shutdown(self) -> bool:
        """Waits for rank 0 to end: True for a clean shutdown, False if rank 0 was lost."""
        try:
            return await self._reader.readline() == b"shutdown\n"
        except ConnectionError:
            return False

    async def _connect(self, address: Address) -> None:
        while True:
            try:
                self._reader, self._writer = await asyncio.open_connection(*address)
            except OSError:
                await asyncio.sleep(JOIN_PAUSE)
            else:
                return


class KvReceiver:
    """A decode's side of the KV transfer: each job's prefill must answer at its bootstrap port.

    With heartbeats it remembers which run of each prefill it connected to, as SGLang does, and
    forgets it only after two missed ones. Until then requests to a prefill that was restarted
    sooner fail.
    """

    def __init__(self, own_bootstrap_port: int, faults: Faults) -> None:
        self._own_port = own_bootstrap_port
        self._faults = faults
        self._lives: dict[Address, str] = {}
        self._heartbeats: dict[Address, asyncio.Task[None]] = {}
        self._http: aiohttp.ClientSession | None = None

    async def fetch(self, job: Job) -> None:
        """Fetches the job's KV cache; raises KvTransferFailed."""
        for bootstrap in job.bootstraps:
            if bootstrap.host != NO_TRANSFER_HOST:
                await self._fetch(bootstrap)

    async def close(self) -> None:
        """Stops the heartbeats and closes the connections."""
        for task in self._heartbeats.values():
            task.cancel()
        await asyncio.gather(*self._heartbeats.values(), return_exceptions=True)
        if self._http:
            await self._http.close()

    async def _fetch(self, bootstrap: Bootstrap) -> None:
        address = Address(unbracketed(bootstrap.host), bootstrap.port or self._own_port)
        life = await self._ask(address)
        if life is None:
            self._fail(address, "Lost connection with prefill instance")
        if self._faults.knobs.heartbeat_seconds > 0:
            if self._lives.setdefault(address, life) != life:
                self._fail(address, "the prefill was restarted and this decode has not noticed yet")
            if address not in self._heartbeats:
                self._heartbeats[address] = asyncio.create_task(self._watch(address))

    def _fail(self, address: Address, why: str) -> NoReturn:
        raise KvTransferFailed(f"KV transfer failed: {why} ({address})")

    async def _ask(self, address: Address) -> str | None:
        """The run of the prefill that answers at ``address``, or None."""
        import aiohttp  # late: slow to import, and only a decode needs the client

        limit = self._faults.knobs.kv_timeout_seconds
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        url = f"http://{address}/health"
        with suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with asyncio.timeout(limit), self._http.get(url) as answer:
                return answer.headers.get(RUN_HEADER, "") if answer.status == 200 else None
        return None

    async def _watch(self, address: Address) -> None:
        missed = 0
        while missed < MISSED_HEARTBEATS:
            await asyncio.sleep(self._faults.knobs.heartbeat_seconds)
            missed = 0 if await self._ask(address) is not None else missed + 1
        log.warning("Lost connection with prefill instance (%s)", address)
        self._lives.pop(address, None)
        del self._heartbeats[address]
