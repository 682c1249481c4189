"""Every number that comes into a plan unless recipe or plan say otherwise, with its reason.

Times are seconds. Later parts read them from the plan, never from here. Pure.
"""

from __future__ import annotations

from typing import Any

from pdsup.plan.model import Check, Probe, Restart, Stop, Trial

# --- Ports ------------------------------------------------------------------------------------

FRONT_PORT = 8000
ROUTER_PORT = 30080  # behind nginx
NGINX_STATUS_PORT = 30081
PROMETHEUS_PORT = 29000  # the router's own default; it exits when the port is taken

# Worker k of a node owns 32 ports from 30000 + 32 k on. Offsets 0 to 8 are used here; 9 to 14 are
# where single-node data-parallel attention of worker k - 7 ends up (its port + 233 to + 238).
# All lie below 32768: from there on the kernel hands ports to outgoing connections.
WORKER_PORT = 30000
WORKER_STRIDE = 32
BOOTSTRAP_OFFSET = 1
NCCL_OFFSET = 2
DIST_INIT_OFFSET = 3
# As in srtctl, but with room for the data-parallel ranks of a node: each publishes on the next.
KV_EVENTS_PORT = 5200
# SGLang listens there without being told: from --dist-init-addr on, or from --port + 233 on.
ATTENTION_PORTS = 6
ATTENTION_OFFSET = 233

# --- Recipe settings that may be left out -----------------------------------------------------

GPUS_PER_NODE = 4
ADDITIONAL_FRONTENDS = 9
HEALTH_ATTEMPTS = 180
HEALTH_INTERVAL_S = 10
# Without a health_check table: loading takes 2 to 40 minutes, and a needless kill costs as much.
LOAD_DEADLINE_S = 3600.0

# A topic and nothing else: the port is each worker's own.
KV_EVENTS = {"publisher": "zmq", "topic": "kv-events"}

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
WORKER_HEALTH = Check(port="http", path="/health")
BOOTSTRAP_HEALTH = Check(port="bootstrap", path="/health")
# 503 until all ranks of the prefill have registered; older versions know no such question.
BOOTSTRAP_ROUTE = Check(
    port="bootstrap",
    path="/route?prefill_dp_rank=-1&prefill_cp_rank=-1&target_tp_rank=-1&target_pp_rank=-1",
    skip=(400, 404),
)
# Its schedulers and its detokenizer call themselves so. Without them it may answer 200 for hours.
ENGINE_PROCESSES = Check(tree="sglang::")
WORKER_STARTUP_PERIOD_S = 0.25  # a refused connect costs nothing while the model loads
# Loading from a cold file system may take twice as long as ever before, but it shows: a line of
# output, CPU time or memory on its GPUs in every five minutes.
LOAD_LIMIT_FACTOR = 2.0
LOAD_QUIET_S = 300.0
# Seldom, as every question costs the engine a token; three, as a long prefill fails one wrongly.
WORKER_READINESS = Probe(
    checks=(WORKER_HEALTH,), period_s=10.0, timeout_s=HEALTH_TIMEOUT_S, failures=3
)
# Ends a worker: the more patient. A needless end costs a loading; the engine's own watchdog, which
# sees less, takes as long.
WORKER_LIVENESS = Probe(
    checks=(ENGINE_PROCESSES, WORKER_HEALTH),
    period_s=10.0,
    timeout_s=HEALTH_TIMEOUT_S,
    failures=3,
    quiet_s=300.0,
)
# Other ranks answer 200 whatever happens, so only their processes tell.
RANK_LIVENESS = Probe(
    checks=(ENGINE_PROCESSES,), period_s=10.0, timeout_s=5.0, failures=3, quiet_s=300.0
)
# Lines a hung engine still writes: of questions it is asked, and of answers that do not come.
WORKER_NOISE = (
    r'"GET /(health|health_generate|metrics|get_server_info|server_info|get_load|v1/loads)\b',
    r"[Hh]ealth check",
)
# With --enable-metrics. The first moves within a request, the others at its end.
WORKER_COUNTERS = (
    "sglang:realtime_tokens_total",
    "sglang:prompt_tokens_total",
    "sglang:generation_tokens_total",
)
ROUTER_READY = Check(port="http", path="/readiness")
ROUTER_ALIVE = Check(port="http", path="/liveness")
# A router needs 0.6 s from exec to ready; its import alone may take long on a cold file system.
ROUTER_STARTUP = Probe(checks=(ROUTER_READY,), period_s=0.1, timeout_s=5.0, deadline_s=120.0)
# Of its breakers /readiness knows nothing: with all of a role open it says 200 and serves none.
ROUTER_BREAKER = "smg_worker_cb_state"  # a gauge for each worker: 0 closed, 1 open, 2 half open
# An open breaker stays open until a request comes after its time; out of nginx, none would. Long
# enough for one token behind other work.
ROUTER_TRIAL = Trial(
    port="http",
    path="/generate",
    body='{"text": "a", "sampling_params": {"max_new_tokens": 1}}',
    timeout_s=HEALTH_TIMEOUT_S,
)
# Every 503 of /readiness is an ERROR line in its log, so no faster than this.
ROUTER_READINESS = Probe(checks=(ROUTER_READY,), period_s=2.0, timeout_s=5.0, failures=2)
# It answers without a worker. A new one is there in a second, so there is no long wait.
ROUTER_LIVENESS = Probe(checks=(ROUTER_ALIVE,), period_s=5.0, timeout_s=5.0, failures=4)
NGINX_HEALTH = Check(port="status", path="/healthz")
NGINX_STARTUP = Probe(checks=(NGINX_HEALTH,), period_s=0.1, timeout_s=5.0, deadline_s=30.0)
NGINX_READINESS = Probe(checks=(NGINX_HEALTH,), period_s=5.0, timeout_s=5.0, failures=2)
NGINX_LIVENESS = Probe(checks=(NGINX_HEALTH,), period_s=5.0, timeout_s=5.0, failures=4)

# --- Probes of programs that are known by their command ---------------------------------------

# In a unit without probes (plan/presets.py). A connect is all that can be asked with TLS, of a
# NATS without its monitoring port, and of what a configuration file tells.
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

# A decode notices the loss of a prefill after two missed heartbeats 5 s apart. Back sooner, the
# new one may go unnoticed and requests wait for the old one's memory.
PREFILL_RESTART = Restart(first_delay_s=15.0, delay_s=15.0, limit_s=120.0)
WORKER_RESTART = Restart(first_delay_s=1.0, delay_s=2.0, limit_s=60.0)
# Starting costs them a second and no GPU, and clients wait: again at once, then 1, 2, 4 ... s.
FRONT_RESTART = Restart(first_delay_s=0.0, delay_s=1.0, limit_s=30.0)

# Its end is the end of the run, whatever its status.
BENCHMARK_RESTART = Restart(policy="never")

# --- Stop -------------------------------------------------------------------------------------

# In this order, so the sum must stay below Slurm's default KillWait of 30 s.
# Once it is told to stop nobody waits for its figures.
BENCHMARK_STOP = Stop(signal="TERM", timeout_s=1.0)
NGINX_STOP = Stop(signal="QUIT", timeout_s=5.0)  # QUIT: streams may end
# A router that ends alone leaves nginx first, and its requests may go on for two minutes; at the
# end of a node only for 2 s.
ROUTER_STOP = Stop(signal="TERM", timeout_s=8.0, drain_timeout_s=120.0)
WORKER_STOP = Stop(signal="TERM", timeout_s=15.0)  # SGLang looks every 5 s whether it is idle

# --- The router's flags -----------------------------------------------------------------------

# frontend.args may change or (null) remove each.
ROUTER_ARGS: dict[str, Any] = {
    # Workers are ready before a router starts, except after its restart: then one may still load.
    # A worker that comes after the timeout is never taken in, and the router says nothing.
    "worker-startup-timeout-secs": 86400,
    # The default of 60 s keeps a returned worker idle for as long; each check costs it a token.
    "health-check-interval-secs": 10,
    "health-check-timeout-secs": int(HEALTH_TIMEOUT_S),  # the default of 5 s fails a busy worker
    "health-failure-threshold": 3,
    "health-success-threshold": 1,
    # The default prefers the decode with the least to do, so every retry goes to a dead one: of
    # 2 decodes one killed, 2 of 71 requests failed; in turn, none of 1398. A decode gets its
    # cache from the prefill, so it needs no affinity. Not used without prefill and decode.
    "decode-policy": "round_robin",
    # In turn, a prefill's successes clear its count: only the dead decode's breaker opens, and
    # the sooner the less is tried in vain: 1398 requests in 6 s of outage, with 10 failures 395.
    "cb-failure-threshold": 3,
    # A dead decode opens the breakers of healthy prefills too; the default is 60 s and 3 requests.
    "cb-timeout-duration-secs": 10,
    "cb-success-threshold": 1,
    "shutdown-grace-period-secs": 6,  # less than ROUTER_STOP, so that it ends by itself
    "log-level": "warn",  # info writes 900 bytes for each request
}
