"""Judges whether what was found on a node is good enough for a run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pdsup.cli.terminal.fold import folded
from pdsup.plan.model import Plan, PlanUnit

Verdict = Literal["ok", "note", "bad"]

# For connections of routers and nginx and files of engines; the common 1024 is too few.
LEAST_FILES = 65_536
# NCCL and the engine share memory between the processes of one node.
LEAST_SHARED = 1 << 30
LEAST_DISK = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``note``: a run may still work; ``bad``: it will fail."""

    what: str
    verdict: Verdict
    detail: str


def programs(units: Iterable[PlanUnit]) -> dict[str, list[str]]:
    """The programs that units run, each with the names of these units."""
    found: dict[str, list[str]] = {}
    for unit in units:
        found.setdefault(program(unit.command), []).append(unit.name)
    return found


def program(command: tuple[str, ...]) -> str:
    """The program that a command runs; for ``python3 -m MODULE``, MODULE's top package."""
    match command:
        case ("python3" | "python", "-m", module, *_):
            return f"module {module.split('.')[0]}"
    return command[0]


def needed(name: str, where: str | None, users: list[str]) -> Finding:
    """The check of a program or module. ``where``: its path, None if it was not found."""
    who = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
    if where is None:
        return Finding(name, "bad", f"not found; {who} can't start" if who else "not found")
    return Finding(name, "ok", where)


def files(soft: float, hard: float) -> Finding:
    """The check of the open files limit; the agent raises its own to the hard limit."""
    verdict: Verdict = "ok" if hard >= LEAST_FILES else "note"
    low = "" if verdict == "ok" else f"; a busy router needs at least {LEAST_FILES}"
    return Finding("open files", verdict, f"{_count(soft)}, hard limit {_count(hard)}{low}")


def locked(hard: float) -> Finding:
    """The check of the locked memory limit; RDMA pins memory."""
    if hard == float("inf"):
        return Finding("locked memory", "ok", "unlimited")
    return Finding("locked memory", "note", f"limited to {_bytes(hard)}; RDMA needs unlimited")


def cpus(allowed: int, present: int) -> Finding:
    """The check of the CPUs that the agent, and so all its units, may use."""
    if allowed == 1 < present:
        why = "everything that is started here would share it; under Slurm: srun --cpu-bind=none"
        return Finding("CPUs", "note", f"only 1 of {present} may be used; {why}")
    return Finding("CPUs", "ok", f"{allowed} of {present}")


def outgoing(listeners: Mapping[str, int], kernel: str, reserved: str) -> Finding | None:
    """A note if the kernel may give ports of the plan to outgoing connections.

    ``kernel`` and ``reserved`` are the contents of ip_local_port_range, two numbers, and of
    ip_local_reserved_ports, such as ``8080,30000-30100``.
    """
    low, high = ([int(word) for word in kernel.split() if word.isdecimal()] + [1, 0])[:2]
    spared = [_range(part) for part in reserved.strip().split(",") if part]
    taken = {
        port
        for port in listeners.values()
        if low <= port <= high and not any(port in ports for ports in spared)
    }
    if not taken:
        return None
    shown = ", ".join(map(str, sorted(taken)[:6])) + (", ..." if len(taken) > 6 else "")
    return Finding(
        "outgoing ports",
        "note",
        f"{shown}: an outgoing connection may take a port from {low} to {high} before its unit "
        f"starts; sysctl net.ipv4.ip_local_reserved_ports={min(taken)}-{max(taken)} spares them",
    )


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def space(what: str, free: int, least: int, why: str) -> Finding:
    """The check of the free bytes of a file system."""
    if free >= least:
        return Finding(what, "ok", f"{_bytes(free)} free")
    return Finding(what, "note", f"only {_bytes(free)} free; {why}")


def gpus(plan: Plan, node: str, found: int | None) -> Finding | None:
    """The check of the GPUs. ``found``: how many the driver shows, None without a driver."""
    units = [u for u in plan.units if u.node == node and u.gpus and _is_engine(u)]
    wanted = max((max(unit.gpus) + 1 for unit in units), default=0)
    if not wanted:
        return None
    if found is None:
        return Finding("GPUs", "bad", f"the plan needs {wanted}; nvidia-smi shows none")
    verdict: Verdict = "ok" if found >= wanted else "bad"
    return Finding("GPUs", verdict, f"the plan needs {wanted}, this node has {found}")


def _is_engine(unit: PlanUnit) -> bool:
    """Whether a unit really uses GPUs; the mock engine only pretends to."""
    return program(unit.command) == "module sglang"


def lines(
    findings: Iterable[Finding],
    colours: Mapping[Verdict, str] | None = None,
    width: int | None = None,
) -> list[str]:
    """One line for each finding, folded to ``width``; bad ones come last, where they are seen."""
    order: tuple[Verdict, ...] = ("ok", "note", "bad")
    found = sorted(findings, key=lambda one: order.index(one.verdict))
    names = max((len(one.what) for one in found), default=0)
    shown = []
    for one in found:
        line = f"{one.verdict:4}  {one.what:{names}}  {one.detail}"
        first, *rest = folded([line], width, " " * (names + 8))
        shown += [_painted(first, one.verdict, colours), *rest]
    return shown


def _painted(line: str, verdict: Verdict, colours: Mapping[Verdict, str] | None) -> str:
    if not colours:
        return line
    return f"\x1b[{colours[verdict]}m{verdict}\x1b[0m{line.removeprefix(verdict)}"


def _count(number: float) -> str:
    return "unlimited" if number == float("inf") else str(int(number))


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
