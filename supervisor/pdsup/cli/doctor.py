"""Checks that this node can run its part of a plan."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from pdsup.cli import doctor_rules
from pdsup.cli.doctor_rules import Finding
from pdsup.cli.runs import living
from pdsup.errors import SupervisorError
from pdsup.node import identity, ownership, paths, state_dir
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import invented_nodes, slurm_nodes
from pdsup.plan.engines.known import derived_ports
from pdsup.plan.model import Node, Plan
from pdsup.units.process import holders, refusal

GPUS_S = 20.0
# Which ports the kernel gives to outgoing connections, and which of them it does not.
RANGE, RESERVED = "ip_local_port_range", "ip_local_reserved_ports"
# Needed by every cluster, so checked without a plan too.
USUAL: Mapping[str, list[str]] = {"nginx": [], "module sglang_router": []}


def examine(file: Path | None, node: str | None) -> list[Finding]:
    """Checks this machine in general, and with ``file`` for its part of that plan.

    Raises what ``load.load`` raises, and SupervisorError if the plan has no ``node``.
    """
    found = [*_limits(), *_places()]
    if file is None:
        return [*found, *(_program(name, users) for name, users in USUAL.items())]
    plan, own = _plan(file, node)
    units = [unit for unit in plan.units if own in (None, unit.node)]
    found += [_program(name, users) for name, users in doctor_rules.programs(units).items()]
    found += _others([Path.cwd(), file])
    found += _sockets([node.name for node in plan.nodes if own in (None, node.name)])
    if own is None:
        names = [node.name for node in plan.nodes]
        nodes = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        detail = f"this host is not a node of {plan.name} ({nodes}): ports, addresses not checked"
        return [*found, Finding("node", "note", detail)]
    gpus = doctor_rules.gpus(plan, own, _gpus())
    outgoing = doctor_rules.outgoing(_listeners(plan, own), _setting(RANGE), _setting(RESERVED))
    return [
        *(*found, *_ports(plan, own), *_addresses(plan, own)),
        *(finding for finding in (gpus, outgoing) if finding),
    ]


def _plan(file: Path, node: str | None) -> tuple[Plan, str | None]:
    """The plan and which of its nodes this is; None if it is none and none was named."""
    environ = dict(os.environ)
    nodes = slurm_nodes(environ) or invented_nodes(load.node_count(file))
    plan = load.load(file, nodes=nodes).plan
    try:
        return plan, identity.own_node(plan, node, environ, socket.gethostname())
    except SupervisorError:
        if node is not None:
            raise
        return plan, None


def _limits() -> Iterator[Finding]:
    soft, hard = (_limit(one) for one in resource.getrlimit(resource.RLIMIT_NOFILE))
    yield doctor_rules.files(soft, hard)
    yield doctor_rules.locked(_limit(resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]))
    yield doctor_rules.cpus(len(os.sched_getaffinity(0)), os.cpu_count() or 1)
    if (why := refusal.of_pidfds()) is not None:
        yield Finding("pidfd_open", "bad", f"no agent can run here: {why}")


def _limit(number: int) -> float:
    return float("inf") if number == resource.RLIM_INFINITY else number


def _places() -> Iterator[Finding]:
    shared, here = Path("/dev/shm"), Path.cwd()  # noqa: S108 (checked, not used)
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        why = "NCCL and the engine share memory there"
        yield doctor_rules.space(f"{shared}", free, doctor_rules.LEAST_SHARED, why)
    free = shutil.disk_usage(here).free
    yield doctor_rules.space(
        f"disk of {here}", free, doctor_rules.LEAST_DISK, "runs write their logs here"
    )
    root = state_dir.state_root(os.environ)
    good = os.access(root if root.exists() else root.parent, os.W_OK)
    detail = str(root) if good else f"{root} is not writable; set XDG_RUNTIME_DIR"
    yield Finding("state directory", "ok" if good else "bad", detail)
    for one in living.clusters():
        yield Finding("agents", "note", f"you already have a run on this machine: {one.run_dir}")


def _others(places: list[Path]) -> Iterator[Finding]:
    """Where other users may change what runs: run directories are made in the current one."""
    for path in dict.fromkeys(places):
        if cause := ownership.risk(path):
            yield Finding("others", "note", f"may change what runs: {path}: {cause}")


def _sockets(nodes: list[str]) -> Iterator[Finding]:
    """What is wrong with the path of a control socket, whose length does not depend on the run."""
    root = state_dir.state_root(os.environ)
    for node in nodes:
        directory = paths.node_dir(root, "", node)
        if (why := state_dir.unfit_for_socket(directory)) is not None:
            yield Finding("control socket", "bad", f"there can be none in {directory}: {why}")


def _program(name: str, users: list[str]) -> Finding:
    kind, _, module = name.partition(" ")
    if kind == "module" and module:
        spec = importlib.util.find_spec(module)
        return doctor_rules.needed(name, str(spec.origin) if spec else _elsewhere(module), users)
    return doctor_rules.needed(name, shutil.which(name), users)


def _elsewhere(module: str) -> str | None:
    """The path of a module in the system's own Python, for one that this Python lacks."""
    python = shutil.which("python3")
    if python is None:
        return None
    script = (
        f"import importlib.util as u; s = u.find_spec({module!r}); print(s.origin if s else '')"
    )
    done = subprocess.run(
        [python, "-c", script],
        # Else a file such as random.py in the current directory would be run.
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=GPUS_S,
    )
    return done.stdout.strip() or None


def _listeners(plan: Plan, own: str) -> dict[str, int]:
    """The ports of a node, by what opens them."""
    listeners = {"agent control": plan.control_port}
    for unit in plan.units:
        if unit.node == own:
            ports = {**dict(derived_ports(unit.command)), **unit.ports}
            listeners |= {f"{unit.name} {what}": port for what, port in ports.items()}
    return listeners


def _setting(name: str) -> str:
    """A setting of the kernel; empty where it can't be read."""
    try:
        return Path("/proc/sys/net/ipv4", name).read_text()
    except OSError:
        return ""


def _ports(plan: Plan, own: str) -> Iterator[Finding]:
    listeners = _listeners(plan, own)
    busy = []
    for what, port in listeners.items():
        try:
            if who := holders.port_holder(plan.address[own], plan.bind, {what: port}):
                busy.append(f"{what}: {who}")
        except OSError as error:
            busy.append(f"cannot listen on {plan.address[own]}: {error.strerror}")
            break
    yield from (Finding("ports", "bad", one) for one in busy)
    if not busy:
        yield Finding("ports", "ok", f"all {len(listeners)} are free")


def _addresses(plan: Plan, own: str) -> Iterator[Finding]:
    wrong = [why for node in plan.nodes if node.name != own and (why := _unknown(node))]
    yield from (Finding("addresses", "bad", why) for why in wrong)
    if not wrong:
        yield Finding("addresses", "ok", f"all {len(plan.nodes)} node addresses resolve")


def _unknown(node: Node) -> str | None:
    try:
        socket.getaddrinfo(node.address, None)
    except (OSError, UnicodeError) as error:
        return f"{node.name}'s address {node.address} does not resolve: {error}"
    return None


def _gpus() -> int | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=GPUS_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
