"""Beats: shows the agents that wait for this one's report that its event loop moves.

The kernel acknowledges what others send to an agent that stands still, so without beats they would
wait for its answer. All beats of a second are sent by one task, in one go: the first node of a
large cluster has a thousand followers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from aiohttp import web

from pdsup.cluster.peers import BEAT_S

BEAT = b"\n"


class Beats:
    """The responses of one server that are being waited for."""

    def __init__(self) -> None:
        self._waiting: dict[web.StreamResponse, asyncio.Transport] = {}
        self._some = asyncio.Event()

    @contextlib.contextmanager
    def to(self, request: web.Request, response: web.StreamResponse) -> Iterator[None]:
        """Sends beats in the body of a response, which must be prepared, until the ``with`` ends.

        Whoever waits may have been away meanwhile: its response simply gets no more.
        """
        if request.transport is not None:
            self._waiting[response] = request.transport
            self._some.set()
        try:
            yield
        finally:
            self._waiting.pop(response, None)

    async def run(self) -> None:
        """Beats until cancelled; sleeps while nobody waits."""
        while True:
            await self._some.wait()
            await asyncio.sleep(BEAT_S)
            for response, transport in list(self._waiting.items()):
                # One that does not read must not keep the others waiting.
                if response in self._waiting and not transport.get_write_buffer_size():
                    with contextlib.suppress(ConnectionError):
                        await response.write(BEAT)
            if not self._waiting:
                self._some.clear()
