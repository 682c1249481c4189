"""Compares two plans of one run, unit by unit, and says what a reload does with each unit. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pdsup.plan.model import Plan, PlanUnit

What = Literal["restarted", "updated", "added", "removed"]
_ORDER: tuple[What, ...] = ("restarted", "updated", "added", "removed")
# The reason for restarting a unit whose run missed an earlier change.
EARLIER = "an earlier change"
# The fields of a plan that can't change during a run. All others, except units, apply at once.
FIXED = ("name", "bind", "control_port", "nodes")


@dataclass(frozen=True, slots=True)
class Change:
    """A unit that changed. ``node``: its node in the new plan, or in the old one if it is removed.

    ``added`` is started, ``removed`` is stopped, ``restarted`` is both, ``updated`` keeps running.
    ``fields``: the unit's fields that changed; the first is ``gang`` if only another rank changed.
    """

    unit: str
    kind: str
    node: str
    what: What
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes between two plans. ``plan``: the plan's own fields that changed."""

    changes: tuple[Change, ...]
    unchanged: int
    plan: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changes or self.plan)


def _fixed_by_start(unit: PlanUnit) -> dict[str, Any]:
    """The settings that a run gets at its start: changing any of them takes a restart."""
    return {
        "kind": unit.kind,
        "role": unit.role,
        "gang": unit.gang,
        "rank": unit.rank,
        "gpus": unit.gpus,
        "ports": unit.ports,
        "command": unit.command,
        "env": unit.env,
        "log": (unit.log.mode, unit.log_file),
        "nginx": unit.nginx and unit.nginx.prefix,
    }


def fingerprint(unit: PlanUnit) -> str:
    """A hash of the settings that a run gets at its start; a reload restarts a unit if it differs.

    All benchmarks have the same one, because a reload never restarts a running benchmark.
    """
    values = None if unit.kind == "benchmark" else _fixed_by_start(unit)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def refusal(old: Plan, new: Plan) -> str | None:
    """Why a run can't switch to another plan, or None: its nodes and addresses are fixed."""
    changed = next((name for name in FIXED if getattr(old, name) != getattr(new, name)), None)
    if changed is None:
        return None
    if changed == "nodes":
        return f"{_nodes(old, new)}; that needs a new run"
    before, after = getattr(old, changed), getattr(new, changed)
    return f"its {changed} is {after}, that of the run is {before}; that needs a new run"


def difference(old: Plan, new: Plan, running: Mapping[str, str] | None = None) -> Difference:
    """What happens to every unit when ``new`` replaces ``old``.

    ``running``: the fingerprints with which the current runs were started, by unit, as far as they
    are known. A run may be older than ``old``.
    """
    both = [unit.name for unit in new.units if unit.name in old.by_name]
    restarts = _restarts(old, new, both, running or {})
    kept = [_change(old.by_name[name], new.by_name[name], restarts.get(name)) for name in both]
    changes = [change for change in kept if change is not None]
    unchanged = len(both) - len(changes)
    changes += [_whole(unit, "added") for unit in new.units if unit.name not in old.by_name]
    changes += [_whole(unit, "removed") for unit in old.units if unit.name not in new.by_name]
    return Difference(
        changes=tuple(sorted(changes, key=lambda change: _ORDER.index(change.what))),
        unchanged=unchanged,
        plan=tuple(name for name in _changed(old, new) if name not in ("units", *FIXED)),
    )


def leaving(old: Plan, new: Plan, node: str) -> tuple[str, ...]:
    """The units that a node has in the old plan but not in the new one."""
    return tuple(
        unit.name
        for unit in old.units
        if unit.node == node and ((now := new.by_name.get(unit.name)) is None or now.node != node)
    )


def _restarts(
    old: Plan, new: Plan, both: list[str], running: Mapping[str, str]
) -> Mapping[str, tuple[str, ...]]:
    """For each unit to be restarted, the fields that require it; a gang restarts as a whole."""
    own = {
        name: _restart_fields(old.by_name[name], new.by_name[name], running.get(name))
        for name in both
    }
    others = old.by_name.keys() ^ new.by_name.keys()
    plans = (old.by_name, new.by_name)
    gangs = {plan[name].gang for plan in plans for name in others if name in plan}
    gangs |= {new.by_name[name].gang for name, changed in own.items() if changed}
    gangs -= {None}
    return {
        name: changed or ("gang",)
        for name, changed in own.items()
        if changed or new.by_name[name].gang in gangs
    }


def _restart_fields(old: PlanUnit, new: PlanUnit, running: str | None) -> tuple[str, ...]:
    if old.node == new.node and (running or fingerprint(old)) == fingerprint(new):
        return ()
    before, after = _fixed_by_start(old), _fixed_by_start(new)
    moved = ("node",) if old.node != new.node else ()
    changed = (*moved, *(name for name in before if before[name] != after[name]))
    return changed or (EARLIER,)


def _change(old: PlanUnit, new: PlanUnit, restart: tuple[str, ...] | None) -> Change | None:
    changed = _changed(old, new)
    if restart:
        why = tuple(dict.fromkeys((*restart, *changed)))
        return Change(new.name, new.kind, new.node, "restarted", why)
    return Change(new.name, new.kind, new.node, "updated", changed) if changed else None


def _changed(old: Plan | PlanUnit, new: Plan | PlanUnit) -> tuple[str, ...]:
    names = (field.name for field in fields(old))
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))


def _whole(unit: PlanUnit, what: What) -> Change:
    return Change(unit.name, unit.kind, unit.node, what)


def _nodes(old: Plan, new: Plan) -> str:
    before, after = set(old.address), set(new.address)
    for verb, names in (("has", after - before), ("lacks", before - after)):
        if names:
            return f"it {verb} node {_listed(names)}"
    moved = [name for name in old.address if old.address[name] != new.address[name]]
    if moved:
        return f"it has other addresses for {_listed(moved)}"
    return "its nodes are in another order or group"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
