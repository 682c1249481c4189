"""The cluster plan: every node, unit, port, command and gate of one run, fully resolved.

Plain frozen dataclasses. The loader checks types and unknown keys (``plan/recipe/schema.py``),
``plan/check_relations.py`` checks meaning. Times are seconds. A field that does not apply is
``None`` or empty and left out of the file. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Kind = Literal["worker", "router", "nginx", "service", "benchmark"]
Role = Literal["prefill", "decode", "agg"]
Bind = Literal["any", "address"]
OnFatal = Literal["continue", "stop-cluster"]
BounceDecodes = Literal["never", "on-prefill-restart"]
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
    """A request that proves more than a question can: ``body``, JSON, is posted to ``path``."""

    port: str
    path: str
    body: str
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """What the gauges in an answer (Prometheus' text form) must not say.

    ``label`` tells which member of ``groups`` a line of the gauge ``name`` is about. The answer is
    "no" while all members of a group that it tells of stand at ``bad``, which ``means`` something,
    unless ``trial`` gets a 2xx: a breaker closes only by a request.
    """

    name: str
    label: str
    bad: float
    means: str
    groups: dict[str, tuple[str, ...]]
    trial: Trial | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question to a unit, asked in one of four ways.

    ``port`` alone: a TCP connect. With ``path``: ``GET path``; a yes when the status is one of
    ``status`` (none: any 2xx), a piece of the body matches the regular expression ``body``, and
    its JSON has a value at ``field`` (dots lead inwards, a number counts in a list) that is not
    empty and, with ``equals``, is that text. ``skip``: statuses that say that this version of the
    program knows no such question; then the check is left out. ``gauges``: what the body must not
    say.

    ``command``: it ends with status 0 in time. ``log``: a line of the run's output matches the
    regular expression. ``tree``: no process of the unit is stopped, and none whose name begins
    so has died since the unit was ready.
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
    """Checks asked one after the other, every ``period_s``; all must pass.

    Each pause is shorter by up to the part ``jitter`` of it, by chance. ``successes`` in a row,
    over ``stable_s`` at least, turn the answer to yes, ``failures`` in a row to no. A check that
    can't be asked (no descriptors left, no such program) counts as neither.

    Startup only: the first yes must come within ``deadline_s``. A unit that shows signs of life
    then has until nothing moved for ``quiet_s``, but no longer than ``limit_s`` in all. Liveness
    only: a no counts when nothing moved for ``quiet_s``.
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
    """What moves while a unit works, so that busy can be told from hung.

    ``counters``: names of Prometheus metrics at ``GET path`` on ``port``; where they can be read,
    they decide. Else it is the unit's output, without lines that match a regular expression of
    ``noise``: those it writes about questions and about being stuck. A unit that starts also moves
    by the CPU time of its processes and by the memory they get on its GPUs, where NVML tells.
    """

    port: str | None = None
    path: str = "/metrics"
    counters: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Probes:
    """``startup`` decides when a unit is first RUNNING, ``readiness`` whether it still is.

    Readiness never restarts a unit: losing it makes it UNHEALTHY. ``liveness`` does: evidence is
    taken, then the unit ends and starts again. It is asked from the first yes of ``startup`` on. No
    startup probe: RUNNING as soon as the process lives. A unit that sets no ``probes`` and runs
    etcd, NATS or a part of Dynamo has the usual ones for that.
    """

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None
    progress: Progress = Progress()


@dataclass(frozen=True, kw_only=True)
class Need:
    """A unit that must be RUNNING, and the ports of it that must accept a TCP connect from here."""

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
    """What follows an exit nobody asked for.

    The n-th failure in a row waits ``first_delay_s`` (n = 1), else
    ``min(limit_s, delay_s * factor ** (n - 2))``, times up to ``1 + jitter``. More than
    ``max_failures`` within ``window_s``: FATAL. RUNNING for ``forgive_after_s`` clears the count.
    An exit with one of ``fatal_codes``, or by one of ``fatal_signals`` (SIGILL ...), is FATAL at
    once.
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

    ``drain`` is a command that is run before, when the end is planned and the unit was RUNNING: it
    takes the unit out of use, and may take ``drain_timeout_s``. It gets the unit's environment. A
    router with an nginx in front of it needs none: before the signal nginx drops it, and its
    requests may take ``drain_timeout_s`` to end.
    """

    signal: str = "TERM"
    timeout_s: float = 15.0
    drain: tuple[str, ...] = ()
    drain_timeout_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Log:
    """Where stdout and stderr of the unit go: ``file``, relative to ``RUN_DIR/logs``.

    Without one it is ``NODE_UNIT.out``. ``direct``: the unit writes to the file itself. ``pipe``:
    the agent moves what it writes, begins a new file at ``max_bytes`` (never without) and keeps
    ``keep`` earlier ones as ``FILE.1`` and so on; with ``timestamps`` it notes when lines arrive.
    """

    file: str | None = None
    mode: Literal["direct", "pipe"] = "direct"
    max_bytes: int | None = None
    keep: int = 5
    timestamps: bool = False


@dataclass(frozen=True, kw_only=True)
class Nginx:
    """Settings of a unit of kind nginx. ``upstreams`` names the routers it balances over.

    ``balance``: in turn, or to the router with the fewest requests. With ``session_affinity`` all
    requests with one value of ``session_affinity_header`` go to one router as long as it is ready;
    those without the header go in turn. ``stream_timeout``: how long a request or an answer may
    stand still. ``prefix``: a directory for what nginx writes; else the node-local one.
    """

    upstreams: tuple[str, ...]
    keepalive_timeout: str = "600s"
    client_max_body_size: str = "45m"
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
        """The routers that an nginx balances over; other units have none."""
        return self.nginx.upstreams if self.nginx else ()

    @property
    def stops_before(self) -> tuple[str, ...]:
        """The units that stop only after it: those that its gate needs, and its upstreams."""
        return (*(need.unit for need in self.needs.units), *self.upstreams)

    @property
    def log_file(self) -> str:
        """Where its output goes, relative to the log directory."""
        return self.log.file or f"{self.node}_{self.name}.out"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """Who is told of ``events``, by the agent of the node that they happen on; one of three ways.

    Of units: ``ready`` (RUNNING), ``unhealthy``, ``down`` (it failed, and is tried again),
    ``restart`` (another run of it begins), ``fatal``, ``exited``. Of nginx: ``reload``,
    ``reload-failed``. Of the GPUs of a unit: ``gpu-throttled``, ``gpu-lost``, ``gpu-back`` (at full
    speed, or there, again). Of a node, as the first node sees it: ``node-lost``, ``node-back``.

    ``command`` is run with the event on its stdin, in the agent's environment; ``{run_dir}`` and
    ``{state_dir}`` as in units. To ``url``, or to the one that the agent's environment has in the
    variable ``url_env``, it is posted. An event is one JSON value: the journal's line, with the
    ``cluster`` and, as ``hook``, its name in ``events``. Each may take ``timeout_s``.
    """

    events: tuple[HookEvent, ...]
    command: tuple[str, ...] = ()
    url: str | None = None
    url_env: str | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole cluster.

    ``bind``: the units listen on all addresses of their node (and are asked over loopback, ``::1``
    where the node's address is one of IPv6), or only on the node's own. ``on_fatal``: whether the
    run goes on without a unit that is FATAL. ``bounce_decodes``: whether all decodes begin anew
    when a prefill is back after a restart. ``hooks``: who is told of what happens.
    """

    plan: Literal[1]
    name: str
    bind: Bind = "any"
    control_port: int = 9440
    on_fatal: OnFatal = "continue"
    bounce_decodes: BounceDecodes = "never"
    hooks: tuple[Hook, ...] = ()
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
