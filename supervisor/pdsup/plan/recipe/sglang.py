"""SGLang's and its router's command lines: what of a recipe's flags is ours, and how argv is made.

Flags of the recipe that nothing here needs to know pass through untouched. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.document.syntax import join
from pdsup.plan.model import Role
from pdsup.plan.recipe.deployment import Engine, EngineSettings
from pdsup.plan.recipe.tables import Launcher
from pdsup.plan.sglang_ports import KV_EVENTS

MODULES: Mapping[Engine, str] = {
    "sglang": "sglang.launch_server",
    "mock": "pdsup.mock.worker",
}
ROUTERS: Mapping[Launcher, tuple[str, ...]] = {
    "sglang_router.launch_router": ("python3", "-m", "sglang_router.launch_router"),
    "smg launch": ("smg", "launch"),
}

ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # what SGLang and its router are told on a cluster's nodes
MODEL_PATH = ("model-path", "model")
SERVED_NAME = "served-model-name"
MODE = "disaggregation-mode"
BOOTSTRAP = "disaggregation-bootstrap-port"
# srtctl drops it too: recipes pin one for all workers, of which several may share a node.
DROPPED = "nccl-port"
PLACED = {
    "host": "it comes from where the cluster runs",
    "nnodes": "it follows from the worker's GPUs",
    "node-rank": "each rank gets its own",
    "dist-init-addr": "it follows from the node of rank 0",
    "nccl-init-addr": "it follows from the node of rank 0",
}
WIRED = {
    "host": "it comes from where the cluster runs",
    "port": "nginx and the clients expect it where it is",
    "prometheus-host": "it comes from where the cluster runs",
    "pd-disaggregation": "it follows from the workers",
    "prefill": "it follows from the workers",
    "decode": "it follows from the workers",
    "worker-urls": "it follows from the workers",
}
PROMETHEUS_PORT = "prometheus-port"
MODES: Mapping[Role, str | None] = {"prefill": "prefill", "decode": "decode", "agg": None}
_PORT = re.compile(r"(.*):([0-9]{1,5})")
_FLAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def settle(
    role: Role, flags: Mapping[str, Any], model_path: str, at: str
) -> tuple[EngineSettings, tuple[Problem, ...]]:
    """Splits a recipe's engine flags; ``at`` is their path. Problems name the flag as written."""
    rest, problems = _spelled(flags, at)
    for name, reason in PLACED.items():
        value = rest.pop(name, None)
        # Recipes often say what is so anyway.
        if value not in (None, "0.0.0.0") and (name, value) != ("nnodes", 1):  # noqa: S104
            problems.append(_unwanted(flags, name, reason, at))
    mode = rest.pop(MODE, None)
    if mode not in (None, MODES[role], "null" if MODES[role] is None else None):
        want = MODES[role] or "left out"
        problems.append(Problem(_path(flags, MODE, at), f"must be {want}, not {mode}"))
    ports = {}
    for name in ("port", BOOTSTRAP):
        ports[name] = _port(rest.pop(name, None))
        if ports[name] == 0:
            path = _path(flags, name, at)
            problems.append(Problem(path, "must be a port: a whole number, 1 to 65535"))
    rest.pop(DROPPED, None)
    given = [rest.pop(name, None) for name in MODEL_PATH]
    path = next((str(value) for value in given if value), model_path)
    name = str(rest.pop(SERVED_NAME, None) or path.rstrip("/").rpartition("/")[2] or path)
    settings = EngineSettings(
        model_path=path,
        served_model_name=name,
        port=ports["port"] or None,
        bootstrap_port=ports[BOOTSTRAP] or None,
        flags=rest,
    )
    return settings, tuple(problems)


def settle_router(args: Mapping[str, Any], at: str) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The defaults of the router's flags with the recipe's ``args`` over them."""
    given, problems = _spelled(args, at)
    for name, reason in WIRED.items():
        if name in given:
            problems.append(_unwanted(args, name, reason, at))
            del given[name]
    if PROMETHEUS_PORT in given and not _port(given[PROMETHEUS_PORT]):
        path = _path(args, PROMETHEUS_PORT, at)
        problems.append(Problem(path, "must be a port: a whole number, 1 to 65535"))
        del given[PROMETHEUS_PORT]
    own = {PROMETHEUS_PORT: defaults.PROMETHEUS_PORT, **defaults.ROUTER_ARGS}
    return own | given, tuple(problems)


def words(flags: Iterable[tuple[str, Any]], *, repeat: bool = False) -> tuple[str, ...]:
    """Flags as command-line words, as srtctl writes them: true alone, false and null not at all.

    A list follows its flag, or (``repeat``) the flag stands before each of its values.
    """
    line: list[str] = []
    for name, value in flags:
        match value:
            case None | False | () | []:
                continue
            case True:
                line.append(f"--{name}")
            case list() | tuple() if repeat:
                line += (word for entry in value for word in (f"--{name}", _word(entry)))
            case list() | tuple():
                line += [f"--{name}", *map(_word, value)]
            case _:
                line += [f"--{name}", _word(value)]
    return tuple(line)


def worker(
    engine: Engine,
    role: Role,
    settings: EngineSettings,
    *,
    host: str,
    ports: Mapping[str, int],
    events: int,
    bootstrap: int | None,
    rank: int,
    ranks: int,
    leader: str,
) -> tuple[str, ...]:
    """One rank of a worker.

    ``leader``: HOST:PORT where its ranks meet. ``events``: the port to publish them on.
    """
    return (
        *("python3", "-m", MODULES[engine]),
        *("--model-path", settings.model_path),
        *("--served-model-name", settings.served_model_name),
        *("--host", host, "--port", str(ports["http"])),
        *(("--disaggregation-mode", role) if role != "agg" else ()),
        *(("--disaggregation-bootstrap-port", str(bootstrap)) if bootstrap else ()),
        *("--nccl-port", str(ports["nccl"])),
        *(_gang(leader, rank, ranks) if ranks > 1 else ()),
        *_kv_events(settings, host, events),
        *words(sorted(settings.flags.items())),
        *settings.extra_args,
    )


def kv_events_port(settings: EngineSettings, own: int) -> int | None:
    """Where a worker publishes its cache's events: the recipe's port, else ``own``, or nowhere."""
    if settings.kv_events is None:
        return None
    endpoint = settings.kv_events.get("endpoint")
    if endpoint is None:
        return own
    found = _PORT.fullmatch(str(endpoint))
    return int(found[2]) if found else None


def _kv_events(settings: EngineSettings, host: str, port: int) -> tuple[str, ...]:
    if settings.kv_events is None:
        return ()
    given = dict(settings.kv_events)
    if given.get("endpoint") is None:
        where = "*" if host == ANY_ADDRESS else f"[{host}]" if ":" in host else host
        given["endpoint"] = f"tcp://{where}:{port}"
    return (f"--{KV_EVENTS}", json.dumps(given, separators=(",", ":")))


def router(
    targets: Sequence[str],
    *,
    launcher: Launcher,
    host: str,
    port: int,
    args: Mapping[str, Any],
) -> tuple[str, ...]:
    """One router over ``targets`` (see ``targets``)."""
    return (
        *ROUTERS[launcher],
        *targets,
        *("--host", host, "--port", str(port), "--prometheus-host", host),
        *words(args.items(), repeat=True),
    )


def targets(workers: Iterable[tuple[Role, str, int | None]]) -> tuple[str, ...]:
    """The router's words for its workers: role, URL and bootstrap port of each leader."""
    found = tuple(workers)
    if found[0][0] == "agg":
        return ("--worker-urls", *(url for _, url, _ in found))
    line = ["--pd-disaggregation"]
    for role, url, bootstrap in found:
        line += [f"--{role}", url] + ([str(bootstrap)] if bootstrap else [])
    return tuple(line)


def _gang(leader: str, rank: int, ranks: int) -> tuple[str, ...]:
    return ("--dist-init-addr", leader, "--nnodes", str(ranks), "--node-rank", str(rank))


def _word(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def _spelled(flags: Mapping[str, Any], at: str) -> tuple[dict[str, Any], list[Problem]]:
    """Flags in kebab case, each once."""
    found: dict[str, Any] = {}
    problems = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if not _FLAG.fullmatch(name):
            problems.append(Problem(join(at, name), f"{name!r} can't be the name of a flag"))
        elif flag in found:
            problems.append(Problem(join(at, name), f"the flag --{flag} is given twice"))
        else:
            found[flag] = value
    return found, problems


def _path(flags: Mapping[str, Any], flag: str, at: str) -> str:
    written = next((name for name in flags if name.replace("_", "-") == flag), flag)
    return join(at, written)


def _unwanted(flags: Mapping[str, Any], flag: str, reason: str, at: str) -> Problem:
    return Problem(_path(flags, flag, at), f"can't be chosen: {reason}; leave it out")


def _port(value: Any) -> int | None:
    """The port a setting names; None: not given, 0: it can't be one."""
    if value is None:
        return None
    text = str(value)
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    return number if number <= 65535 else 0
