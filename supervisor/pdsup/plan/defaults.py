"""The default of every number in a plan, with its reason. Recipe and plan can override each.

The defaults of one engine or frontend are in its file in ``plan/engines`` or ``plan/frontends``.
Times are seconds. Agents read all numbers from the plan, never from here. Pure.
"""

from __future__ import annotations

from pdsup.plan.model import Check, Probe, Restart, Stop

# --- Ports ------------------------------------------------------------------------------------

FRONT_PORT = 8000
ROUTER_PORT = 30080  # behind nginx
NGINX_STATUS_PORT = 30081

# Worker k of a node owns the 32 ports from 30000 + 32 k; its engine assigns them. All are below
# 32768, where the kernel starts to use ports for outgoing connections.
WORKER_PORT = 30000
WORKER_STRIDE = 32
# As in srtctl, but with room for a node's data-parallel ranks, which publish on consecutive ports.
KV_EVENTS_PORT = 5200

# --- Recipe settings that may be left out -----------------------------------------------------

GPUS_PER_NODE = 4
ADDITIONAL_FRONTENDS = 9
HEALTH_ATTEMPTS = 180
HEALTH_INTERVAL_S = 10
# Without a health_check table: loading takes 2 to 40 minutes, and a needless kill costs that again.
LOAD_DEADLINE_S = 3600.0

# --- Limits against typing errors -------------------------------------------------------------

MOST_NODES = 10_000
MOST_GPUS_PER_NODE = 256
MOST_RESTARTS = 1_000_000
MOST_BACKOFF_S = 86400.0
# Every router's command names every worker; beyond this limit a plan would take gigabytes.
MOST_ROUTES = 250_000

# --- Programs ---------------------------------------------------------------------------------

NGINX = "nginx"  # looked up on the agent's PATH; frontend.nginx_binary overrides it

# --- Probes -----------------------------------------------------------------------------------

# SGLang's /health generates a token: it takes at least 1 s, and answers 503 itself after 20 s.
HEALTH_TIMEOUT_S = 25.0
# The names of SGLang's schedulers and detokenizer begin so. Without them it may say 200 for hours.
ENGINE_PROCESSES = Check(tree="sglang::")
# Loading from a cold file system may take twice as long as usual, but it shows progress at least
# every five minutes: a line of output, CPU time, or memory on its GPUs.
LOAD_LIMIT_FACTOR = 2.0
LOAD_QUIET_S = 300.0
# Ranks above 0 answer 200 whatever happens, so only their processes say anything.
RANK_LIVENESS = Probe(
    checks=(ENGINE_PROCESSES,), period_s=10.0, timeout_s=5.0, failures=3, quiet_s=300.0
)
NGINX_HEALTH = Check(port="status", path="/healthz")
NGINX_STARTUP = Probe(checks=(NGINX_HEALTH,), period_s=0.1, timeout_s=5.0, deadline_s=30.0)
# /healthz takes milliseconds. A worker process that is stopped keeps its share of requests while
# the others answer, so the processes are looked at too. All clients wait: shown within 3 s, and
# restarted soon after.
NGINX_PROCESSES = Check(tree="")
NGINX_READINESS = Probe(
    checks=(NGINX_PROCESSES, NGINX_HEALTH), period_s=1.0, timeout_s=1.0, failures=2
)
NGINX_LIVENESS = Probe(
    checks=(NGINX_PROCESSES, NGINX_HEALTH), period_s=1.0, timeout_s=1.0, failures=3
)

# --- Probes of programs that are recognised by their command ----------------------------------

# For units without probes of their own (plan/programs.py). Only a TCP connect is possible with
# TLS, with a NATS that has no monitoring port, and with a program set up by a configuration file.
CONNECT = Check(port="client")
# A member of a cluster answers only once most members are up, and their nodes may start late.
CONNECT_STARTUP = Probe(checks=(CONNECT,), period_s=0.25, timeout_s=5.0, deadline_s=300.0)
CONNECT_READINESS = Probe(checks=(CONNECT,), period_s=5.0, timeout_s=5.0, failures=2)
ETCD_HEALTH = Check(port="client", path="/health", field="health", equals="true")
ETCD_STARTUP = Probe(checks=(ETCD_HEALTH,), period_s=0.25, timeout_s=5.0, deadline_s=300.0)
ETCD_READINESS = Probe(checks=(ETCD_HEALTH,), period_s=5.0, timeout_s=5.0, failures=2)
# /health fails without a leader, and restarting one more member does not bring a leader back.
ETCD_ALIVE = Check(port="client", path="/version")
# Patient, because Dynamo's frontends exit when etcd has been gone for 10 s.
ETCD_LIVENESS = Probe(checks=(ETCD_ALIVE,), period_s=10.0, timeout_s=10.0, failures=6)
# 404: an older version without it, or a configuration file that moved it.
NATS_HEALTH = Check(port="monitor", path="/healthz", field="status", equals="ok", skip=(404,))
NATS_STARTUP = Probe(checks=(NATS_HEALTH,), period_s=0.25, timeout_s=5.0, deadline_s=300.0)
NATS_READINESS = Probe(checks=(NATS_HEALTH,), period_s=5.0, timeout_s=5.0, failures=2)
# /healthz fails while JetStream recovers.
NATS_ALIVE = Check(port="monitor", path="/varz", skip=(404,))
NATS_LIVENESS = Probe(checks=(NATS_ALIVE,), period_s=10.0, timeout_s=10.0, failures=6)
# Dynamo's frontend is healthy without a worker, but then it serves no request. So it must have a
# model, unless a worker waits for it.
FRONTEND_HEALTH = Check(port="http", path="/health", field="status", equals="healthy")
FRONTEND_MODELS = Check(port="http", path="/v1/models", field="data.0.id")
# Every probe is a line in its log. It has a model once a worker has loaded.
FRONTEND_STARTUP = Probe(
    checks=(FRONTEND_HEALTH, FRONTEND_MODELS),
    period_s=1.0,
    timeout_s=5.0,
    deadline_s=LOAD_DEADLINE_S,
)
FRONTEND_READINESS = Probe(
    checks=(FRONTEND_HEALTH, FRONTEND_MODELS), period_s=5.0, timeout_s=5.0, failures=2
)
# 503: it is not ready, or it is draining. In both cases it is alive.
FRONTEND_ALIVE = Check(port="http", path="/live", status=(200, 503), skip=(404,))
FRONTEND_LIVENESS = Probe(checks=(FRONTEND_ALIVE,), period_s=5.0, timeout_s=5.0, failures=4)
# A Dynamo worker says 503 for ever unless DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS names the endpoints
# that it must serve, but the body of the response lists those it serves (0.8 to 1.6).
DYNAMO_HEALTH = Check(port="system", path="/health")
DYNAMO_SERVES = Check(
    port="system",
    path="/health",
    status=(200, 503),
    field="endpoints.generate",
    equals="ready",
)
DYNAMO_LISTENS = Check(port="system")  # other components: nothing more is certain
DYNAMO_STARTUP = Probe(
    checks=(DYNAMO_SERVES,),
    period_s=1.0,
    timeout_s=5.0,
    deadline_s=LOAD_DEADLINE_S,
    limit_s=LOAD_DEADLINE_S * LOAD_LIMIT_FACTOR,
    quiet_s=LOAD_QUIET_S,
)
DYNAMO_READINESS = Probe(checks=(DYNAMO_SERVES,), period_s=5.0, timeout_s=5.0, failures=3)
DYNAMO_ALIVE = Check(port="system", path="/live", status=(200, 503), skip=(404,))
DYNAMO_LIVENESS = Probe(
    checks=(ENGINE_PROCESSES, DYNAMO_ALIVE),
    period_s=10.0,
    timeout_s=HEALTH_TIMEOUT_S,
    failures=3,
    quiet_s=300.0,
)

# --- Restart ----------------------------------------------------------------------------------

WORKER_RESTART = Restart(first_delay_s=1.0, delay_s=2.0, limit_s=60.0)
# A start takes a second and no GPU, and clients wait: restart at once, then after 1, 2, 4 ... s.
FRONT_RESTART = Restart(first_delay_s=0.0, delay_s=1.0, limit_s=30.0)

# The run ends with the benchmark, whatever its exit status.
BENCHMARK_RESTART = Restart(policy="never")

# --- Stop -------------------------------------------------------------------------------------

# Units stop in this order, then routers, then workers: the sum must stay below Slurm's default
# KillWait of 30 s.
# A benchmark that is stopped has no results to save.
BENCHMARK_STOP = Stop(signal="TERM", timeout_s=1.0)
NGINX_STOP = Stop(signal="QUIT", timeout_s=5.0)  # QUIT lets running streams finish
