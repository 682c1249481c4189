"""Every number that comes into a plan unless recipe or plan say otherwise, with its reason.

What belongs to one engine or frontend is in its file in ``plan/engines`` or ``plan/frontends``.
Times are seconds. Later parts read them from the plan, never from here. Pure.
"""

from __future__ import annotations

from pdsup.plan.model import Check, Probe, Restart, Stop

# --- Ports ------------------------------------------------------------------------------------

FRONT_PORT = 8000
ROUTER_PORT = 30080  # behind nginx
NGINX_STATUS_PORT = 30081

# Worker k of a node owns 32 ports from 30000 + 32 k on; its engine says which is for what. All lie
# below 32768: from there on the kernel hands ports to outgoing connections.
WORKER_PORT = 30000
WORKER_STRIDE = 32
# As in srtctl, but with room for the data-parallel ranks of a node: each publishes on the next.
KV_EVENTS_PORT = 5200

# --- Recipe settings that may be left out -----------------------------------------------------

GPUS_PER_NODE = 4
ADDITIONAL_FRONTENDS = 9
HEALTH_ATTEMPTS = 180
HEALTH_INTERVAL_S = 10
# Without a health_check table: loading takes 2 to 40 minutes, and a needless kill costs as much.
LOAD_DEADLINE_S = 3600.0

# --- Bounds against slips of the finger -------------------------------------------------------

MOST_NODES = 10_000
MOST_GPUS_PER_NODE = 256
MOST_RESTARTS = 1_000_000
MOST_BACKOFF_S = 86400.0
# Every router's command names every worker; beyond this the plan alone would have gigabytes.
MOST_ROUTES = 250_000

# --- Programs ---------------------------------------------------------------------------------

NGINX = "nginx"  # the first on the PATH of its node's agent; frontend.nginx_binary

# --- Probes -----------------------------------------------------------------------------------

# SGLang's /health makes a token: 1 s at best and up to 20 s before it answers 503 itself.
HEALTH_TIMEOUT_S = 25.0
# Its schedulers and its detokenizer call themselves so. Without them it may answer 200 for hours.
ENGINE_PROCESSES = Check(tree="sglang::")
# Loading from a cold file system may take twice as long as ever before, but it shows: a line of
# output, CPU time or memory on its GPUs in every five minutes.
LOAD_LIMIT_FACTOR = 2.0
LOAD_QUIET_S = 300.0
# Other ranks answer 200 whatever happens, so only their processes tell.
RANK_LIVENESS = Probe(
    checks=(ENGINE_PROCESSES,), period_s=10.0, timeout_s=5.0, failures=3, quiet_s=300.0
)
NGINX_HEALTH = Check(port="status", path="/healthz")
NGINX_STARTUP = Probe(checks=(NGINX_HEALTH,), period_s=0.1, timeout_s=5.0, deadline_s=30.0)
NGINX_READINESS = Probe(checks=(NGINX_HEALTH,), period_s=5.0, timeout_s=5.0, failures=2)
NGINX_LIVENESS = Probe(checks=(NGINX_HEALTH,), period_s=5.0, timeout_s=5.0, failures=4)

# --- Probes of programs that are known by their command ---------------------------------------

# In a unit without probes (plan/programs.py). A connect is all that can be asked with TLS, of a
# NATS without its monitoring port, and of what a configuration file says.
CONNECT = Check(port="client")
# A member of a cluster answers only when most are there, and their nodes may come one by one.
CONNECT_STARTUP = Probe(checks=(CONNECT,), period_s=0.25, timeout_s=5.0, deadline_s=300.0)
CONNECT_READINESS = Probe(checks=(CONNECT,), period_s=5.0, timeout_s=5.0, failures=2)
ETCD_HEALTH = Check(port="client", path="/health", field="health", equals="true")
ETCD_STARTUP = Probe(checks=(ETCD_HEALTH,), period_s=0.25, timeout_s=5.0, deadline_s=300.0)
ETCD_READINESS = Probe(checks=(ETCD_HEALTH,), period_s=5.0, timeout_s=5.0, failures=2)
# /health says no without a leader, which the end of one more member does not bring back.
ETCD_ALIVE = Check(port="client", path="/version")
# Patient: Dynamo's frontends end when etcd has been gone for 10 s.
ETCD_LIVENESS = Probe(checks=(ETCD_ALIVE,), period_s=10.0, timeout_s=10.0, failures=6)
# 404: a version that knows it not yet, or a configuration file that has moved it.
NATS_HEALTH = Check(port="monitor", path="/healthz", field="status", equals="ok", skip=(404,))
NATS_STARTUP = Probe(checks=(NATS_HEALTH,), period_s=0.25, timeout_s=5.0, deadline_s=300.0)
NATS_READINESS = Probe(checks=(NATS_HEALTH,), period_s=5.0, timeout_s=5.0, failures=2)
# /healthz says no while JetStream recovers.
NATS_ALIVE = Check(port="monitor", path="/varz", skip=(404,))
NATS_LIVENESS = Probe(checks=(NATS_ALIVE,), period_s=10.0, timeout_s=10.0, failures=6)
# Dynamo's frontend is healthy without a worker, and then serves nobody: it must have a model,
# unless a worker waits for it.
FRONTEND_HEALTH = Check(port="http", path="/health", field="status", equals="healthy")
FRONTEND_MODELS = Check(port="http", path="/v1/models", field="data.0.id")
# It writes a line for each question. A model is there when a worker has loaded.
FRONTEND_STARTUP = Probe(
    checks=(FRONTEND_HEALTH, FRONTEND_MODELS),
    period_s=1.0,
    timeout_s=5.0,
    deadline_s=LOAD_DEADLINE_S,
)
FRONTEND_READINESS = Probe(
    checks=(FRONTEND_HEALTH, FRONTEND_MODELS), period_s=5.0, timeout_s=5.0, failures=2
)
# 503: it is not ready, or it drains. It answers.
FRONTEND_ALIVE = Check(port="http", path="/live", status=(200, 503), skip=(404,))
FRONTEND_LIVENESS = Probe(checks=(FRONTEND_ALIVE,), period_s=5.0, timeout_s=5.0, failures=4)
# A worker of Dynamo's says 503 for ever unless DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS names what it
# must serve, but what it serves stands in its answer (0.8 to 1.6).
DYNAMO_HEALTH = Check(port="system", path="/health")
DYNAMO_SERVES = Check(
    port="system",
    path="/health",
    status=(200, 503),
    field="endpoints.generate",
    equals="ready",
)
DYNAMO_LISTENS = Check(port="system")  # all that is sure of other parts
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
# Starting costs them a second and no GPU, and clients wait: again at once, then 1, 2, 4 ... s.
FRONT_RESTART = Restart(first_delay_s=0.0, delay_s=1.0, limit_s=30.0)

# Its end is the end of the run, whatever its status.
BENCHMARK_RESTART = Restart(policy="never")

# --- Stop -------------------------------------------------------------------------------------

# In this order, then routers and workers: the sum must stay below Slurm's default KillWait of
# 30 s.
# Nobody waits for the figures of a benchmark that is stopped.
BENCHMARK_STOP = Stop(signal="TERM", timeout_s=1.0)
NGINX_STOP = Stop(signal="QUIT", timeout_s=5.0)  # QUIT: streams may end
