"""Checks how the units of a plan fit together: names, nodes, ports, GPUs, gates, gangs, routers.

The checks apply to every plan, compiled or hand-written, and run after each value has been checked
by itself (``plan/check_values.py``). They find plans that would start and then fail hours later, or
silently: two units on one port or GPU; a gate that can never open, because it names a unit that
does not exist or waits for itself; a gang with a missing rank, whose other ranks would wait for
ever; a router with a wrong bootstrap port, which fails only at the first request.

A problem is reported at the unit that makes the plan wrong; for a conflict between two units that
is the second one. ``check_part`` has the checks that adding units can't fix, for a file whose other
units are not readable yet. Pure.
"""

from __future__ import annotations

import graphlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from pdsup.address import split
from pdsup.errors import Problem
from pdsup.plan import check_values
from pdsup.plan.engines.known import derived_ports
from pdsup.plan.frontends.frontend import Route
from pdsup.plan.frontends.known import routes
from pdsup.plan.model import Plan, PlanUnit

AGENT = "the agent"


def check(plan: Plan) -> tuple[Problem, ...]:
    """Every reason why the plan can't work, each with the path of its cause."""
    graph = _Graph(plan)
    return (
        *check_part(plan),
        *graph.empty(),
        *graph.places(),
        *graph.needs(),
        *graph.gangs(),
        *graph.upstreams(),
        *graph.routes(),
    )


def check_part(plan: Plan) -> tuple[Problem, ...]:
    """The problems that remain whatever units are added to the plan."""
    graph = _Graph(plan)
    return (*check_values.check(plan), *graph.names(), *graph.listeners(), *graph.gpus())


class _Graph:
    """A plan with the indices that several checks use."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._units = tuple((f"units.{i}", unit) for i, unit in enumerate(plan.units))
        self._by_name = {unit.name: unit for unit in plan.units}

    def empty(self) -> Iterator[Problem]:
        """Checks that there are nodes and units."""
        for key in ("nodes", "units"):
            if not getattr(self._plan, key):
                yield Problem(key, "is empty")

    def names(self) -> Iterator[Problem]:
        """Checks that node names, addresses, unit names and log files are unique."""
        for key in ("name", "address"):
            values = {f"nodes.{i}.{key}": getattr(n, key) for i, n in enumerate(self._plan.nodes)}
            yield from _repeated(values, f"another node also has the {key} {{value!r}}")
        names = {f"{at}.name": unit.name for at, unit in self._units}
        yield from _repeated(names, "another unit is also named {value!r}")
        files = {
            f"{at}.log.file" if unit.log.file else f"{at}.name": unit.log_file
            for at, unit in self._units
        }
        yield from _repeated(files, "another unit also writes to {value!r}")
        rotated = {unit.log_file for _, unit in self._units if unit.log.max_bytes is not None}
        for at, file in files.items():
            whole, _, age = file.rpartition(".")
            if whole in rotated and age.isdigit():
                yield Problem(at, f"{file!r} is where an older part of {whole!r} is kept")

    def places(self) -> Iterator[Problem]:
        """Checks that every unit is on a node of the plan."""
        for at, unit in self._units:
            if unit.node not in self._plan.address:
                yield Problem(f"{at}.node", f"the plan has no node {unit.node!r}")

    def listeners(self) -> Iterator[Problem]:
        """Checks that no two units listen on one port of a node, derived ports included."""
        taken = {(node.name, self._plan.control_port): AGENT for node in self._plan.nodes}
        for at, unit in self._units:
            for purpose, port in _ports(unit):
                place = (unit.node, port)
                if place in taken:
                    message = f"port {port} on {unit.node} is already used by {taken[place]}"
                    yield Problem(f"{at}.ports.{purpose}", message)
                else:
                    taken[place] = f"{unit.name} ({purpose})"

    def gpus(self) -> Iterator[Problem]:
        """Checks that no two units use the same GPU."""
        taken: dict[tuple[str, int], str] = {}
        for at, unit in self._units:
            for gpu in unit.gpus:
                holder = taken.setdefault((unit.node, gpu), unit.name)
                if holder != unit.name:
                    message = f"GPU {gpu} of {unit.node} is already used by {holder}"
                    yield Problem(f"{at}.gpus", message)
                    break

    def needs(self) -> Iterator[Problem]:
        """Checks that gates name existing units and ports, and that none waits for itself."""
        edges: dict[str, tuple[str, ...]] = {}
        for at, unit in self._units:
            # nginx waits for no unit, but it stops before its routers: the same order, reversed.
            edges[unit.name] = unit.stops_before
            for index, need in enumerate(unit.needs.units):
                target = self._by_name.get(need.unit)
                path = f"{at}.needs.units.{index}"
                if target is None:
                    yield Problem(f"{path}.unit", f"the plan has no unit {need.unit!r}")
                    continue
                for port in need.ports:
                    if port not in target.ports:
                        yield Problem(f"{path}.ports", f"{need.unit} has no port {port!r}")
            yield from self._enough(at, unit)
        try:
            graphlib.TopologicalSorter(edges).prepare()
        except graphlib.CycleError as error:
            cycle = list(reversed(error.args[1][1:]))
            at, first = next((at, unit.name) for at, unit in self._units if unit.name in cycle)
            start = cycle.index(first)
            shown = " -> ".join((*cycle[start:], *cycle[:start], first))
            yield Problem(f"{at}.needs", f"waits for itself: {shown}")

    def _enough(self, at: str, unit: PlanUnit) -> Iterator[Problem]:
        """Checks that ``*_at_least`` asks for at least one worker of a role and for no more than
        the gate names.
        """
        needed = [self._by_name[n.unit] for n in unit.needs.units if n.unit in self._by_name]
        available = Counter(target.role for target in needed if target.role)
        for key in ("first_at_least", "later_at_least"):
            for role, least in getattr(unit.needs, key).items():
                if not 1 <= least <= available[role]:
                    message = f"must be 1 to {available[role]}, not {least}"
                    none = f"{unit.name} needs no worker of role {role!r}"
                    problem = message if role in available else none
                    yield Problem(f"{at}.needs.{key}.{role}", problem)

    def gangs(self) -> Iterator[Problem]:
        """Checks that a gang has ranks 0, 1, 2 ... of one role, each on a different node."""
        members: dict[str, list[tuple[str, PlanUnit]]] = defaultdict(list)
        for at, unit in self._units:
            if unit.gang is not None:
                members[unit.gang].append((at, unit))
            elif unit.rank:
                yield Problem(f"{at}.rank", f"is {unit.rank}, but the unit is not in a gang")
        for gang, pairs in members.items():
            ranks = sorted(-1 if unit.rank is None else unit.rank for _, unit in pairs)
            if ranks != list(range(len(ranks))):
                yield Problem(f"{pairs[0][0]}.gang", f"{gang} has the ranks {ranks}, not 0, 1 ...")
            if len({unit.role for _, unit in pairs}) > 1:
                yield Problem(f"{pairs[0][0]}.gang", f"{gang} has ranks of several roles")
            yield from _repeated(
                {f"{at}.node": unit.node for at, unit in pairs},
                f"another rank of {gang} is also on {{value!r}}",
            )

    def upstreams(self) -> Iterator[Problem]:
        """Checks that the upstreams of nginx are routers of the plan."""
        for at, unit in self._units:
            for index, name in enumerate(unit.upstreams):
                router = self._by_name.get(name)
                if router is None or router.kind != "router" or "http" not in router.ports:
                    path = f"{at}.nginx.upstreams.{index}"
                    yield Problem(path, f"the plan has no router {name!r} with a port 'http'")

    def routes(self) -> Iterator[Problem]:
        """Checks that routers name rank-0 workers of the right role and their bootstrap ports."""
        for at, unit in self._units:
            if unit.kind == "router":
                for route in routes(unit.command):
                    if reason := self._wrong_route(route):
                        yield Problem(f"{at}.command", reason)

    def _wrong_route(self, route: Route) -> str | None:
        role, url, bootstrap = route.role, route.url, route.bootstrap
        host, port = split(url.partition("://")[2].rstrip("/"))
        if host not in self._addresses:
            return None  # a worker outside this plan
        worker = self._leaders.get((host, port))
        if worker is None:
            return f"{url} is not a worker's rank 0 in this plan"
        if worker.role != role:
            return f"{url} is {worker.name}, a {worker.role} worker, not {role}"
        if role == "prefill" and bootstrap != str(worker.ports.get("bootstrap")):
            own = worker.ports.get("bootstrap")
            return f"{worker.name} has bootstrap port {own}, but the router is given {bootstrap}"
        return None

    @cached_property
    def _addresses(self) -> frozenset[str]:
        return frozenset(self._plan.address.values())

    @cached_property
    def _leaders(self) -> Mapping[tuple[str, str], PlanUnit]:
        address = self._plan.address
        return {
            (address[unit.node], str(unit.ports["http"])): unit
            for unit in self._plan.units
            if unit.kind == "worker" and not unit.rank and "http" in unit.ports
            if unit.node in address
        }


def _repeated(values: Mapping[str, str], message: str) -> Iterator[Problem]:
    counts = Counter(values.values())
    seen: set[str] = set()
    for path, value in values.items():
        if counts[value] > 1 and value in seen:
            yield Problem(path, message.format(value=value))
        seen.add(value)


def _ports(unit: PlanUnit) -> Iterable[tuple[str, int]]:
    yield from unit.ports.items()
    if unit.kind == "worker":
        yield from derived_ports(unit.command)
