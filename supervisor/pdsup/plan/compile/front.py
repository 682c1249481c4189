"""The units in front of the workers: routers, nginx, and the benchmark, which is a client. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from pdsup.address import endpoint, url
from pdsup.plan import defaults
from pdsup.plan.compile import placement
from pdsup.plan.compile.placement import Site
from pdsup.plan.document.syntax import join
from pdsup.plan.front import front, server
from pdsup.plan.frontends.frontend import Route
from pdsup.plan.model import Need, Needs, Nginx, PlanUnit, Probes
from pdsup.plan.recipe.deployment import Deployment, Front
from pdsup.plan.recipe_paths import log_causes

NGINX_PROBES = Probes(
    startup=defaults.NGINX_STARTUP,
    readiness=defaults.NGINX_READINESS,
    liveness=defaults.NGINX_LIVENESS,
)
NGINX_CAUSES: Mapping[str, str] = {
    "": "frontend",
    "command": "frontend.nginx_binary",
    "ports.http": "frontend.port",
    **log_causes("log.nginx"),
    "restart": "restart.nginx",
    **{f"nginx.{field.name}": f"frontend.nginx_{field.name}" for field in fields(Nginx)},
}
BENCHMARK_CAUSES: Mapping[str, str] = {"": "benchmark", **log_causes("log.benchmark")}


def routers(
    leaders: tuple[PlanUnit, ...], deployment: Deployment, site: Site
) -> tuple[PlanUnit, ...]:
    """The routers, each over all rank-0 workers; none if clients talk to the worker directly."""
    front = deployment.front
    if front is None:
        return ()
    address = {node.name: node.address for node in site.nodes}
    program = front.program
    routes = tuple(
        Route(
            unit.role or "agg",
            url(address[unit.node], unit.ports["http"]),
            str(unit.ports["bootstrap"]) if "bootstrap" in unit.ports else None,
        )
        for unit in leaders
    )
    probes = program.probes(routes)
    needs = Needs(
        units=tuple(
            Need(unit=unit.name, ports=tuple(p for p in ("http", "bootstrap") if p in unit.ports))
            for unit in leaders
        ),
        later="one-per-role",
        first_at_least=dict(front.start_with),
        later_at_least=dict(front.restart_with),
    )
    alone = front.additional is None
    port = front.port if alone else defaults.ROUTER_PORT
    return tuple(
        PlanUnit(
            name=f"router-{number}",
            kind="router",
            node=site.nodes[node].name,
            ports={"http": port, **program.ports(front.args)},
            command=program.command(front.args, routes, site.host(node), port),
            env=dict(front.env),
            needs=needs,
            probes=probes,
            restart=front.router_restart,
            stop=program.stop,
            log=replace(front.router_log, file=f"{site.nodes[node].name}_router_{number}.out"),
        )
        for number, node in enumerate(
            placement.router_nodes(len(site.nodes), front.additional or 0)
        )
    )


def router_causes(front: Front) -> Mapping[str, str]:
    """The recipe's setting behind each part of a router; for all other parts, the arguments."""
    causes = {"": front.args_at, "restart": "restart.router", **log_causes("log.router")}
    for purpose, flag in front.program.port_flags.items():
        causes[f"ports.{purpose}"] = join(front.args_at, flag)
    if front.additional is None:
        causes["ports.http"] = "frontend.port"
    for role in front.start_with:
        causes[f"needs.first_at_least.{role}"] = f"frontend.start_with.{role}"
    for role in front.restart_with:
        causes[f"needs.later_at_least.{role}"] = f"frontend.restart_with.{role}"
    return causes


def nginx(routers: tuple[PlanUnit, ...], front: Front | None, site: Site) -> tuple[PlanUnit, ...]:
    """The nginx on the first node; none if a single router takes its port."""
    if front is None or front.additional is None:
        return ()
    settings = Nginx(upstreams=tuple(unit.name for unit in routers), **front.nginx)
    node = site.nodes[0].name
    # No gate: without a ready router nginx answers 503, which tells a client more than a refused
    # connection.
    return (
        PlanUnit(
            name="nginx",
            kind="nginx",
            node=node,
            ports={"http": front.port, "status": defaults.NGINX_STATUS_PORT},
            command=(
                *(front.nginx_binary, "-p", f"{settings.prefix or '{state_dir}'}/"),
                *("-c", "{state_dir}/nginx/nginx.conf"),
                *("-g", "daemon off;"),
            ),
            probes=NGINX_PROBES,
            restart=front.nginx_restart,
            stop=defaults.NGINX_STOP,
            log=replace(front.nginx_log, file=f"{node}_nginx.out"),
            nginx=settings,
        ),
    )


def benchmark(
    units: tuple[PlanUnit, ...], deployment: Deployment, site: Site
) -> tuple[PlanUnit, ...]:
    """All units, plus a benchmark on the first node if the recipe has one.

    It starts once the units that clients talk to are ready, and gets their URL in ``PDSUP_URL``.
    """
    if not deployment.benchmark:
        return units
    needed = [unit for unit in units if unit.kind in ("router", "nginx")]
    needed = needed or [unit for unit in units if not unit.rank]
    address = {node.name: node.address for node in site.nodes}
    at = front(server(unit, address[unit.node]) for unit in units)
    unit = PlanUnit(
        name="benchmark",
        kind="benchmark",
        node=site.nodes[0].name,
        command=deployment.benchmark,
        env={**_endpoints(units, address, at), **deployment.benchmark_env},
        needs=Needs(units=tuple(Need(unit=unit.name, ports=("http",)) for unit in needed)),
        restart=defaults.BENCHMARK_RESTART,
        stop=defaults.BENCHMARK_STOP,
        log=replace(deployment.benchmark_log, file="benchmark.out"),
    )
    return (*units, unit)


def _endpoints(
    units: Iterable[PlanUnit], address: Mapping[str, str], at: str | None
) -> dict[str, str]:
    """Where the benchmark finds the cluster: ``PDSUP_URL``, and the variables that srtctl gives."""
    found: dict[str, str] = {}
    if at is not None:
        host, _, port = at.rpartition("//")[2].rpartition(":")
        host = host.strip("[]")
        found |= {"PDSUP_URL": at, "SRT_FRONTEND_HOST": host, "SRT_FRONTEND_PORT": port}
    leaders = [unit for unit in units if unit.kind == "worker" and not unit.rank]
    for role in dict.fromkeys(unit.role for unit in leaders if unit.role):
        own = [unit for unit in leaders if unit.role == role]
        places = [endpoint(address[unit.node], unit.ports["http"]) for unit in own]
        found[f"SRT_{role.upper()}_IPS"] = ",".join(address[unit.node] for unit in own)
        found[f"SRT_{role.upper()}_ENDPOINTS"] = ",".join(places)
    urls = [f"http://{endpoint(address[u.node], u.ports['http'])}/metrics" for u in leaders]
    return {**found, **({"AIPERF_SERVER_METRICS_URLS": ",".join(urls)} if urls else {})}
