"""The units of the workers, one per rank. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pdsup.plan.compile.placement import Placed, Site, Slot
from pdsup.plan.document.syntax import join
from pdsup.plan.engines.engine import Engine, Rank
from pdsup.plan.model import PlanUnit
from pdsup.plan.recipe.deployment import Deployment, Pool
from pdsup.plan.recipe_paths import log_causes


def workers(placed: tuple[Placed, ...], deployment: Deployment, site: Site) -> tuple[PlanUnit, ...]:
    """The units of all workers, in the order of ``placed``, each worker's ranks in order."""
    on_node: Counter[int] = Counter()
    bootstrap = next(
        (p.engine.bootstrap_port for p in deployment.pools if p.engine.bootstrap_port), None
    )
    units: list[PlanUnit] = []
    for worker in placed:
        number = on_node[worker.slots[0].node]
        on_node.update(slot.node for slot in worker.slots)
        units += _ranks(worker, number, bootstrap, deployment, site)
    return tuple(units)


def causes(pool: Pool, engine: Engine) -> Mapping[str, str]:
    """The recipe's setting behind each part of a pool's units; for all other parts, the flags."""
    pinned = {
        f"ports.{purpose}": join(pool.at.flags, flag) for purpose, flag in engine.port_flags.items()
    }
    return {
        "": pool.at.flags,
        **pinned,
        "ports.kv-events": pool.at.kv_events,
        "restart": pool.at.restart,
        **log_causes(f"log.{pool.role}"),
    }


def _ranks(
    worker: Placed, number: int, bootstrap: int | None, deployment: Deployment, site: Site
) -> Iterator[PlanUnit]:
    """The units of one worker. ``number``: how many workers its first node had before it."""
    engine, pool, ranks = deployment.engine, worker.pool, len(worker.slots)
    name = f"{pool.role}-{worker.index}"
    for index, slot in enumerate(worker.slots):
        node = site.nodes[slot.node].name
        rank = Rank(
            role=pool.role,
            rank=index,
            ranks=ranks,
            number=number,
            host=site.host(slot.node),
            leader=site.nodes[worker.slots[0].node].address,
            bootstrap=bootstrap,
        )
        command = engine.command(pool.engine, rank)
        yield PlanUnit(
            name=f"{name}.{index}" if ranks > 1 else name,
            kind="worker",
            role=pool.role,
            node=node,
            rank=index,
            gang=name if ranks > 1 else None,
            gpus=slot.gpus,
            ports=engine.ports(pool.engine, rank),
            command=command,
            env=_env(pool, slot, deployment, node),
            probes=engine.probes(rank, command, deployment.load_deadline_s),
            restart=pool.restart,
            stop=engine.stop,
            log=replace(pool.log, file=f"{node}_{pool.role}_w{worker.index}.out"),
        )


def _env(pool: Pool, slot: Slot, deployment: Deployment, node: str) -> dict[str, str]:
    env = {
        name: value.replace("{node}", node).replace("{node_id}", str(slot.node))
        for name, value in pool.env.items()
    }
    if len(slot.gpus) < deployment.gpus_per_node:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, slot.gpus))
    return env
