"""Follows the reports of other nodes by long polls: one request in flight per followed node.

Its sockets notice within seconds when the node at the other end is gone without a word.
"""

from __future__ import annotations

import asyncio
import errno
import random
import secrets
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import aiohttp
from aiohttp import AddrInfoType

from pdsup import clock
from pdsup.address import url
from pdsup.cluster import gang_rules
from pdsup.cluster.report import Peer, Report, akin, from_json
from pdsup.node import tokens
from pdsup.plan.model import Plan
from pdsup.units.probes.http import cause
from pdsup.units.states import FOREVER


def followed(plan: Plan, node: str) -> set[str]:
    """The nodes whose reports a node needs.

    The first node follows all, and all follow it: so an end reaches everybody in two steps. The
    ranks of a gang follow its rank 0, which follows them.
    """
    first = plan.nodes[0].name
    if node == first:
        return {other.name for other in plan.nodes} - {node}
    names: set[str] = set()
    for unit in plan.units:
        if unit.node == node:
            names |= set(unit.stops_before)
            if plan.bounce_decodes != "never" and unit.role == "decode":
                names |= {other.name for other in plan.units if other.role == "prefill"}
        if any(plan.by_name[name].node == node for name in unit.upstreams):
            names.add(unit.name)
    for members in gang_rules.ranks(plan).values():
        nodes = [plan.by_name[name].node for name in members]
        if node in nodes:
            names |= set(members if node == nodes[0] else members[:1])
    return {first, *(plan.by_name[name].node for name in names)} - {node}


WAIT_S = 20.0
# Beyond the wait: what a loaded node may need to answer. A node that lost power is noticed then.
GRACE_S = 5.0
CONNECT_S = 2.0
RETRY_FIRST_S = 0.1
RETRY_LIMIT_S = 1.0
# An agent that is started again, or a network that hiccups, is back before this: gates must not
# close nor routers leave nginx for that. An agent that said that it ends is believed at once.
HOLD_S = 2.0
SILENCE = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})
# Whoever looks at the whole cluster asks again sooner than this, which is longer than the longest
# wait that the API grants, so that no answer is made of peers that were dropped meanwhile.
VISIT_S = 90.0


class Peers:
    """The other nodes that somebody here needs to know of.

    ``digest``: of the plan; ``former``: of those that the run had before.
    """

    def __init__(
        self,
        plan: Plan,
        digest: str,
        former: Collection[str],
        token: str,
        session: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._plan = plan
        self._digest = digest
        self._former = former
        self._token = token
        self._session = session
        self._group = tasks
        self._listeners: list[Callable[[str], None]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._until: dict[str, float] = {}
        self._closed = False
        self.peers: dict[str, Peer] = {}

    def listen(self, changed: Callable[[str], None]) -> None:
        """Calls ``changed(node)`` whenever what is known of a node changes."""
        self._listeners.append(changed)

    def follow(self, nodes: Iterable[str]) -> None:
        """Follows nodes until ``close``."""
        self._follow_until(nodes, FOREVER)

    def visit(self, nodes: Iterable[str]) -> None:
        """Follows nodes for ``VISIT_S``, because somebody looks at them; each call prolongs it."""
        self._follow_until(nodes, clock.monotonic() + VISIT_S)

    async def close(self) -> None:
        """Stops following, for good; returns when every request is gone."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _follow_until(self, nodes: Iterable[str], until: float) -> None:
        for node in nodes:
            self._until[node] = max(until, self._until.get(node, 0.0))
            if node not in self._tasks and not self._closed:
                self.peers[node] = Peer(node)
                self._tasks[node] = self._group.create_task(self._follow(node))

    async def _follow(self, node: str) -> None:
        retry = RETRY_FIRST_S
        while clock.monotonic() < self._until[node]:
            try:
                self._learn(node, await self._ask(self.peers[node]))
                retry = RETRY_FIRST_S
            except (OSError, aiohttp.ClientError, ValueError) as error:
                self._doubt(node, f"its agent can't be asked: {cause(error)}", _is_silence(error))
                await asyncio.sleep(retry * (0.5 + random.random()))  # noqa: S311 (jitter)
                retry = min(RETRY_LIMIT_S, retry * 1.5)
        del self._tasks[node], self._until[node], self.peers[node]

    async def _ask(self, peer: Peer) -> Report | None:
        """The node's report once it differs from the known one; None: it still does not.

        After a failure, and of a node never heard of, the answer is wanted at once.
        """
        known = peer.report
        wait = WAIT_S if known and peer.failing is None else 0.0
        path = f"/v1/report?since={known.version if known else ''}&wait={wait:g}"
        signed = tokens.headers(self._token, "GET", path, clock.wall(), secrets.token_hex(8))
        where = url(self._plan.address[peer.node], self._plan.control_port, path)
        limit = aiohttp.ClientTimeout(total=wait + GRACE_S, sock_connect=CONNECT_S)
        async with self._session.get(
            where, headers=signed, timeout=limit, allow_redirects=False
        ) as response:
            if response.status == 304 and known:
                return None
            if response.status != 200:
                raise ValueError(f"HTTP {response.status} {(await response.text())[:200]}".strip())
            return from_json(await response.read())

    def _learn(self, node: str, report: Report | None) -> None:
        now, peer = clock.monotonic(), self.peers[node]
        if report is not None:
            peer = replace(peer, report=report, received=now)
        problem = self._mismatch(node, peer.report) if peer.report else peer.problem
        self._set(replace(peer, heard=now, failing=None, problem=problem))

    def _doubt(self, node: str, failure: str, silence: bool) -> None:
        """A node that failed to answer keeps its last word for a moment: see ``HOLD_S``.

        Not one that is silent: that has taken longer than a moment already.
        """
        now, peer = clock.monotonic(), self.peers[node]
        since = now if peer.failing is None else peer.failing
        known = peer.usable
        held = not silence and known and not known.ending and now - since < HOLD_S
        self._set(replace(peer, failing=since, problem=None if held else failure))

    def _mismatch(self, node: str, report: Report) -> str | None:
        match report:
            case Report(cluster=cluster) if cluster != self._plan.name:
                return f"its agent belongs to cluster {cluster}"
            case Report(plan=plan) if not akin(report, self._digest, self._former):
                return f"its agent runs another plan ({plan[:12]}, here {self._digest[:12]})"
            case Report(node=other) if other != node:
                return f"its address leads to the agent of {other}"
        return None

    def _set(self, peer: Peer) -> None:
        before, self.peers[peer.node] = self.peers[peer.node], peer
        if peer.report is not before.report or peer.problem != before.problem:
            for changed in self._listeners:
                changed(peer.node)


def _is_silence(error: Exception) -> bool:
    """Whether the kernel gave the connection up: not even it answers over there."""
    return getattr(error, "errno", None) in SILENCE


# The kernel asks an idle connection's other end this often; it costs no time of ours.
IDLE_S = 1
# How long an answer to that, or to what was sent, may take. Without it a node that lost power, or
# its network, would be noticed only when a long poll is overdue, and a request after 15 minutes.
SILENT_MS = 1500


def watched(address: AddrInfoType) -> socket.socket:
    """A socket for a TCP connection, not yet connected; for ``aiohttp.TCPConnector``."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, IDLE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    return made
