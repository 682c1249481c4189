"""``pdsup explain`` and its screen."""

import dataclasses
import json
import os
import signal

import pytest

from pdsup.answers.explanation import (
    CheckResult,
    Explanation,
    Gate,
    GateCondition,
    Outlook,
    ProcessUse,
)
from pdsup.cli import explain
from pdsup.cli.screens.explain import Findings, LoggedRun, story
from pdsup.journal.runs import Run

NOW = 1795435200.0  # 2026-11-23 12:00:00 UTC
FOR_EVER = ("sh", "-c", "echo it works; exec sleep 1000")


@pytest.fixture
def found(unit, node):
    """What was gathered about a decode worker that was killed a moment ago."""

    def make(shown=None, *, problem=None, gate=None, then=None, **changes):
        run = Run("decode-0", "node2", 2, NOW - 900, NOW - 840, NOW - 1.5, "killed by SIGKILL",
                  failed=True)  # fmt: skip
        failed = dataclasses.replace(
            run, number=1, began=NOW - 50_000, ready=None, ended=NOW - 48_200,
            how="not ready within 30 min",
        )  # fmt: skip
        colours = ["\x1b[31mRuntimeError:\x1b[0m\tno memory"]
        attempt = "the next attempt; it gives up after more than 10 failures in 12 h, so far 1"
        backoff = unit(
            state="BACKOFF", run=2, restarts=1, since=NOW - 1.5, reason="killed by SIGKILL"
        )
        explanation = Explanation(
            unit=shown or backoff,
            address="10.0.0.2",
            agent=node("node2", problem=problem).agent,
            told_by="node2",
            gate=gate or Gate(rule="all", conditions=()),
            next=then or Outlook(what=attempt, at=NOW + 0.75),
            log="/runs/demo-4711/logs/node2_decode_w0.out",
            run_dir="/runs/demo-4711",
        )
        given = {
            "explanation": explanation,
            "usual_load_s": None,
            "runs": [
                LoggedRun(failed, colours), LoggedRun(run, ["token 0", "token 1", "x" * 200]),
            ],
            "evidence": ["/runs/demo-4711/evidence/decode-0-1"],
        }  # fmt: skip
        return Findings(**{**given, **changes})

    return make


@pytest.fixture
def waiting(unit):
    """The status of a router that waits, and its gate."""

    def condition(what, holds, detail, age=None):
        return GateCondition(what=what, holds=holds, detail=detail, age_s=age)

    shown = unit("router-0", "WAITING", kind="router", role=None, node="node0", run=0,
                 since=NOW - 61, reason="waits for decode-0 (STARTING on node2)")  # fmt: skip
    gate = [
        condition("prefill-0 ready", True, "RUNNING on node0"),
        condition("decode-0 ready", False, "STARTING on node2: not ready yet: HTTP 503"),
        condition("TCP to prefill-0 http (10.0.0.1:30000)", True, "connected", 75.0),
        condition("TCP to decode-0 http (10.0.0.3:30000)", None, "not tried from here"),
        *(condition(f"decode-{i} ready", True, f"RUNNING on node{i}") for i in range(1, 9)),
    ]
    return shown, Gate(rule="all", conditions=tuple(gate))


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("width", [80, 160])
def test_the_story_of_a_dead_worker_looks_as_it_was_looked_at(found, golden, width):
    golden(f"explain-backoff-{width}", lines := story(found(), NOW, width))
    assert max(map(len, lines)) <= width


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("width", [80, 160])
def test_the_story_of_a_waiting_router_looks_as_it_was_looked_at(found, waiting, golden, width):
    shown, gate = waiting
    then = Outlook(what="it starts when the conditions of its gate are met", at=None)
    told = found(shown, gate=gate, runs=[], evidence=[], then=then)
    golden(f"explain-waiting-{width}", lines := story(told, NOW, width))
    assert max(map(len, lines)) <= width


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("width", [80, 160])
def test_the_story_of_a_frozen_worker_looks_as_it_was_looked_at(found, unit, golden, width):
    stopped = "its process 4711 (python3) is stopped (state T)"
    shown = unit(state="UNHEALTHY", pid=4711, run=3, since=NOW - 18, uptime_s=61.0, reason=stopped,
                 ports={"http": 30000, "nccl": 30002})  # fmt: skip
    told = found(shown, then=Outlook(what="it is killed and restarted", at=NOW + 290)).explanation
    told = dataclasses.replace(
        told,
        command=("python3", "-m", "sglang.launch_server", "--model-path", "/models/a b"),
        checks=(
            check("GET 10.0.0.2:30000/health", True, "", 20.0, "startup", "liveness"),
            check("its processes run", False, stopped, 0.5, "liveness"),
            check("nvidia-smi exits with 0", None, "no program nvidia-smi", 1.0, "readiness"),
        ),
        processes=(
            ProcessUse(pid=4711, depth=0, name="python3", state="T", cpu_s=61.25, memory=3 << 30),
            ProcessUse(
                pid=4715, depth=1, name="sglang::sched", state="S", cpu_s=0.5, memory=1 << 20
            ),
        ),
        more_processes=3,
    )
    asked = ("SIGSTOP sent by ann with pdsup signal (pid 7, node2)", NOW - 18)
    lines = story(found(explanation=told, asked=asked), NOW, width)
    golden(f"explain-frozen-{width}", lines)
    assert max(map(len, lines)) <= width


def check(what, holds, detail, age, *probes):
    return CheckResult(probes=probes, what=what, holds=holds, detail=detail, age_s=age)


def test_without_a_width_each_sentence_is_one_line(found):
    assert any(len(line) > 160 for line in story(found(), NOW))


def test_a_unit_of_whose_node_nobody_has_heard_is_told_from_its_journal(agents, pdsup, monkeypatch):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node1")
    agents.reaches("RUNNING", "b", "node1")
    agents.journal("node1")  # an agent gathers lines for a moment before it writes them
    agents.signal(signal.SIGKILL, "node1")
    agents.ended("node1")
    agents.start(plan, "node0")
    told = pdsup("explain", "b").stdout
    assert told.startswith("b (service on node1) is UNKNOWN since ")
    assert ": was RUNNING; cannot reach its agent" in told.replace("\n", " ")


def test_what_can_not_be_known_is_told(found, unit):
    lost = found(
        unit(state="UNKNOWN", reason="was RUNNING; cannot reach its agent"),
        problem="cannot reach its agent: connection refused",
    )
    line = "pdsup agent /runs/demo-4711/plan.yaml --node node2 --run-dir /runs/demo-4711"
    assert f"    {line}" in story(lost, NOW)
    assert "This is the last known state: cannot reach its agent: connection refused." in story(
        lost, NOW
    )


def test_a_unit_that_runs_and_can_not_be_used_is_told_apart(found, unit):
    nginx = unit("nginx", ready=False, pid=7, uptime_s=3.25, reason="no router is ready")
    lines = story(found(nginx), NOW)
    assert "Its process is 7, run 1, up 3.2 s." in lines
    assert "It is running but cannot serve requests, so it is not ready." in lines


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (100, "Usually ready in about 5 min: similar units take 6 min 40 s."),
        (395, "Usually ready in about 5 s: similar units take 6 min 40 s."),
        (400, "Usually ready by now: similar units take 6 min 40 s."),
        (481, "It is taking longer than usual: similar units take 6 min 40 s."),
    ],
)
def test_a_unit_that_loads_is_compared_with_those_like_it(found, unit, age, told):
    loading = unit(state="STARTING", since=NOW - age)
    assert told in story(found(loading, usual_load_s=400.0), NOW)


def test_of_a_unit_that_has_none_like_it_no_estimate_is_told(found, unit):
    lines = story(found(unit(state="STARTING", since=NOW - 9)), NOW)
    assert not any("sual" in line for line in lines)


@pytest.mark.parametrize(
    ("gpus", "busy", "told"),
    [
        ([3], 0.07, "Its GPU 3: 60.5 of 80.0 GiB in use, 7% busy."),
        ([0, 1], 1.0, "Its 2 GPUs: 60.5 of 80.0 GiB in use, 100% busy."),
        ([3], None, "Its GPU 3: 60.5 of 80.0 GiB in use."),
    ],
)
def test_what_is_in_use_of_its_gpus_is_told_where_it_is_known(found, unit, gpus, busy, told):
    use = {"memory_used": 121 * 2**29, "memory": 80 * 2**30, "utilization": busy}
    assert told in story(found(unit(gpus=gpus, gpu_use=use)), NOW)
    assert not any("GPU" in line for line in story(found(unit(gpus=gpus)), NOW))


def test_an_earlier_run_of_the_same_plan_tells_when_a_unit_is_ready(agents, earlier_run, pdsup):
    earlier_run("worker", 6000)
    agents.start(agents.plan(agents.listener("worker", delay=1000.0), agents.unit("other")))
    agents.reaches("STARTING", "worker")
    agents.reaches("RUNNING", "other")
    assert "Usually ready in about 1 h " in pdsup("explain", "worker").stdout
    assert json.loads(pdsup("explain", "worker", "--json").stdout)["usual_load_s"] == 6000
    assert json.loads(pdsup("explain", "other", "--json").stdout)["usual_load_s"] is None


@pytest.fixture
def killed(agents, wait_for):
    """A worker on the second node that was killed, and a router that needs it."""
    slow = {"first_delay_s": 1000.0, "delay_s": 1000.0}
    plan = agents.plan(
        agents.unit("router", needs=["worker"]),
        agents.unit("worker", *FOR_EVER, node="node1", restart=slow),
        agents.unit("other", *FOR_EVER),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    pid = agents.reaches("RUNNING", "worker", "node1")["pid"]
    agents.reaches("RUNNING", "router")
    log = agents.run_dir / "logs" / "node1_worker.out"
    wait_for(lambda: "it works" in log.read_text())
    os.kill(pid, signal.SIGKILL)
    agents.reaches("BACKOFF", "worker", "node1")
    agents.journal("node1")  # an agent gathers lines for a moment before it writes them
    return agents


def test_a_unit_of_any_node_of_this_machine_is_explained_in_full(killed, pdsup):
    evidence = killed.run_dir / "evidence" / "worker-1"
    evidence.mkdir(parents=True)
    (evidence.parent / "worker-of-others-1").mkdir()
    done = pdsup("explain", "worker")
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("worker (service on node1) is BACKOFF since ")
    assert first.endswith(": killed by SIGKILL.")
    assert "Gate: none." in rest
    assert "        | it works" in rest
    assert any(line.startswith("Next, at ") and "this was failure 1 of" in line for line in rest)
    assert f"Evidence: {evidence}" in rest


def test_the_explanation_as_json_is_one_value(killed, pdsup):
    found = json.loads(pdsup("explain", "worker", "--json").stdout)
    assert (found["unit"]["state"], found["told_by"]) == ("BACKOFF", "node1")
    (run,) = found["runs"]
    assert (run["how"], run["failed"], run["output"]) == ("killed by SIGKILL", True, ["it works"])
    assert found["command"][:2] == ["sh", "-c"]
    assert (found["checks"], found["processes"], found["asked"]) == ([], [], None)
    assert found["next"]["at"] > run["ended"] + 900


def test_a_gate_is_told_with_the_truth_of_each_condition(killed, pdsup):
    said = pdsup("explain", "router").stdout.splitlines()
    assert "Gate (checked before each start): 0 of 1 conditions met; all are required." in said
    assert "    no  worker ready: BACKOFF on node1: killed by SIGKILL" in said


def test_a_unit_whose_agent_was_killed_is_explained_by_another(killed, pdsup, wait_for):
    killed.signal(signal.SIGKILL, "node1")
    killed.ended("node1")
    wait_for(lambda: "is UNKNOWN" in pdsup("explain", "worker").stdout)
    said = pdsup("explain", "worker").stdout
    assert "This is the last known state: " in said
    assert "killed by SIGKILL" in said


@pytest.mark.parametrize(
    ("name", "shown", "reads"),
    [
        ("late", {}, [200]),
        ("early", {}, [200, None]),
        ("early", {"run": 0}, [200]),
        ("late", {"state": "STARTING"}, [None]),
    ],
)
def test_only_the_ends_of_journals_are_read_where_they_tell_enough(
    monkeypatch, tmp_path, unit, name, shown, reads
):
    (tmp_path / "events").mkdir()
    lines = [{"at": at, "node": "n", "unit": "late" if at else "early"} for at in range(99)]
    text = "".join(json.dumps({**line, "event": "Tick"}) + "\n" for line in lines)
    (tmp_path / "events" / "n.jsonl").write_text(text)
    read, journals = [], explain.Journals

    def opened(path, most=None):
        read.append(most)
        return journals(path, most)

    monkeypatch.setattr(explain, "MOST_BYTES", 200)
    monkeypatch.setattr(explain, "Journals", opened)
    explain._entries(tmp_path, unit(name, **shown))
    assert read == reads


@pytest.mark.parametrize("name", ["nono", "../worker", "ü", ""])
def test_a_unit_that_does_not_exist_is_not_explained(killed, pdsup, name):
    done = pdsup("explain", name)
    assert (done.returncode, done.stdout) == (4, "")
    if name in ("nono", "ü"):
        assert (
            done.stderr
            == f"pdsup: cannot explain {name}: no such unit; there are router, worker, other\n"
        )
    assert done.stderr.count("\n") == 1


def test_without_an_agent_nothing_is_explained(pdsup):
    assert pdsup("explain", "worker").returncode == 4


def test_a_state_lasts_by_the_journal_whatever_the_wall_clock_was_set_to(agents, pdsup):
    """As on a machine whose clock was set back by two hours after the unit became RUNNING."""
    agents.start(agents.plan(agents.unit("a")))
    now = agents.reaches("RUNNING", "a")["since"]
    assert agents.journal()
    journal = agents.run_dir / "events" / "node0.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    wrong = [{**line, "at": line["at"] + 7200} for line in lines]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in wrong))
    found = json.loads(pdsup("explain", "a", "--json").stdout)
    assert abs(found["unit"]["since"] - now) < 3600
    assert found["runs"][0]["began"] <= found["runs"][0]["ready"] < now + 3600
