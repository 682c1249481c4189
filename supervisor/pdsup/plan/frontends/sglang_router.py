"""SGLang's router: its command line, its probes, and the gauges of its circuit breakers.

All other arguments of the recipe pass through unchanged. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pdsup.address import bracketed
from pdsup.errors import Problem
from pdsup.plan import defaults, flags
from pdsup.plan.frontends import router_flags
from pdsup.plan.frontends.frontend import Frontend, Route
from pdsup.plan.model import Check, Gauges, Probe, Probes, Progress, Stop, Trial

# --- SGLang's router: port, probes and stop ---------------------------------------------------

PROMETHEUS_PORT = 29000  # the router's own default; it exits when the port is taken
ROUTER_READY = Check(port="http", path="/readiness")
ROUTER_ALIVE = Check(port="http", path="/liveness")
# A router is ready 0.6 s after exec, but on a cold file system its imports alone may take long.
ROUTER_STARTUP = Probe(checks=(ROUTER_READY,), period_s=0.1, timeout_s=5.0, deadline_s=120.0)
# /readiness ignores the breakers: with every breaker of a role open it says 200 and serves nothing.
ROUTER_BREAKER = "smg_worker_cb_state"  # a gauge for each worker: 0 closed, 1 open, 2 half open
# After its timeout an open breaker closes only when a request succeeds, and nginx sends none to a
# router that is not ready. The timeout allows for one token behind other work.
ROUTER_TRIAL = Trial(
    port="http",
    path="/generate",
    body='{"text": "a", "sampling_params": {"max_new_tokens": 1}}',
    timeout_s=defaults.HEALTH_TIMEOUT_S,
)
# Every 503 of /readiness is an ERROR line in the router's log, so not more often than this.
ROUTER_READINESS = Probe(checks=(ROUTER_READY,), period_s=2.0, timeout_s=5.0, failures=2)
# Two lines for each question of a probe at log level info, one at level warn while the answer is
# 503. The router colours its words even in a file.
ROUTER_NOISE = (r"uri(\x1b\[\d*m)*=(\x1b\[\d*m)*/(readiness|liveness|health|health_generate)\b",)
# A live router answers even without workers. A restart takes a second, so there is no long wait.
ROUTER_LIVENESS = Probe(checks=(ROUTER_ALIVE,), period_s=5.0, timeout_s=5.0, failures=4)
# A router that is stopped alone is removed from nginx first, and its requests may run for two
# minutes; when its node shuts down, only for 2 s.
ROUTER_STOP = Stop(signal="TERM", timeout_s=8.0, drain_timeout_s=120.0)

# --- The router's flags -----------------------------------------------------------------------

# frontend.args can change each of these, or remove it with null.
ROUTER_ARGS: dict[str, Any] = {
    # Workers are ready before a router starts, but when it restarts one may still be loading. A
    # worker that is ready only after this timeout is never used, and the router does not log that.
    "worker-startup-timeout-secs": 86400,
    # The default of 60 s leaves a restarted worker idle that long; each check costs it a token.
    "health-check-interval-secs": 10,
    # The default of 5 s fails a busy worker.
    "health-check-timeout-secs": int(defaults.HEALTH_TIMEOUT_S),
    "health-failure-threshold": 3,
    "health-success-threshold": 1,
    # The default prefers the least busy decode, so every retry goes to a dead one: with one of 2
    # decodes killed, 2 of 71 requests failed; with round robin, none of 1398. A decode gets its
    # KV cache from the prefill, so it needs no affinity. Not used without prefill and decode.
    "decode-policy": "round_robin",
    # With round robin a prefill's successes reset its count, so only the dead decode's breaker
    # opens, and the sooner, the fewer retries are wasted: 1398 requests in 6 s of outage with 3
    # failures, 395 with 10.
    "cb-failure-threshold": 3,
    # A dead decode opens breakers of healthy prefills too; the defaults are 60 s and 3 requests.
    "cb-timeout-duration-secs": 10,
    "cb-success-threshold": 1,
    "shutdown-grace-period-secs": 6,  # below ROUTER_STOP's timeout, so that it exits by itself
    "log-level": "warn",  # info logs 900 bytes per request
}

# ----------------------------------------------------------------------------------------------

MODULE = "sglang_router.launch_router"
PROMETHEUS = "prometheus-port"
WIRED = {
    "host": "it depends on where the cluster runs",
    "port": "nginx and clients use this port",
    "prometheus-host": "it depends on where the cluster runs",
    "pd-disaggregation": "it follows from the workers",
    "prefill": "it follows from the workers",
    "decode": "it follows from the workers",
    "worker-urls": "it follows from the workers",
}


def settle(args: Mapping[str, Any], at: str) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The router's default flags with the recipe's ``args`` merged over them."""
    given, problems = flags.spelled(args, at)
    for name, reason in WIRED.items():
        if name in given:
            problems.append(flags.unwanted(name, args, at, reason))
            del given[name]
    if PROMETHEUS in given and not flags.port(given[PROMETHEUS]):
        problems.append(flags.no_port(PROMETHEUS, args, at))
        del given[PROMETHEUS]
    return {PROMETHEUS: PROMETHEUS_PORT, **ROUTER_ARGS} | given, tuple(problems)


def ports(args: Mapping[str, Any]) -> dict[str, int]:
    """The ports that a router opens besides the one for clients, by purpose."""
    return {"prometheus": int(args[PROMETHEUS])}


def command(
    args: Mapping[str, Any], routes: tuple[Route, ...], host: str, port: int
) -> tuple[str, ...]:
    """The command line of one router."""
    return ("python3", "-m", MODULE, *arguments(args, routes, host, port))


def arguments(
    args: Mapping[str, Any], routes: tuple[Route, ...], host: str, port: int
) -> tuple[str, ...]:
    """The words of the command line after the program."""
    return (
        *_targets(routes),
        # The router appends ":PORT" to --host, but parses --prometheus-host as an address.
        *("--host", bracketed(host), "--port", str(port), "--prometheus-host", host),
        *flags.words(args.items(), repeat=True),
    )


def _targets(routes: tuple[Route, ...]) -> tuple[str, ...]:
    if routes[0].role == "agg":
        return ("--worker-urls", *(route.url for route in routes))
    line = ["--pd-disaggregation"]
    for route in routes:
        line += [f"--{route.role}", route.url, *([route.bootstrap] if route.bootstrap else [])]
    return tuple(line)


def probes(routes: tuple[Route, ...]) -> Probes:
    """The probes of a router over these workers.

    A router is ready if it says so and, for each role, has a worker whose breaker is not open.
    """
    groups: dict[str, tuple[str, ...]] = {}
    for route in routes:
        groups[route.role] = (*groups.get(route.role, ()), route.url)
    breakers = Gauges(
        name=ROUTER_BREAKER,
        label="worker",
        bad=1.0,
        means="an open breaker",
        groups=groups,
        trial=ROUTER_TRIAL,
    )
    check = Check(port="prometheus", path="/metrics", gauges=breakers)
    return Probes(
        startup=ROUTER_STARTUP,
        readiness=replace(ROUTER_READINESS, checks=(*ROUTER_READINESS.checks, check)),
        liveness=ROUTER_LIVENESS,
        progress=Progress(noise=ROUTER_NOISE),
    )


def routes(command: Sequence[str]) -> tuple[Route, ...]:
    """The workers that a command names."""
    return tuple(_routes(command))


def _routes(command: Sequence[str]) -> Iterator[Route]:
    for index, word in enumerate(command):
        following = command[index + 1 : index + 3]
        if word in ("--prefill", "--decode") and following:
            bootstrap = following[1] if len(following) > 1 else None
            yield Route("prefill" if word == "--prefill" else "decode", following[0], bootstrap)
        elif word == "--worker-urls":
            for url in command[index + 1 :]:
                if url.startswith("--"):
                    break
                yield Route("agg", url, None)


# Whoever may ask these adds a worker that reads prompts, or takes all workers away.
ADMIN_PATHS = (
    *("/add_worker", "/admin", "/flush_cache", "/get_loads", "/ha/", "/list_workers", "/register"),
    *("/remove_worker", "/v1/tokenizers", "/wasm", "/workers"),
)

FRONTEND = Frontend(
    launcher="sglang_router.launch_router",
    module=MODULE,
    known_flags=router_flags.ROUTER,
    settle=settle,
    ports=ports,
    command=command,
    probes=probes,
    routes=routes,
    port_flags={"http": "port", "prometheus": PROMETHEUS},
    admin_paths=ADMIN_PATHS,
    stop=ROUTER_STOP,
)
