"""The stand-in for the engine in every bad way it knows, and where each leads: to the right state,
in time, and never to a needless restart.

The numbers of the probes are those of a compiled plan, about fifty times as fast.
"""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest

from pdsup.plan.engines import sglang
from pdsup.plan.model import Check, Probe, Probes, Progress, Restart

HTTP, BOOTSTRAP = 30000, 30001
MOCK = (sys.executable, "-m", "pdsup.mock.worker", "--model-path", "/m", "--port", str(HTTP))
PREFILL = (
    *("--disaggregation-mode", "prefill"),
    *("--disaggregation-bootstrap-port", str(BOOTSTRAP)),
)
AGAIN = Restart(first_delay_s=0.0, delay_s=0.0, jitter=0.0, max_failures=2)
QUIET_S, TIMEOUT_S = 0.6, 0.5
STARTUP = Probe(
    checks=(sglang.WORKER_HEALTH,), period_s=0.02, timeout_s=TIMEOUT_S,
    deadline_s=30.0, limit_s=60.0, quiet_s=QUIET_S,
)  # fmt: skip
READINESS = dataclasses.replace(
    sglang.WORKER_READINESS, period_s=0.05, timeout_s=TIMEOUT_S, failures=2
)
LIVENESS = dataclasses.replace(
    sglang.WORKER_LIVENESS, period_s=0.05, timeout_s=TIMEOUT_S, failures=3, quiet_s=QUIET_S
)
OUTPUT = Progress(noise=sglang.WORKER_NOISE)
COUNTERS = Progress(port="http", counters=sglang.WORKER_COUNTERS, noise=sglang.WORKER_NOISE)


class Engine:
    """One unit that runs the stand-in."""

    def __init__(self, unit, address):
        self.unit = unit
        self.url = f"http://{address}:{HTTP}"

    def ask(self, path, body=None, timeout=60):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def fault(self, **knobs):
        self.ask("/mock/faults", knobs)

    def generate(self):
        self.ask("/generate", {"text": "a", "sampling_params": {"max_new_tokens": 2}})

    def dead(self):
        """The news of its being found dead, and of the restart that follows."""
        news = self.unit.ever(lambda news: news.event == "FoundDead")
        assert news.state == "STOPPING"
        self.unit.until("RUNNING", lambda news: news.run == 2)
        return news.reason

    def questions(self):
        """How often its health was asked, from its own words."""
        return self.unit.log.read_text().count('"GET /health HTTP')


@pytest.fixture
def engine(make, address):
    """Starts an engine with knobs in its environment; ``words`` end its command."""

    def start(
        *words, startup=STARTUP, readiness=READINESS, liveness=LIVENESS, progress=OUTPUT, **knobs
    ):
        knobs = {"load_seconds": 0.05, "warmup_seconds": 0.0, **knobs}
        unit = make(
            *MOCK, "--host", address, *words, address=address, restart=AGAIN, stop_s=0.3,
            env={f"MOCK_{name.upper()}": str(value) for name, value in knobs.items()},
            ports={"http": HTTP, "bootstrap": BOOTSTRAP},
            probes=Probes(
                startup=startup, readiness=readiness, liveness=liveness, progress=progress
            ),
        )  # fmt: skip
        return Engine(unit.start(), address)

    return start


# -- loading -----------------------------------------------------------------------------------


def test_one_that_loads_for_long_and_says_so_is_given_the_time(engine):
    slow = dataclasses.replace(STARTUP, deadline_s=0.5)
    one = engine(startup=slow, load_seconds=3.0)
    one.unit.until("RUNNING")
    assert one.unit.states == ["STARTING", "RUNNING"]


def test_one_that_loads_for_long_in_silence_is_ended_at_its_deadline(engine):
    slow = dataclasses.replace(STARTUP, deadline_s=1.0)
    one = engine(startup=slow, load_seconds=1000, silent_load=1)
    ended = one.unit.ever(lambda news: news.state == "STOPPING")
    assert ended.reason == "not ready within 1 s, and no sign of progress for 0.6 s"


def test_one_that_loads_for_ever_is_ended_at_the_hard_limit_whatever_it_says(engine):
    slow = dataclasses.replace(STARTUP, deadline_s=0.5, limit_s=2.5, quiet_s=1.5)
    one = engine(startup=slow, load_seconds=1000)  # a line each second
    ended = one.unit.ever(lambda news: news.state == "STOPPING")
    assert ended.reason == "not ready within 2.5 s"


# -- busy --------------------------------------------------------------------------------------


def test_one_whose_health_takes_long_under_load_is_left_as_it_is(engine, until):
    startup, readiness, liveness = (
        dataclasses.replace(probe, timeout_s=10.0) for probe in (STARTUP, READINESS, LIVENESS)
    )
    one = engine(startup=startup, readiness=readiness, liveness=liveness, health_seconds=0.3)
    one.unit.until("RUNNING")
    enough = one.questions() + 5
    until(lambda: one.questions() >= enough)
    assert one.unit.states == ["STARTING", "RUNNING"]


@pytest.mark.parametrize("progress", [OUTPUT, COUNTERS], ids=["output", "counters"])
def test_one_that_answers_503_for_long_while_tokens_flow_is_not_ended(engine, until, progress):
    one = engine("--enable-metrics", progress=progress)
    pid = one.unit.until("RUNNING").pid
    one.fault(health_status=503, health_status_seconds=4 * QUIET_S)
    one.unit.until("UNHEALTHY")
    until(lambda: one.generate() or one.unit.news[-1].state == "RUNNING")
    assert one.unit.news[-1].pid == pid
    assert one.unit.states == ["STARTING", "RUNNING", "UNHEALTHY", "RUNNING"]


# -- hung --------------------------------------------------------------------------------------


def test_one_that_answers_503_and_makes_no_token_is_ended(engine):
    one = engine("--enable-metrics", progress=COUNTERS, faults_once="")
    one.unit.until("RUNNING")
    one.fault(health_status=503)
    assert "/health: HTTP 503; no progress for" in one.dead()


def test_a_frozen_one_is_found_though_its_port_takes_connections(engine):
    one = engine()
    pid = one.unit.until("RUNNING").pid
    os.kill(pid, signal.SIGSTOP)
    reason = one.dead()
    assert f"its process {pid} (" in reason
    assert "is stopped (state T); no progress for" in reason


def test_one_that_accepts_and_never_answers_is_found(engine):
    one = engine()
    one.unit.until("RUNNING")
    one.fault(hang="http")
    assert f"/health: no answer within {TIMEOUT_S:g} s; no progress for" in one.dead()


def test_a_dead_scheduler_under_a_health_of_200_is_found(engine):
    one = engine(scheduler_death="zombie")
    pid = one.unit.until("RUNNING").pid
    (scheduler,) = psutil.Process(pid).children()
    scheduler.kill()
    died = f"its process {scheduler.pid} (sglang::schedul) has died"
    assert one.unit.until("UNHEALTHY").reason == died
    assert f"{died}; examined" in one.dead()


def test_a_port_that_nobody_accepts_from_is_no_answer(make, address):
    """The kernel completes connections for whoever listens."""
    slow = dataclasses.replace(STARTUP, timeout_s=0.1, deadline_s=0.6)
    check = dataclasses.replace(slow, checks=(Check(port="http", path="/health"),))
    unit = make(
        "listens", address, str(HTTP), address=address, ports={"http": HTTP}, stop_s=0.1,
        probes=Probes(startup=check), restart=AGAIN,
    ).start()  # fmt: skip
    unit.ever(lambda news: news.detail.endswith("no answer within 0.1 s"))
    assert unit.ever(lambda news: news.state == "STOPPING").reason.startswith("not ready within")


# -- the bootstrap port ------------------------------------------------------------------------

REGISTERED = dataclasses.replace(
    STARTUP,
    checks=(sglang.WORKER_HEALTH, sglang.BOOTSTRAP_HEALTH, sglang.BOOTSTRAP_ROUTE),
    deadline_s=1.5,
)


def test_a_prefill_whose_bootstrap_port_a_stranger_has_waits_and_names_it(
    engine, address, stranger
):
    holder: subprocess.Popen[str] = stranger("listens", address, str(BOOTSTRAP))
    one = engine(*PREFILL, startup=REGISTERED)
    waiting = one.unit.until("WAITING")
    assert waiting.reason.startswith(f"port {BOOTSTRAP} is held by pid {holder.pid} (")
    holder.kill()
    one.unit.until("RUNNING")
    assert [state for state, _ in itertools.groupby(one.unit.states)] == [
        *("WAITING", "STARTING", "RUNNING"),
    ]


def test_a_prefill_that_could_not_open_its_bootstrap_port_is_not_ready(engine):
    # Being asked so often is work, which looks like progress, so it is the limit that ends it.
    startup = dataclasses.replace(REGISTERED, limit_s=3.0)
    one = engine(*PREFILL, startup=startup, busy_port="bootstrap")
    refused = f":{BOOTSTRAP}/health: connection refused"
    one.unit.ever(lambda news: news.detail.endswith(refused))
    assert one.unit.ever(lambda news: news.state == "STOPPING").reason.startswith("not ready")
    assert "RUNNING" not in one.unit.states


def test_a_prefill_whose_ranks_have_not_registered_is_not_ready(engine):
    one = engine(*PREFILL, startup=REGISTERED, unregistered_ranks=1)
    one.unit.ever(lambda news: news.detail.endswith(f":{BOOTSTRAP}/route: HTTP 503"))
    one.fault(unregistered_ranks=0)
    one.unit.until("RUNNING")
    assert one.unit.states == ["STARTING", "RUNNING"]
