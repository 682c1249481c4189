"""The cluster plan: every node, unit, port, command and gate of one run, fully resolved.

These are plain frozen dataclasses. ``plan/recipe/schema.py`` checks types and unknown keys,
``plan/check_values.py`` each value, ``plan/compile/check_relations.py`` how units fit together.
Times are seconds. A field that does not apply is ``None`` or empty, and left out of the file. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pdsup.plan.kinds import Kind as Kind
from pdsup.plan.kinds import Role as Role

Bind = Literal["any", "address"]
OnFatal = Literal["continue", "stop-cluster"]
BounceDecodes = Literal["never", "on-prefill-restart"]
Readers = Literal["owner", "group", "all"]
HookEvent = Literal[
    "ready",
    "unhealthy",
    "down",
    "restart",
    "fatal",
    "exited",
    "reload",
    "reload-failed",
    "gpu-throttled",
    "gpu-lost",
    "gpu-back",
    "node-lost",
    "node-back",
]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One Slurm node. ``address`` is what other nodes connect to: a host name or an IP address.

    ``group``: the component it belongs to, in a heterogeneous job.
    """

    name: str
    address: str
    group: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A real request, which proves more than a probe can: ``body`` (JSON) is posted to ``path``."""

    port: str
    path: str
    body: str
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """Gauges in the response (in Prometheus' text format) that make a check fail.

    ``label`` is the label of the gauge ``name`` that holds a member of ``groups``. The check fails
    while every reported member of a group is at the value ``bad``, described by ``means``, unless
    ``trial`` gets a 2xx: a breaker closes only after a request succeeds.
    """

    name: str
    label: str
    bad: float
    means: str
    groups: dict[str, tuple[str, ...]]
    trial: Trial | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a unit, in one of four forms.

    ``port`` alone: a TCP connect. With ``path``: ``GET path``, which passes when the status is one
    of ``status`` (default: any 2xx), the body matches the regular expression ``body`` somewhere,
    and the JSON value at ``field`` (dots separate keys, a number indexes a list) is not empty and,
    with ``equals``, is that text. ``skip``: statuses by which a version of the program shows that
    it lacks this endpoint; the check is then skipped. ``gauges``: values in the body that make it
    fail.

    ``command`` passes when it exits with 0 in time. ``log`` passes when a line of the run's output
    matches the regular expression. ``tree`` passes while no process of the unit is stopped and no
    process whose name begins with that text has died since the unit became ready.
    """

    port: str | None = None
    path: str | None = None
    status: tuple[int, ...] = ()
    skip: tuple[int, ...] = ()
    body: str | None = None
    field: str | None = None
    equals: str | None = None
    gauges: Gauges | None = None
    command: tuple[str, ...] = ()
    log: str | None = None
    tree: str | None = None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Checks made in order every ``period_s``; all must pass.

    Each pause is shortened at random by up to the fraction ``jitter``. The probe passes after
    ``successes`` in a row that span at least ``stable_s``, and fails after ``failures`` in a row. A
    check that can't be made (no descriptors left, no such program) counts as neither.

    Startup only: the probe must first pass within ``deadline_s``. A unit that still makes progress
    then gets more time, until it has made none for ``quiet_s``, but at most ``limit_s`` in all.
    Liveness only: a failure counts only when there was no progress for ``quiet_s``.
    """

    checks: tuple[Check, ...]
    period_s: float
    timeout_s: float
    failures: int = 1
    successes: int = 1
    stable_s: float = 0.0
    jitter: float = 0.1
    deadline_s: float | None = None
    limit_s: float | None = None
    quiet_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Signs of progress, which tell a busy unit from a hung one.

    ``counters``: names of Prometheus metrics at ``GET path`` on ``port``; where they can be read,
    they alone decide. Otherwise the unit's output decides, without lines that match a regular
    expression in ``noise``: those it writes about probes and about being stuck. They are not shown
    as its last words either. While a unit
    starts, CPU time of its processes and, where NVML is available, memory they allocate on its
    GPUs count as progress too.
    """

    port: str | None = None
    path: str = "/metrics"
    counters: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Probes:
    """``startup`` decides when a unit is first RUNNING, ``readiness`` whether it still is.

    A failed readiness probe makes a unit UNHEALTHY but never restarts it. A failed ``liveness``
    probe does: evidence is collected, then the unit is restarted. Liveness is probed once
    ``startup`` has passed. Without a startup probe a unit is RUNNING as soon as its process lives.
    A unit without ``probes`` that runs etcd, NATS or a part of Dynamo gets the usual ones for it.
    """

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None
    progress: Progress = Progress()


@dataclass(frozen=True, kw_only=True)
class Need:
    """A unit that must be RUNNING, and those of its ports that must accept a TCP connect."""

    unit: str
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The gate of a unit: all of ``units`` before its first start; ``later`` before a restart.

    ``one-per-role``: at least one of each worker role that ``units`` names, so that one dead
    worker does not keep a router down, or as many as ``later_at_least`` says. ``first_at_least``:
    as many of each role are enough for the first start, too.
    """

    units: tuple[Need, ...] = ()
    later: Literal["all", "one-per-role"] = "all"
    first_at_least: dict[str, int] = field(default_factory=dict)
    later_at_least: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Restart:
    """What happens after an exit that nobody asked for.

    The n-th failure in a row waits ``first_delay_s`` (n = 1), else
    ``min(limit_s, delay_s * factor ** (n - 2))``, times up to ``1 + jitter``. The failure
    number ``max_failures`` within ``window_s`` is FATAL, so 3 allow two restarts. RUNNING for
    ``forgive_after_s`` clears the count. An exit with one of ``fatal_codes``, or by one of
    ``fatal_signals`` (SIGILL ...), is FATAL at once.
    """

    policy: Literal["always", "on-failure", "never"] = "always"
    first_delay_s: float = 1.0
    delay_s: float = 2.0
    factor: float = 2.0
    limit_s: float = 60.0
    jitter: float = 0.1
    max_failures: int = 10
    window_s: float = 43200.0
    forgive_after_s: float = 300.0
    fatal_codes: tuple[int, ...] = ()
    fatal_signals: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stop:
    """``signal`` (TERM, QUIT ...) to the main process; KILL to the tree ``timeout_s`` later.

    ``drain`` is a command that runs first when a RUNNING unit is stopped on purpose: it takes the
    unit out of service within ``drain_timeout_s``, and gets the unit's environment. A router behind
    nginx needs none: nginx drops it before the signal, and its requests have ``drain_timeout_s`` to
    finish.
    """

    signal: str = "TERM"
    timeout_s: float = 15.0
    drain: tuple[str, ...] = ()
    drain_timeout_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Log:
    """Where stdout and stderr of the unit go: ``file``, relative to ``RUN_DIR/logs``.

    The default is ``NODE_UNIT.out``. ``direct``: the unit writes to the file itself. ``pipe``: the
    agent copies the output, rotates the file at ``max_bytes`` (default: never), keeps ``keep``
    earlier ones as ``FILE.1`` and so on, and with ``timestamps`` records when each line arrived.
    """

    file: str | None = None
    mode: Literal["direct", "pipe"] = "direct"
    max_bytes: int | None = None
    keep: int = 5
    timestamps: bool = False


@dataclass(frozen=True, kw_only=True)
class Nginx:
    """Settings of a unit of kind nginx. ``upstreams`` names the routers it balances over.

    ``balance``: round-robin, or the router with the fewest requests. With ``session_affinity`` all
    requests with the same value of ``session_affinity_header`` go to the same router as long as it
    is ready; requests without the header go round-robin. ``client_header_size``: the longest header
    of a request; ``proxy_buffer_size``: all headers of a response. ``stream_timeout``: how long a
    request or response may stall. ``refused_paths``: clients get 403 for paths that begin so; None:
    for the administration of routers and engines. ``prefix``: a directory for what nginx writes;
    default: the node-local one.
    """

    upstreams: tuple[str, ...]
    keepalive_timeout: str = "600s"
    client_max_body_size: str = "45m"
    client_header_size: str = "32k"
    proxy_buffer_size: str = "32k"
    refused_paths: tuple[str, ...] | None = None
    stream_timeout: str = "24h"
    balance: Literal["round-robin", "least-conn"] = "round-robin"
    session_affinity: bool = False
    session_affinity_header: str = "X-Dynamo-Session-ID"
    prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlanUnit:
    """One supervised command on one node.

    In ``command`` and ``env`` values the words ``{run_dir}`` and ``{state_dir}`` stand for the run
    directory and the unit's node-local directory. A command that begins with a bare
    ``python3 -m MODULE`` runs with the agent's own interpreter when that one has MODULE.
    ``ports`` maps a purpose (``http``, ``bootstrap``, ``prometheus`` ...) to a number.
    ``gang`` names the multi-node worker this unit is a rank of; ``rank`` is set for every worker.
    """

    name: str
    kind: Kind
    role: Role | None = None
    node: str
    rank: int | None = None
    gang: str | None = None
    gpus: tuple[int, ...] = ()
    ports: dict[str, int] = field(default_factory=dict)
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    needs: Needs = Needs()
    probes: Probes = Probes()
    restart: Restart = Restart()
    stop: Stop = Stop()
    log: Log = Log()
    nginx: Nginx | None = None

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The routers that nginx balances over; empty for other units."""
        return self.nginx.upstreams if self.nginx else ()

    @property
    def stops_before(self) -> tuple[str, ...]:
        """The units that stop after this one: those its gate needs, and its upstreams."""
        return (*(need.unit for need in self.needs.units), *self.upstreams)

    @property
    def log_file(self) -> str:
        """The path of its output, relative to the log directory."""
        return self.log.file or f"{self.node}_{self.name}.out"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """Sends ``events`` somewhere, in one of three ways; the agent of the node they happen on does.

    Units: ``ready`` (RUNNING), ``unhealthy``, ``down`` (it failed and will be restarted),
    ``restart`` (its next run begins), ``fatal``, ``exited``. Nginx: ``reload``,
    ``reload-failed``. The GPUs of a unit: ``gpu-throttled``, ``gpu-lost``, ``gpu-back`` (at full
    speed, or present, again). A node, as the first node sees it: ``node-lost``, ``node-back``.

    ``command`` runs with the event on its stdin, in the agent's environment; ``{run_dir}`` and
    ``{state_dir}`` mean the same as in units. ``url``, or the URL in the variable ``url_env`` of
    the agent's environment, gets it as a POST. An event is one JSON object: the journal's line,
    with the ``cluster`` and, as ``hook``, its name in ``events``. Each may take ``timeout_s``.
    """

    events: tuple[HookEvent, ...]
    command: tuple[str, ...] = ()
    url: str | None = None
    url_env: str | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class ReadableBy:
    """Who may read the files of a run: its ``plan``, its ``logs`` with its evidence, its
    ``journal``. The umask may take some of it away. Default for the plan: all, but only its owner
    if it holds secrets, such as a variable ``HF_TOKEN`` or a hook's URL.
    """

    plan: Readers | None = None
    logs: Readers = "all"
    journal: Readers = "all"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The benchmark that ``pdsup run`` runs without a command: ``command`` once for each of
    ``points``.

    In ``command`` the words ``{}`` and ``{*N}`` stand for the point and for N times the point,
    ``{results}`` for the directory of its files and ``{url}`` for the URL of clients.
    """

    points: tuple[str, ...]
    command: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole cluster.

    ``bind``: the units listen on all addresses of their node (and are probed over loopback,
    ``::1`` where the node's address is one of IPv6), or only on the node's own. ``on_fatal``:
    whether the run continues without a unit that is FATAL. ``bounce_decodes``: whether all decodes
    are restarted once a prefill is back after a restart. ``hooks``: where events are sent.
    ``secrets``: patterns of further names, such as ``ACME_*``: values of variables and flags with
    such names are shown as ``***``, as those of ``HF_TOKEN`` and ``--api-key`` always are.
    ``sweep``: what ``pdsup run`` measures.
    """

    plan: Literal[1]
    name: str
    bind: Bind = "any"
    control_port: int = 9440
    on_fatal: OnFatal = "continue"
    bounce_decodes: BounceDecodes = "never"
    hooks: tuple[Hook, ...] = ()
    secrets: tuple[str, ...] = ()
    readable_by: ReadableBy = ReadableBy()
    sweep: Sweep | None = None
    nodes: tuple[Node, ...]
    units: tuple[PlanUnit, ...]

    @cached_property
    def by_name(self) -> dict[str, PlanUnit]:
        """Units by their name."""
        return {unit.name: unit for unit in self.units}

    @cached_property
    def address(self) -> dict[str, str]:
        """Node addresses by node name."""
        return {node.name: node.address for node in self.nodes}
