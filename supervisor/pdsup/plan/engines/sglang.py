"""SGLang: which flags are set here, the command line of a rank, and its probes.

All other flags of the recipe pass through unchanged. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pdsup.address import EVERYWHERE, endpoint
from pdsup.errors import Problem
from pdsup.plan import defaults, flags
from pdsup.plan.document.syntax import join
from pdsup.plan.engines import sglang_flags
from pdsup.plan.engines.engine import Engine, EngineSettings, Given, Rank
from pdsup.plan.engines.sglang_ports import (
    DIST_INIT_OFFSET,
    KV_EVENTS,
    KV_EVENTS_FLAG,
    base_port,
    bootstrap_port,
    derived_ports,
    events_port,
    ports,
)
from pdsup.plan.model import Check, Probe, Probes, Progress, Restart, Role, Stop
from pdsup.typed import show

# --- SGLang: probes ---------------------------------------------------------------------------

WORKER_HEALTH = Check(port="http", path="/health")
BOOTSTRAP_HEALTH = Check(port="bootstrap", path="/health")
# 503 until all ranks of the prefill have registered; older versions lack the endpoint.
BOOTSTRAP_ROUTE = Check(
    port="bootstrap",
    path="/route?prefill_dp_rank=-1&prefill_cp_rank=-1&target_tp_rank=-1&target_pp_rank=-1",
    skip=(400, 404),
)
REFUSALS = {"/route": "not all ranks of this prefill have registered with its bootstrap server"}
WORKER_STARTUP_PERIOD_S = 0.25  # a refused connect costs nothing while the model loads
# Rarely, because each probe costs the engine a token; three failures, because a long prefill can
# make one fail.
WORKER_READINESS = Probe(
    checks=(WORKER_HEALTH,), period_s=10.0, timeout_s=defaults.HEALTH_TIMEOUT_S, failures=3
)
# More patient, because it kills the worker, and a needless kill costs a load. SGLang's own
# watchdog, which sees less, waits as long.
WORKER_LIVENESS = Probe(
    checks=(defaults.ENGINE_PROCESSES, WORKER_HEALTH),
    period_s=10.0,
    timeout_s=defaults.HEALTH_TIMEOUT_S,
    failures=3,
    quiet_s=300.0,
)
# Lines that a hung engine still writes: about questions of probes and routers, and about health
# checks that fail.
WORKER_NOISE = (
    r'"GET /(health|health_generate|metrics|get_server_info|server_info|get_load|v1/loads)\b',
    r'"GET /(get_model_info|model_info|route\?prefill_dp_rank=-1)\b',
    r"Invalid HTTP request received\.",  # uvicorn: somebody only connected
    r"[Hh]ealth check",
)
# With --enable-metrics. The first counter grows during a request, the others at its end.
WORKER_COUNTERS = (
    "sglang:realtime_tokens_total",
    "sglang:prompt_tokens_total",
    "sglang:generation_tokens_total",
)

# --- SGLang: restart and stop -----------------------------------------------------------------

# A decode notices the loss of a prefill after two missed heartbeats, 5 s apart. If the prefill is
# back sooner, decodes may not notice, and requests wait for the memory of the old process.
PREFILL_RESTART = Restart(first_delay_s=15.0, delay_s=15.0, limit_s=120.0)
WORKER_STOP = Stop(signal="TERM", timeout_s=15.0)  # SGLang checks every 5 s whether it is idle

# ----------------------------------------------------------------------------------------------

MODULE = "sglang.launch_server"
LOAD_TOOL = "sglang.bench_serving"
MODEL_PATH = ("model-path", "model")
SERVED_NAME = "served-model-name"
MODE = "disaggregation-mode"
BOOTSTRAP = "disaggregation-bootstrap-port"
# srtctl drops it too: recipes pin one port for all workers, but several workers may share a node.
DROPPED = {"nccl-port": "each worker gets its own port"}
PLACED = {
    "host": "it depends on where the cluster runs",
    "nnodes": "it follows from the number of GPUs",
    "node-rank": "each rank gets its own",
    "dist-init-addr": "it follows from the node of rank 0",
    "nccl-init-addr": "it follows from the node of rank 0",
}
MODES: Mapping[Role, str | None] = {"prefill": "prefill", "decode": "decode", "agg": None}


def settle(given: Given) -> tuple[EngineSettings, tuple[Problem, ...]]:
    """Turns a recipe's settings into engine settings. Problems use the recipe's spelling."""
    role, written, at = given.role, given.flags, given.flags_at
    rest, problems = flags.spelled(written, at)
    for name, reason in PLACED.items():
        value = rest.pop(name, None)
        # Recipes often set the value that it has anyway.
        if value not in (None, *EVERYWHERE) and (name, value) != ("nnodes", 1):
            problems.append(flags.unwanted(name, written, at, reason))
    mode = rest.pop(MODE, None)
    if mode not in (None, MODES[role], "null" if MODES[role] is None else None):
        want = MODES[role] or "left out"
        path = flags.path_of(MODE, written, at)
        problems.append(Problem(path, f"must be {want}, not {mode}"))
    pinned = {}
    for name in ("port", BOOTSTRAP):
        pinned[name] = flags.port(rest.pop(name, None))
        if pinned[name] == 0:
            problems.append(flags.no_port(name, written, at))
    for name in DROPPED:
        rest.pop(name, None)
    models = [rest.pop(name, None) for name in MODEL_PATH]
    model = next((str(value) for value in models if value), given.model_path)
    served = str(rest.pop(SERVED_NAME, None) or model.rstrip("/").rpartition("/")[2] or model)
    settings = EngineSettings(
        model_path=model,
        served_model_name=served,
        port=pinned["port"] or None,
        bootstrap_port=pinned[BOOTSTRAP] or None,
        flags=rest,
        kv_events=_settled_events(given, rest, problems),
        extra_args=given.extra_args,
    )
    return settings, tuple(problems)


def _settled_events(
    given: Given, settled: Mapping[str, Any], problems: list[Problem]
) -> Mapping[str, Any] | None:
    events, at = given.kv_events, given.kv_events_at
    if events in (None, False):
        return None
    if not isinstance(events, dict | bool):
        message = f"must be true, false or a table of settings, not {show(events)}"
        problems.append(Problem(at, message))
        return None
    if KV_EVENTS_FLAG in settled:
        message = f"is set beside {join(given.flags_at, KV_EVENTS_FLAG)}; keep one"
        problems.append(Problem(at, message))
        return None
    return KV_EVENTS | (events if isinstance(events, dict) else {})


def command(settings: EngineSettings, rank: Rank) -> tuple[str, ...]:
    """The command line of one rank."""
    return ("python3", "-m", MODULE, *arguments(settings, rank))


def arguments(settings: EngineSettings, rank: Rank) -> tuple[str, ...]:
    """The words of the command line after the program."""
    own = ports(settings, rank)
    return (
        *("--model-path", settings.model_path),
        *("--served-model-name", settings.served_model_name),
        *("--host", rank.host, "--port", str(own["http"])),
        *(("--disaggregation-mode", rank.role) if rank.role != "agg" else ()),
        *((f"--{BOOTSTRAP}", str(bootstrap_port(rank))) if rank.role == "prefill" else ()),
        *("--nccl-port", str(own["nccl"])),
        *(_gang(rank) if rank.ranks > 1 else ()),
        *_events(settings, rank),
        *flags.words(sorted(settings.flags.items())),
        *settings.extra_args,
    )


def _gang(rank: Rank) -> tuple[str, ...]:
    meeting = endpoint(rank.leader, base_port(rank) + DIST_INIT_OFFSET)
    return (
        *("--dist-init-addr", meeting),
        *("--nnodes", str(rank.ranks), "--node-rank", str(rank.rank)),
    )


def _events(settings: EngineSettings, rank: Rank) -> tuple[str, ...]:
    if settings.kv_events is None:
        return ()
    given = dict(settings.kv_events)
    if given.get("endpoint") is None:
        host = "*" if rank.host in EVERYWHERE else rank.host
        given["endpoint"] = f"tcp://{endpoint(host, events_port(rank))}"
    return (f"--{KV_EVENTS_FLAG}", json.dumps(given, separators=(",", ":")))


def probes(rank: Rank, command: tuple[str, ...], load_s: float) -> Probes:
    """The probes of one rank."""
    if rank.rank > 0:
        # These ranks answer 200 whatever happens; rank 0 speaks for the worker.
        return Probes(liveness=defaults.RANK_LIVENESS)
    checks: tuple[Check, ...] = (WORKER_HEALTH,)
    if rank.role == "prefill":
        # If the bootstrap server can't bind, SGLang only logs it, and the worker looks healthy.
        checks += (BOOTSTRAP_HEALTH, BOOTSTRAP_ROUTE)
    startup = Probe(
        checks=checks,
        period_s=WORKER_STARTUP_PERIOD_S,
        timeout_s=defaults.HEALTH_TIMEOUT_S,
        deadline_s=load_s,
        limit_s=load_s * defaults.LOAD_LIMIT_FACTOR,
        quiet_s=defaults.LOAD_QUIET_S,
    )
    metered = "--enable-metrics" in command
    return Probes(
        startup=startup,
        readiness=WORKER_READINESS,
        liveness=WORKER_LIVENESS,
        progress=Progress(
            port="http" if metered else None,
            counters=WORKER_COUNTERS if metered else (),
            noise=WORKER_NOISE,
        ),
    )


# Whoever may ask these stops a server, changes its model, or sees what others ask.
ADMIN_PATHS = (
    *("/abort_request", "/clear_hicache", "/configure_logging", "/continue_generation"),
    *("/destroy_weights", "/dump_expert_distribution_record", "/dumper", "/freeze_gc"),
    *("/get_weights_by_name", "/init_weights", "/load_lora_adapter", "/pause_generation"),
    *("/release_memory_occupation", "/resume_memory_occupation", "/set_internal_state"),
    *("/set_trace_level", "/slow_down", "/start_expert_distribution_record", "/start_profile"),
    *("/stop_expert_distribution_record", "/stop_profile", "/unload_lora_adapter"),
    *("/update_weight", "/weights_checker"),
)

ENGINE = Engine(
    name="sglang",
    settle=settle,
    ports=ports,
    command=command,
    probes=probes,
    derived_ports=derived_ports,
    rank_flags=frozenset({"--node-rank", "--dist-init-addr"}),
    port_flags={"http": "port", "bootstrap": BOOTSTRAP},
    dropped_flags=DROPPED,
    known_flags=sglang_flags.KNOWN,
    refusals=REFUSALS,
    restart={
        "prefill": PREFILL_RESTART,
        "decode": defaults.WORKER_RESTART,
        "agg": defaults.WORKER_RESTART,
    },
    stop=WORKER_STOP,
    admin_paths=ADMIN_PATHS,
    load_tool=("python3", "-m", LOAD_TOOL),
    needs_gpus=True,
)
