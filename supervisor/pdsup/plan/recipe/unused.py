"""What of a recipe its plan does not show: settings without effect, and how many routers it wants.

``pdsup plan --explain`` lists them. The Slurm job of a recipe is in ``plan/recipe/sbatch.py``.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.document import tree
from pdsup.plan.document.syntax import Item, join
from pdsup.plan.engines.known import DROPPED_FLAGS
from pdsup.plan.recipe.schema import ignored

_LABEL = "a label; nothing depends on it"
_JOB = "only pdsup sbatch uses it"
_DYNAMO = "it is Dynamo's; SGLang's own router needs none of it"
_RECORDS = "srtctl's own records; pdsup keeps a journal in the run directory"
_MOUNTS = "give --container-mounts to pdsup sbatch"
# By dotted path. Those that are not here have no better reason than ``OTHERWISE``.
REASONS: Mapping[str, str] = {
    "backend.gpu_type": _LABEL,
    "backend.mooncake_kv_store": "no such store is started; write it as a unit of the plan",
    "benchmark": "it has no command; a command would be started when all is ready",
    "container_mounts": _MOUNTS,
    "dynamo": _DYNAMO,
    "enable_config_dump": "the plan in the run directory has every command line",
    "extra_mount": _MOUNTS,
    "frontend.dedicated_node": "routers share the workers' nodes",
    "frontend.dynamo_frontend_args": _DYNAMO,
    "frontend.nginx_container": "nginx runs where its agent does; see nginx_binary",
    "frontend.nginx_raise_ulimit": "nginx has the limits of the agent",
    "frontend.orchestrator_placement": "nothing runs outside of the job's nodes",
    "identity": _RECORDS,
    "infra": _DYNAMO,
    "model.container": "its aliases are srtctl's; give --container-image to pdsup sbatch",
    "model.precision": _LABEL,
    "placement": "workers take the nodes in their order",
    "observability": _RECORDS,
    "output": "logs lie in the run directory",
    "profiling": "profilers are the job script's business",
    "reporting": _RECORDS,
    "resources.gpu_type": _LABEL,
    "sbatch_directives": _JOB,
    "services": "write them as units of the plan",
    "setup_script": "the job script or the container must do it before the agents start",
    "slurm": _JOB,
    "srun_options": _JOB,
    "telemetry": _RECORDS,
}
OTHERWISE = "srtctl's; nothing here uses it"
# Where an engine's flags stand.
FLAGS = (
    *(f"backend.sglang_config.{role}" for role in ("prefill", "decode", "aggregated")),
    *(f"roles.{role}.args" for role in ("prefill", "decode", "agg")),
)


@dataclass(frozen=True, kw_only=True)
class Unused:
    """A setting of the recipe that is accepted and not used. Lines count from 1."""

    path: str
    line: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Notes:
    """``additional``: how many routers beside the first were asked for; None: one and no nginx,
    or nobody knows, as for a plan. ``stated``: by the recipe, not by our default.
    """

    unused: tuple[Unused, ...] = ()
    additional: int | None = None
    stated: bool = False


def notes(root: Item) -> Notes:
    """The notes on a recipe without problems: the tree of its variant, after its overrides."""
    values = tree.plain(root)
    asked = _older(values, "num_additional_frontends")
    several = _older(values, "enable_multiple_frontends") is not False
    return Notes(
        unused=tuple(sorted((_located(root, p) for p in _unused(values)), key=lambda u: u.line)),
        additional=(defaults.ADDITIONAL_FRONTENDS if asked is None else asked) if several else None,
        stated=asked is not None,
    )


def _older(values: Any, name: str) -> Any:
    """A setting that stood under backend first and under frontend later."""
    newer = _table(values, "frontend").get(name)
    return _table(values, "backend").get(name) if newer is None else newer


def _unused(values: Any) -> Iterator[str]:
    for table, keys in ignored(values).items():
        found = _table(values, table)
        yield from (join(table, key) for key in found if key in keys and found[key] is not None)
    if (benchmark := _table(values, "benchmark")) and not benchmark.get("command"):
        yield "benchmark"
    for table in FLAGS:
        for flag in _table(values, table):
            if flag.replace("_", "-") in DROPPED_FLAGS:
                yield join(table, flag)


def _table(values: Any, path: str) -> Mapping[str, Any]:
    """The table at a dotted path, or an empty one."""
    for key in path.split(".") if path else ():
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _located(root: Item, path: str) -> Unused:
    flag = path.rpartition(".")[2].replace("_", "-")
    reason = DROPPED_FLAGS.get(flag) or REASONS.get(path, OTHERWISE)
    problem = tree.locate(root, Problem(path, reason))
    return Unused(path=path, line=problem.line, reason=problem.message)
