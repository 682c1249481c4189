"""An explanation of a plan, as values: groups of identical nodes, gates, and warnings.

``cli/screens/plan.py`` turns it into text, and ``pdsup plan --explain --json`` prints it. Pure.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import hostlist

from pdsup.address import bracketed
from pdsup.plan import hooks, masks
from pdsup.plan.compile.placement import router_step
from pdsup.plan.engines.known import RANK_FLAGS, derived_ports
from pdsup.plan.front import front_of
from pdsup.plan.masks import Mask
from pdsup.plan.model import (
    Bind,
    HookEvent,
    Kind,
    Log,
    Need,
    Node,
    Plan,
    PlanUnit,
    Probe,
    Probes,
    Restart,
    Role,
    Stop,
)
from pdsup.plan.recipe.unused import Notes, Unused

# The ports that Linux gives to outgoing connections by default (net.ipv4.ip_local_port_range).
EPHEMERAL = range(32768, 61000)


@dataclass(frozen=True, kw_only=True)
class UnitGroup:
    """Units that differ only in name, rank and addresses.

    ``command``, ``env`` and ``log`` are those of the first unit; ``env_varies`` names the variables
    whose values differ. ``listens``: the ports that no flag of the command names.
    """

    units: str
    kind: Kind
    role: Role | None
    gang: bool
    gpus: tuple[int, ...]
    ports: dict[str, int]
    listens: tuple[int, ...]
    command: tuple[str, ...]
    env: dict[str, str]
    env_varies: tuple[str, ...]
    waits_for: tuple[Need, ...]
    later: str
    first_at_least: dict[str, int]
    later_at_least: dict[str, int]
    log: str


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """A group of ``count`` nodes that run the same units. Names and addresses correspond."""

    nodes: str
    addresses: str
    count: int
    units: tuple[UnitGroup, ...]


@dataclass(frozen=True, kw_only=True)
class Care:
    """Units that are probed, restarted and stopped in the same way."""

    units: str
    probes: Probes
    restart: Restart
    stop: Stop


@dataclass(frozen=True, kw_only=True)
class Routers:
    """The routers. ``additional`` and ``stated`` are those of the recipe's ``Notes``."""

    count: int
    nodes: str
    step: int | None
    additional: int | None
    stated: bool


@dataclass(frozen=True, kw_only=True)
class HookSummary:
    """A hook: the events it sends, and where to, without secrets."""

    events: tuple[HookEvent, ...]
    way: str
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A whole plan, explained. Several names are written as a host list: ``prefill-[0-3]``."""

    name: str
    front: str | None
    bind: Bind
    control_port: int
    nodes: int
    units: int
    groups: tuple[NodeGroup, ...]
    care: tuple[Care, ...]
    routers: Routers
    hooks: tuple[HookSummary, ...]
    unused: tuple[Unused, ...]
    warnings: tuple[str, ...]


def explanation(plan: Plan, notes: Notes) -> Explanation:
    """The explanation of a plan that has no problems, without the secrets in it."""
    mask = masks.of_plan(plan, {})
    return Explanation(
        name=plan.name,
        front=front_of(plan),
        bind=plan.bind,
        control_port=plan.control_port,
        nodes=len(plan.nodes),
        units=len(plan.units),
        groups=tuple(_groups(plan, mask)),
        care=tuple(_care(plan, mask)),
        routers=_routers(plan, notes),
        hooks=tuple(
            HookSummary(events=hook.events, way=hooks.shown(hook), timeout_s=hook.timeout_s)
            for hook in plan.hooks
        ),
        unused=notes.unused,
        warnings=tuple(_warnings(plan)),
    )


def names(several: Iterable[str]) -> str:
    """Names as one host list: ``prefill-[0-3]``."""
    listed: str = hostlist.collect_hostlist(list(several))
    return listed


def _groups(plan: Plan, mask: Mask) -> Iterator[NodeGroup]:
    on_node: dict[str, list[PlanUnit]] = {node.name: [] for node in plan.nodes}
    for unit in plan.units:
        on_node[unit.node].append(unit)
    alike: defaultdict[tuple[str, ...], list[Node]] = defaultdict(list)
    for node in plan.nodes:
        alike[tuple(_shape(unit, node) for unit in on_node[node.name])].append(node)
    for nodes in alike.values():
        columns = zip(*(on_node[node.name] for node in nodes), strict=True)
        yield NodeGroup(
            nodes=names(node.name for node in nodes),
            addresses=names(node.address for node in nodes),
            count=len(nodes),
            units=tuple(_unit_group(units, mask) for units in columns),
        )


def _shape(unit: PlanUnit, node: Node) -> str:
    """A key that is equal for units that run the same thing on their nodes."""
    return repr(
        replace(
            unit,
            name="",
            node="",
            gang=unit.gang and "some",
            rank=unit.rank and 1,
            command=tuple(_blanked(unit.command, node.address)),
            env=dict.fromkeys(unit.env, ""),
            log=Log(),
        )
    )


def _blanked(command: Iterable[str], address: str) -> Iterator[str]:
    """The command with each rank's own values blanked: rank, rendezvous, address of its node."""
    before = ""
    for word in command:
        own = word in (address, bracketed(address)) or before in RANK_FLAGS
        yield "" if own else word
        before = word


def _unit_group(units: tuple[PlanUnit, ...], mask: Mask) -> UnitGroup:
    first = units[0]
    return UnitGroup(
        units=names(unit.name for unit in units),
        kind=first.kind,
        role=first.role,
        gang=first.gang is not None,
        gpus=first.gpus,
        ports=first.ports,
        listens=_unspoken(first),
        command=mask.command(first.command),
        env=mask.environment(first.env),
        env_varies=tuple(
            name for name in first.env if any(unit.env[name] != first.env[name] for unit in units)
        ),
        waits_for=first.needs.units,
        later=first.needs.later,
        first_at_least=first.needs.first_at_least,
        later_at_least=first.needs.later_at_least,
        log=first.log_file,
    )


def _unspoken(unit: PlanUnit) -> tuple[int, ...]:
    if unit.kind != "worker":
        return ()
    return tuple(port for _, port in derived_ports(unit.command))


def _care(plan: Plan, mask: Mask) -> Iterator[Care]:
    alike: defaultdict[str, list[PlanUnit]] = defaultdict(list)
    for unit in plan.units:
        alike[repr((unit.probes, unit.restart, unit.stop))].append(unit)
    for units in alike.values():
        yield Care(
            units=names(unit.name for unit in units),
            probes=_without_secrets(units[0].probes, mask),
            restart=units[0].restart,
            stop=replace(units[0].stop, drain=mask.command(units[0].stop.drain)),
        )


def _without_secrets(probes: Probes, mask: Mask) -> Probes:
    def shown(probe: Probe | None) -> Probe | None:
        return probe and replace(
            probe,
            checks=tuple(replace(c, command=mask.command(c.command)) for c in probe.checks),
        )

    return replace(
        probes,
        startup=shown(probes.startup),
        readiness=shown(probes.readiness),
        liveness=shown(probes.liveness),
    )


def _routers(plan: Plan, notes: Notes) -> Routers:
    nodes = [unit.node for unit in plan.units if unit.kind == "router"]
    return Routers(
        count=len(nodes),
        nodes=names(nodes),
        step=router_step(len(plan.nodes), notes.additional or 0),
        additional=notes.additional,
        stated=notes.stated,
    )


def _warnings(plan: Plan) -> Iterator[str]:
    by_port: defaultdict[int, list[str]] = defaultdict(list)
    for unit in plan.units:
        for port in (*unit.ports.values(), *_unspoken(unit)):
            if port in EPHEMERAL:
                by_port[port].append(unit.name)
    by_units: defaultdict[str, list[str]] = defaultdict(list)
    for port, units in by_port.items():
        by_units[names(units)].append(str(port))
    for units_of, ports in by_units.items():
        yield (
            f"{units_of}: the kernel gives outgoing connections ports from {EPHEMERAL.start} to"
            f" {EPHEMERAL.stop - 1}, so {', '.join(ports)} may be taken when it starts"
        )


def as_json(explained: Explanation) -> dict[str, object]:
    """The explanation as tables, lists and scalars."""
    return dataclasses.asdict(explained)
