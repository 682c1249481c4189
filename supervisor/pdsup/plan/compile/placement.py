"""Placement: which nodes and GPUs each worker gets, and which nodes run routers. Nodes are indices.

Pools are placed in order (prefill, decode, aggregated) by a cursor that moves over the GPUs of the
nodes and never back. A worker that fits on one node takes the next free GPUs of a node, and the
next node if too few are left; a larger worker takes whole nodes, one rank per node. Each role
begins on a node of its own, unless no node is left; in a heterogeneous job it gets exactly the
nodes of its component.

For a valid recipe the result must be srtctl's, GPU for GPU, since users move recipes between the
two. What srtctl would start wrongly is refused here: GPUs given to two workers, workers without
GPUs, nodes that do not divide evenly among the workers. A pool that does not fit is reported at the
pool that takes more nodes than the recipe gives it, with the nearest numbers that do fit. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pdsup.address import everywhere
from pdsup.errors import Problem
from pdsup.plan.model import Bind, Node
from pdsup.plan.recipe.deployment import Deployment, Pool

# How far to search for numbers that fit, and the largest recipe (nodes + workers) to search for.
REACH = 9
MOST_TRIED = 1000


@dataclass(frozen=True, slots=True)
class Site:
    """The nodes of a plan, and what its listeners bind to."""

    nodes: tuple[Node, ...]
    bind: Bind

    def host(self, node: int) -> str:
        """The address that listeners on a node bind to."""
        address = self.nodes[node].address
        return everywhere(address) if self.bind == "any" else address


@dataclass(frozen=True, slots=True)
class Slot:
    """The GPUs of one rank on one node."""

    node: int
    gpus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """Worker ``index`` of a pool. ``slots[r]`` is the place of rank r."""

    pool: Pool
    index: int
    slots: tuple[Slot, ...]


@dataclass(slots=True)
class _Cursor:
    """The first free GPU; all GPUs before it are taken or stay idle."""

    node: int = 0
    gpu: int = 0


def router_nodes(nodes: int, additional: int) -> tuple[int, ...]:
    """The node of each router: node 0, then every ``router_step``-th node from node 1 on.

    There are at most ``additional`` + 1, and often fewer: 4 for 10 nodes and 4 additional.
    """
    step = router_step(nodes, additional)
    return (0, *range(1, nodes, step)) if step else (0,)


def router_step(nodes: int, additional: int) -> int | None:
    """The distance between additional routers, ceil((N - 1) / A) nodes; None if there are none."""
    return -(-(nodes - 1) // additional) if additional and nodes > 1 else None


def place(deployment: Deployment) -> tuple[tuple[Placed, ...], tuple[Problem, ...]]:
    """Places every worker on nodes 0 to N - 1, or says why that is impossible and what fits."""
    placed, refused = _attempt(deployment)
    return placed, tuple(
        refusal.problem._replace(
            message=refusal.problem.message + _remedy(deployment, refusal.pool, len(refused)),
        )
        for refusal in refused
    )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why ``pool`` can't be placed; the problem may be at another pool."""

    pool: Pool
    problem: Problem


def _attempt(deployment: Deployment) -> tuple[tuple[Placed, ...], tuple[_Refusal, ...]]:
    cursor = _Cursor()
    placed: list[Placed] = []
    refused: list[_Refusal] = []
    prefill = next((pool for pool in deployment.pools if pool.role == "prefill"), None)
    for pool in deployment.pools:
        size, problem = _size(pool, deployment.gpus_per_node, prefill)
        if problem is None:
            end = _begin(cursor, pool, deployment)
            workers = list(_fill(pool, size, deployment, cursor, end))
            placed += workers
            if len(workers) < pool.workers:
                refused.append(_overflow(pool, size, placed, deployment))
        else:
            refused.append(_Refusal(pool, problem))
    return tuple(placed), tuple(refused)


def _remedy(deployment: Deployment, pool: Pool, before: int) -> str:
    """The hint ``; use ...`` with the nearest numbers of nodes or workers of ``pool`` that fit.

    ``before``: how many refusals there are with the recipe's own numbers.
    """
    if deployment.nodes + pool.workers > MOST_TRIED:
        return ""
    offers = []
    for what in ("nodes", "workers"):
        near = [_nearest(deployment, pool, what, step, before) for step in (-1, 1)]
        numbers = [str(number) for number in near if number is not None]
        if numbers:
            unit = what[:-1] if numbers == ["1"] else what
            offers.append(f"{' or '.join(numbers)} {unit}")
    return f"; use {', or '.join(offers)}" if offers else ""


def _nearest(deployment: Deployment, pool: Pool, what: str, step: int, before: int) -> int | None:
    now: int = getattr(pool, what)
    for number in range(now + step, max(0, now + step * REACH), step):
        changed = replace(pool, nodes=number) if what == "nodes" else replace(pool, workers=number)
        pools = tuple(changed if other is pool else other for other in deployment.pools)
        _, refused = _attempt(replace(deployment, pools=pools))
        if len(refused) <= before and all(refusal.pool is not changed for refusal in refused):
            return number
    return None


def _size(pool: Pool, per_node: int, prefill: Pool | None) -> tuple[int, Problem | None]:
    """The number of GPUs of each worker, or why it can't be determined."""
    if pool.gpus is not None:
        return pool.gpus, _whole(pool, pool.gpus, per_node)
    if not pool.nodes and pool.role == "decode" and prefill is not None:
        # 0 decode nodes: on the prefill's nodes, with workers of the same size.
        return _size(prefill, per_node, None)[0], None
    if not (pool.nodes and pool.workers):
        return per_node, None
    if pool.workers > pool.nodes * per_node:
        message = (
            f"{pool.workers} workers on {_count(pool.nodes)} of {per_node} GPUs leave some without"
            f" a GPU; at most {pool.nodes * per_node} fit"
        )
        return 0, Problem(pool.at.workers, message)
    if pool.nodes > pool.workers and pool.nodes % pool.workers:
        message = f"{pool.nodes} nodes do not divide evenly among {pool.workers} workers"
        return 0, Problem(pool.at.nodes, message)
    return pool.nodes * per_node // pool.workers, None


def _whole(pool: Pool, gpus: int, per_node: int) -> Problem | None:
    """Checks that a worker larger than a node takes whole nodes."""
    if gpus <= per_node or gpus % per_node == 0:
        return None
    less = gpus - gpus % per_node
    message = f"{gpus} GPUs are not a whole number of nodes; use {less} or {less + per_node}"
    return Problem(pool.at.gpus, message)


def _begin(cursor: _Cursor, pool: Pool, deployment: Deployment) -> int:
    """Moves the cursor to where a role begins; returns the node before which it must end."""
    if deployment.het_jobs:
        before = itertools.takewhile(lambda other: other is not pool, deployment.pools)
        cursor.node, cursor.gpu = sum(other.nodes for other in before), 0
        return cursor.node + pool.nodes
    if cursor.gpu and cursor.node + 1 < deployment.nodes:
        cursor.node, cursor.gpu = cursor.node + 1, 0
    return deployment.nodes


def _fill(
    pool: Pool, size: int, deployment: Deployment, cursor: _Cursor, end: int
) -> Iterator[Placed]:
    """Places the workers of a pool in order, as many as fit before node ``end``."""
    per_node = deployment.gpus_per_node
    for index in range(pool.workers):
        if cursor.gpu and cursor.gpu + size > per_node:
            cursor.node, cursor.gpu = cursor.node + 1, 0
        ranks = max(1, size // per_node)
        if cursor.node + ranks > end:
            return
        gpus = range(cursor.gpu, cursor.gpu + min(size, per_node))
        slots = tuple(Slot(cursor.node + rank, tuple(gpus)) for rank in range(ranks))
        cursor.node, cursor.gpu = cursor.node + ranks - 1, cursor.gpu + len(gpus)
        if cursor.gpu == per_node or deployment.spread_workers:
            cursor.node, cursor.gpu = cursor.node + 1, 0
        yield Placed(pool, index, slots)


def _overflow(pool: Pool, size: int, placed: list[Placed], deployment: Deployment) -> _Refusal:
    """Why a pool does not fit, reported at the pool that takes more nodes than it was given."""
    for other in deployment.pools:
        taken = {slot.node for worker in placed if worker.pool is other for slot in worker.slots}
        if other is not pool and len(taken) > other.nodes > 0:
            message = (
                f"{other.workers} {other.role} workers take {len(taken)} nodes, not {other.nodes}"
            )
            return _Refusal(other, Problem(other.at.nodes, message))
    fit = sum(worker.pool is pool for worker in placed)
    nodes = pool.nodes if deployment.het_jobs else deployment.nodes
    message = (
        f"only {fit} of {pool.workers} {pool.role} workers of {size} GPUs each fit on"
        f" {_count(nodes)} of {deployment.gpus_per_node} GPUs"
    )
    return _Refusal(pool, Problem(pool.at.workers, message))


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"
