"""Follows the reports of other nodes by long polls: one request in flight for each followed node.

The other end may restart its agent, lose its network for a second, lose power, or belong to another
run. Two errors must not happen: to close gates and reload nginx over a hiccup, and to keep sending
requests to a node that is gone. So the last report of a node that fails to answer stays valid for
``HOLD_S``, unless the node said that it is ending; keepalives on the sockets reveal within seconds
a node that vanished without closing its connections; and an agent sends a beat every second while a
request waits, which reveals one whose loop stands still. While an agent hands over to a new one,
its machine refuses connections: if it has announced that, its report stays valid for
``HANDOVER_S``, but only as long as the machine does refuse. A report of another cluster, node or
plan is never used, and nothing that an answer holds can end this agent, fill its memory or keep it
busy. Whoever has the address of a node that is down can answer in its place, so nothing is used of
an answer without the signature of its agent.
"""

from __future__ import annotations

import asyncio
import errno
import random
import secrets
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

import aiohttp
from aiohttp import AddrInfoType

from pdsup import clock
from pdsup.address import url
from pdsup.cluster import gang_rules
from pdsup.cluster.report import Peer, Report, akin, from_json
from pdsup.node import signatures
from pdsup.plan.model import Plan
from pdsup.printable import printable
from pdsup.times import duration
from pdsup.units.probes.http import MOST_ANSWER, cause, read_at_most
from pdsup.units.states import FOREVER


def followed(plan: Plan, node: str) -> set[str]:
    """The nodes whose reports a node needs.

    The first node follows all and all follow it, so news of an end reaches every node in two steps.
    The ranks of a gang follow its rank 0, and rank 0 follows them.
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
# Beyond the wait: the time that a loaded node may take to answer.
GRACE_S = 5.0
CONNECT_S = 2.0
# A request that waits with ``beats=1`` gets a line feed this often. The Content-Type of such an
# answer: the line feeds, the report if there is a newer one, and the signature of it.
BEAT_S = 1.0
BEATEN = "application/json; beats=1"
# Without a beat for this long an agent stands still: it was stopped, or its file system hangs.
STILL_S = 2.5
STANDS_STILL = f"its agent has not moved for {duration(STILL_S)}"
MOST_TEXT = 200
# So many answers in a row may come at once, as in a burst of changes; then there are pauses.
BURST = 10
PAUSE_S = 0.05
RETRY_FIRST_S = 0.1
RETRY_LIMIT_S = 1.0
# A restarted agent, or the network after a hiccup, is back before this. Until then gates stay open
# and routers stay in nginx. An agent that said that it is ending is believed at once.
HOLD_S = 2.0
# A new agent that was announced answers before this, even on a machine where many start at once.
HANDOVER_S = 15.0
UNSIGNED = "nothing proves that what answers there is an agent of this run"
UNSIGNED_401 = f"HTTP 401, and {UNSIGNED}"
REFUSALS = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE})
SILENCE = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})
# Longer than the longest wait that the API grants, so that a node is not dropped while a client
# that wants the whole cluster's status waits for it.
VISIT_S = 90.0


class Peers:
    """The other nodes that this one follows.

    ``digest`` is the plan's digest, ``former`` those of the plans that the run had before.
    ``known``: the nodes that answered the agent before this one. They may be handing over as well,
    so one that refuses connections counts as not asked yet during the first ``HANDOVER_S``.
    ``signers``: the nodes that have signed an answer, of which no other is taken any longer. In a
    run that version 0.1.0 began, ``signed`` is told of them; in others all nodes must sign.
    """

    def __init__(
        self,
        plan: Plan,
        digest: str,
        former: Collection[str],
        token: str,
        session: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
        stood_still: Callable[[], bool] = lambda: False,
        known: Collection[str] = (),
        signers: Collection[str] = (),
        signed: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """``stood_still``: whether this agent itself did not run for a moment, and so could not
        hear the others.
        """
        self._plan = plan
        self._digest = digest
        self._former = former
        self._token = token
        self._session = session
        self._group = tasks
        self._listeners: list[Callable[[str], None]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._until: dict[str, float] = {}
        self._stood_still = stood_still
        self._beating: set[str] = set()
        self._closed = False
        self._known = frozenset(known)
        self._signers = set(plan.address if signatures.is_mutual(token) else signers)
        self._signed = signed
        self._began = clock.monotonic()
        self.peers: dict[str, Peer] = {}

    def listen(self, changed: Callable[[str], None]) -> None:
        """Calls ``changed(node)`` on each new report of a node, and when its problem changes."""
        self._listeners.append(changed)

    def follow(self, nodes: Iterable[str]) -> None:
        """Follows nodes until ``close``."""
        self._follow_until(nodes, FOREVER)

    def visit(self, nodes: Iterable[str]) -> None:
        """Follows nodes for ``VISIT_S`` from now, for a client that looks at the whole cluster."""
        self._follow_until(nodes, clock.monotonic() + VISIT_S)

    async def once(self, nodes: Iterable[str]) -> list[Report]:
        """The reports of those nodes that answer now, whatever plan they have."""
        asked = (self._ask(Peer(node)) for node in nodes)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [each for each in answers if isinstance(each, Report)]

    async def get(self, node: str, path: str, within: float) -> bytes:
        """The answer of another node to a request, within ``within`` seconds.

        Raises OSError, aiohttp.ClientError, or ValueError if it refuses.
        """
        limit = aiohttp.ClientTimeout(total=within, sock_connect=CONNECT_S)
        return _wanted(await self._request(node, path, limit))

    async def _request(self, node: str, path: str, limit: aiohttp.ClientTimeout) -> _Answer:
        """The answer of a node, after it was found to be from its agent. Raises ValueError if it
        is not: nothing of it may be used then.
        """
        nonce = secrets.token_hex(8)
        asked = signatures.headers(self._token, "GET", path, node, clock.wall(), nonce)
        where = url(self._plan.address[node], self._plan.control_port, path)
        async with self._session.get(
            where, headers=asked, timeout=limit, allow_redirects=False
        ) as response:
            status, kind = response.status, response.headers.get("Content-Type", "")
            signature = response.headers.get(signatures.SIGNATURE, "")
            if not signature and node in self._signers:
                raise ValueError(UNSIGNED_401 if status == 401 else UNSIGNED)
            beaten = kind == BEATEN
            if beaten and not signatures.is_same(
                signatures.sign_head(self._token, node, nonce, status, kind), signature
            ):
                raise ValueError(UNSIGNED)
            body = await read_at_most(response.content, MOST_ANSWER)
        if beaten:
            signature = body[-signatures.SIGNATURE_CHARACTERS :].decode(errors="replace")
            body = body[: -signatures.SIGNATURE_CHARACTERS].strip()
        if signature:
            right = signatures.sign_answer(self._token, node, nonce, status, kind, body)
            if not signatures.is_same(right, signature):
                raise ValueError(UNSIGNED)
            if node not in self._signers:
                self._signers.add(node)
                self._signed(self._signers)
        return _Answer(status, body, signed=bool(signature))

    async def close(self) -> None:
        """Stops following, for good; returns when every request has ended."""
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
        retry, quick = RETRY_FIRST_S, 0
        while (began := clock.monotonic()) < self._until[node]:
            try:
                self._learn(node, await self._ask(self.peers[node]))
            except Exception as error:  # whatever another program answers must not end this agent
                if isinstance(error, TimeoutError) and self._stood_still():
                    continue
                quick = 0
                self._beating.discard(node)
                self._doubt(node, error)
                await asyncio.sleep(retry * (0.5 + random.random()))  # noqa: S311 (jitter)
                retry = min(RETRY_LIMIT_S, retry * 1.5)
            else:
                retry = RETRY_FIRST_S
                quick = quick + 1 if clock.monotonic() - began < PAUSE_S else 0
                if quick > BURST:
                    await asyncio.sleep(PAUSE_S)
        del self._tasks[node], self._until[node], self.peers[node]

    async def _ask(self, peer: Peer) -> Report | None:
        """The node's report once it differs from the known one; None when the wait ended first.

        It does not wait after a failure, nor on the first request to a node.
        """
        known = peer.report
        wait = WAIT_S if known and peer.failing is None else 0.0
        path = f"/v1/report?since={known.version if known else ''}&wait={wait:g}&beats=1"
        limit = aiohttp.ClientTimeout(
            total=wait + GRACE_S,
            sock_connect=CONNECT_S,
            sock_read=STILL_S if peer.node in self._beating else None,
        )
        answer = await self._request(peer.node, path, limit)
        # An agent that signs sends beats, too.
        (self._beating.add if answer.signed else self._beating.discard)(peer.node)
        if answer.status == 304 and known:
            return None
        body = _wanted(answer)
        return None if known and not body else from_json(body)

    def _learn(self, node: str, report: Report | None) -> None:
        now, peer = clock.monotonic(), self.peers[node]
        if report is not None:
            peer = replace(peer, report=report, received=now)
        problem = self._mismatch(node, peer.report) if peer.report else peer.problem
        self._set(replace(peer, heard=now, failing=None, problem=problem))

    def _doubt(self, node: str, error: Exception) -> None:
        """Takes in a failed request; the last report stays valid for ``HOLD_S``, or ``HANDOVER_S``.

        It does not if the kernel gave up a silent connection, or the agent stands still: that took
        longer already.
        """
        now, peer = clock.monotonic(), self.peers[node]
        still = isinstance(error, aiohttp.SocketTimeoutError)
        refused, known = _is_refusal(error), peer.usable
        if refused and not peer.asked and node in self._known and now - self._began < HANDOVER_S:
            return
        since = now if peer.failing is None else peer.failing
        limit = HANDOVER_S if refused and known and known.hands_over else HOLD_S
        silent = still or _is_silence(error)
        held = not silent and known and not known.ending and now - since < limit
        failure = STANDS_STILL if still else f"cannot reach its agent: {cause(error)}"
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


class _Answer(NamedTuple):
    status: int
    body: bytes
    signed: bool


def _wanted(answer: _Answer) -> bytes:
    if answer.status != 200:
        text = answer.body[:MOST_TEXT].decode(errors="replace")
        raise ValueError(printable(f"HTTP {answer.status} {text}"))
    return answer.body


def _is_refusal(error: Exception) -> bool:
    """Whether the kernel at the other end answered that no agent is there."""
    closed = isinstance(error, aiohttp.ServerDisconnectedError)
    return closed or getattr(error, "errno", None) in REFUSALS


def _is_silence(error: Exception) -> bool:
    """Whether not even the kernel at the other end answered."""
    return getattr(error, "errno", None) in SILENCE


# The interval of TCP keepalives on an idle connection; the kernel sends them.
IDLE_S = 1
# How long the other end may take to acknowledge a keepalive or data. Without this limit, a node
# that lost power or its network would go unnoticed until a long poll is overdue, and a request for
# 15 minutes.
SILENT_MS = 1500


def watched(address: AddrInfoType) -> socket.socket:
    """An unconnected TCP socket with keepalives, for ``aiohttp.TCPConnector``."""
    family, kind, protocol, *_ = address
    tcp = socket.socket(family, kind, protocol)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, IDLE_S)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    return tcp
