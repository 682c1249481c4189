"""What a node should be like before a run, and what that means for what was found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pdsup.cli.terminal.fold import folded
from pdsup.plan.model import Plan, PlanUnit

Verdict = Literal["ok", "note", "bad"]

# Connections of routers and nginx, files of engines: 1024, as many systems have it, is too few.
LEAST_FILES = 65_536
# NCCL and the engine share memory between the processes of one node.
LEAST_SHARED = 1 << 30
LEAST_DISK = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``note``: a run may do without; ``bad``: it will not work."""

    what: str
    verdict: Verdict
    detail: str


def programs(units: Iterable[PlanUnit]) -> dict[str, list[str]]:
    """What the commands of units begin with, and the names of these units."""
    found: dict[str, list[str]] = {}
    for unit in units:
        found.setdefault(program(unit.command), []).append(unit.name)
    return found


def program(command: tuple[str, ...]) -> str:
    """The program that a command runs: ``python3 -m MODULE`` is MODULE's top package."""
    match command:
        case ("python3" | "python", "-m", module, *_):
            return f"module {module.split('.')[0]}"
    return command[0]


def needed(name: str, where: str | None, users: list[str]) -> Finding:
    """``where``: where the program or module is, None when it is nowhere."""
    who = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
    if where is None:
        return Finding(name, "bad", f"not found; {who} can't start" if who else "not found")
    return Finding(name, "ok", where)


def files(soft: float, hard: float) -> Finding:
    """The limit of open files; the agent raises its own to the hard one."""
    verdict: Verdict = "ok" if hard >= LEAST_FILES else "note"
    low = "" if verdict == "ok" else f"; a busy router needs more, {LEAST_FILES} at least"
    return Finding("open files", verdict, f"{_count(soft)}, at most {_count(hard)}{low}")


def locked(hard: float) -> Finding:
    """RDMA pins memory."""
    if hard == float("inf"):
        return Finding("locked memory", "ok", "unlimited")
    return Finding("locked memory", "note", f"at most {_bytes(hard)}; RDMA needs it unlimited")


def space(what: str, free: int, least: int, why: str) -> Finding:
    """Bytes that are free in a file system."""
    if free >= least:
        return Finding(what, "ok", f"{_bytes(free)} free")
    return Finding(what, "note", f"only {_bytes(free)} free; {why}")


def gpus(plan: Plan, node: str, found: int | None) -> Finding | None:
    """``found``: how many GPUs the driver shows, None where there is no driver."""
    units = [u for u in plan.units if u.node == node and u.gpus and _is_engine(u)]
    wanted = max((max(unit.gpus) + 1 for unit in units), default=0)
    if not wanted:
        return None
    if found is None:
        return Finding("GPUs", "bad", f"the plan wants {wanted}; nvidia-smi shows none")
    verdict: Verdict = "ok" if found >= wanted else "bad"
    return Finding("GPUs", verdict, f"the plan wants {wanted}, there are {found}")


def _is_engine(unit: PlanUnit) -> bool:
    """The stand-in only pretends to have GPUs."""
    return program(unit.command) == "module sglang"


def lines(
    findings: Iterable[Finding],
    colours: Mapping[Verdict, str] | None = None,
    width: int | None = None,
) -> list[str]:
    """A line for each, what is bad last, where one looks first; folded to ``width``."""
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
