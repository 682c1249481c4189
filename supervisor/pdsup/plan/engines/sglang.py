"""SGLang: which flags are set here, the command line of a rank, its ports and its probes.

All other flags of the recipe pass through unchanged. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pdsup.address import EVERYWHERE, endpoint
from pdsup.errors import Problem
from pdsup.plan import defaults, flags
from pdsup.plan.document.syntax import join
from pdsup.plan.engines.engine import Engine, EngineSettings, Given, Rank
from pdsup.plan.model import Check, Probe, Probes, Progress, Restart, Role, Stop
from pdsup.typed import show

# --- SGLang: ports ----------------------------------------------------------------------------

# Offsets in a worker's 32 ports. 0 to 8 are used; 9 to 14 hold the ports of worker k - 7's
# data-parallel attention on a single node (its port + 233 to + 238).
BOOTSTRAP_OFFSET = 1
NCCL_OFFSET = 2
DIST_INIT_OFFSET = 3
# SGLang opens six ports that no flag names, from --dist-init-addr or from --port + 233.
ATTENTION_PORTS = 6
ATTENTION_OFFSET = 233
# The port is missing here because each worker has its own.
KV_EVENTS = {"publisher": "zmq", "topic": "kv-events"}

# --- SGLang: probes ---------------------------------------------------------------------------

WORKER_HEALTH = Check(port="http", path="/health")
BOOTSTRAP_HEALTH = Check(port="bootstrap", path="/health")
# 503 until all ranks of the prefill have registered; older versions lack the endpoint.
BOOTSTRAP_ROUTE = Check(
    port="bootstrap",
    path="/route?prefill_dp_rank=-1&prefill_cp_rank=-1&target_tp_rank=-1&target_pp_rank=-1",
    skip=(400, 404),
)
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
# Lines that a hung engine still writes: about probes, and about health checks that fail.
WORKER_NOISE = (
    r'"GET /(health|health_generate|metrics|get_server_info|server_info|get_load|v1/loads)\b',
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
MODEL_PATH = ("model-path", "model")
SERVED_NAME = "served-model-name"
MODE = "disaggregation-mode"
BOOTSTRAP = "disaggregation-bootstrap-port"
KV_EVENTS_FLAG = "kv-events-config"
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
_PORT = re.compile(r"(.*):([0-9]{1,5})")


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


def ports(settings: EngineSettings, rank: Rank) -> dict[str, int]:
    """The ports that the flags of one rank name, by purpose."""
    base = _base(rank)
    named = {"http": settings.port or base, "nccl": base + NCCL_OFFSET}
    if rank.rank == 0:
        published = _published(settings, rank)
        if published is not None:
            named["kv-events"] = published
        if rank.role == "prefill":
            named["bootstrap"] = _bootstrap(rank)
        if rank.ranks > 1:
            named["dist-init"] = base + DIST_INIT_OFFSET
    return named


def _base(rank: Rank) -> int:
    return defaults.WORKER_PORT + defaults.WORKER_STRIDE * rank.number


def _bootstrap(rank: Rank) -> int:
    return rank.bootstrap or _base(rank) + BOOTSTRAP_OFFSET


def _published(settings: EngineSettings, rank: Rank) -> int | None:
    """The port for KV cache events: the recipe's, else the rank's own; None: not published."""
    if settings.kv_events is None:
        return None
    given = settings.kv_events.get("endpoint")
    if given is None:
        return _events_port(rank)
    match = _PORT.fullmatch(str(given))
    return int(match[2]) if match else None


def _events_port(rank: Rank) -> int:
    return defaults.KV_EVENTS_PORT + defaults.WORKER_STRIDE * rank.number


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
        *((f"--{BOOTSTRAP}", str(_bootstrap(rank))) if rank.role == "prefill" else ()),
        *("--nccl-port", str(own["nccl"])),
        *(_gang(rank) if rank.ranks > 1 else ()),
        *_events(settings, rank),
        *flags.words(sorted(settings.flags.items())),
        *settings.extra_args,
    )


def _gang(rank: Rank) -> tuple[str, ...]:
    meeting = endpoint(rank.leader, _base(rank) + DIST_INIT_OFFSET)
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
        given["endpoint"] = f"tcp://{endpoint(host, _events_port(rank))}"
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


def derived_ports(command: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The ports that a rank opens although no flag names them, each with a name.

    With data-parallel attention rank 0 opens six ports, from ``--dist-init-addr`` or, without that
    flag, from ``--port`` + 233. The data-parallel ranks publish their KV cache events on
    consecutive ports.
    """
    if "--enable-dp-attention" not in command:
        return ()
    derived = (*_attention_ports(command), *_publishing_ports(command))
    return tuple((f"attention-{port}", port) for port in derived)


def _attention_ports(command: Sequence[str]) -> tuple[int, ...]:
    if flags.value_of(command, "--node-rank", "0") != "0":
        return ()
    meeting = flags.value_of(command, "--dist-init-addr", "")
    port = meeting.rpartition(":")[2] if meeting else flags.value_of(command, "--port", "")
    if not port.isdecimal():
        return ()
    # The port of --dist-init-addr itself is among the unit's named ports.
    first = int(port) + 1 if meeting else int(port) + ATTENTION_OFFSET
    return tuple(range(first, first + ATTENTION_PORTS - bool(meeting)))


def _publishing_ports(command: Sequence[str]) -> tuple[int, ...]:
    """The event ports of this node's data-parallel ranks, except that of rank 0, which is named."""
    events = flags.value_of(command, f"--{KV_EVENTS_FLAG}", "")
    endpoint_port = re.search(r'"endpoint":"[^"]*:([0-9]{1,5})"', events)
    size = flags.number_of(command, "--data-parallel-size", "--dp-size", "--dp")
    if endpoint_port is None or size < 2:
        return ()
    here = max(1, size // max(1, flags.number_of(command, "--nnodes")))
    first = here * flags.number_of(command, "--node-rank")
    return tuple(int(endpoint_port[1]) + rank for rank in range(first, first + here) if rank)


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
    restart={
        "prefill": PREFILL_RESTART,
        "decode": defaults.WORKER_RESTART,
        "agg": defaults.WORKER_RESTART,
    },
    stop=WORKER_STOP,
    needs_gpus=True,
)
