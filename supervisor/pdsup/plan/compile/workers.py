"""The units of the engine's workers, one for each rank, with their ports. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pdsup.plan import defaults
from pdsup.plan.compile.placement import Placed, Site, Slot
from pdsup.plan.model import Check, Log, PlanUnit, Probe, Probes, Progress, Role
from pdsup.plan.recipe import sglang
from pdsup.plan.recipe.deployment import Deployment, Pool


def workers(placed: tuple[Placed, ...], deployment: Deployment, site: Site) -> tuple[PlanUnit, ...]:
    """The units of all workers, in the order of ``placed``, ranks in order."""
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


def _ranks(
    worker: Placed, number: int, pinned: int | None, deployment: Deployment, site: Site
) -> Iterator[PlanUnit]:
    """The units of one worker, the ``number``-th on its node."""
    pool, ranks = worker.pool, len(worker.slots)
    base = defaults.WORKER_PORT + defaults.WORKER_STRIDE * number
    bootstrap = (pinned or base + defaults.BOOTSTRAP_OFFSET) if pool.role == "prefill" else None
    name = f"{pool.role}-{worker.index}"
    dist_init = base + defaults.DIST_INIT_OFFSET
    events = defaults.KV_EVENTS_PORT + defaults.WORKER_STRIDE * number
    published = sglang.kv_events_port(pool.engine, events)
    for rank, slot in enumerate(worker.slots):
        ports = {"http": pool.engine.port or base, "nccl": base + defaults.NCCL_OFFSET}
        if rank == 0 and published is not None:
            ports["kv-events"] = published
        if rank == 0 and bootstrap:
            ports["bootstrap"] = bootstrap
        if rank == 0 and ranks > 1:
            ports["dist-init"] = dist_init
        command = sglang.worker(
            deployment.engine,
            pool.role,
            pool.engine,
            host=site.host(slot.node),
            ports=ports,
            events=events,
            bootstrap=bootstrap,
            rank=rank,
            ranks=ranks,
            leader=site.endpoint(worker.slots[0].node, dist_init),
        )
        yield PlanUnit(
            name=f"{name}.{rank}" if ranks > 1 else name,
            kind="worker",
            role=pool.role,
            node=site.nodes[slot.node].name,
            rank=rank,
            gang=name if ranks > 1 else None,
            gpus=slot.gpus,
            ports=ports,
            command=command,
            env=_env(pool, slot, deployment, site),
            probes=_worker_probes(pool.role, rank, deployment.load_deadline_s, command),
            restart=pool.restart,
            stop=defaults.WORKER_STOP,
            log=Log(file=f"{site.nodes[slot.node].name}_{pool.role}_w{worker.index}.out"),
        )


def _env(pool: Pool, slot: Slot, deployment: Deployment, site: Site) -> dict[str, str]:
    node = site.nodes[slot.node].name
    env = {
        name: value.replace("{node}", node).replace("{node_id}", str(slot.node))
        for name, value in pool.env.items()
    }
    if len(slot.gpus) < deployment.gpus_per_node:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, slot.gpus))
    return env


def _worker_probes(role: Role, rank: int, deadline_s: float, command: tuple[str, ...]) -> Probes:
    if rank > 0:
        # They answer 200 whatever happens; rank 0 speaks for the worker.
        return Probes(liveness=defaults.RANK_LIVENESS)
    checks: tuple[Check, ...] = (defaults.WORKER_HEALTH,)
    if role == "prefill":
        # A bootstrap server that could not bind is only a line in the log of a healthy worker.
        checks += (defaults.BOOTSTRAP_HEALTH, defaults.BOOTSTRAP_ROUTE)
    startup = Probe(
        checks=checks,
        period_s=defaults.WORKER_STARTUP_PERIOD_S,
        timeout_s=defaults.HEALTH_TIMEOUT_S,
        deadline_s=deadline_s,
        limit_s=deadline_s * defaults.LOAD_LIMIT_FACTOR,
        quiet_s=defaults.LOAD_QUIET_S,
    )
    metered = "--enable-metrics" in command
    return Probes(
        startup=startup,
        readiness=defaults.WORKER_READINESS,
        liveness=defaults.WORKER_LIVENESS,
        progress=Progress(
            port="http" if metered else None,
            counters=defaults.WORKER_COUNTERS if metered else (),
            noise=defaults.WORKER_NOISE,
        ),
    )
