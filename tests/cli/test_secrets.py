"""Secrets of a plan, and of an agent's environment, are in nothing that a run shows."""

import json
import os
import sys
import tarfile

import pytest

from pdsup.cli import client

# What each is: a flag's value, a variable's, one named by the plan, the user of a URL, one of the
# agent's environment, one of a command that is run beside the cluster.
CANARIES = {
    name: f"c4nary-{name}-{'0123456789' * 3}"
    for name in ("flag", "variable", "named", "url", "shell", "benchmark")
}
SAYS = "import os, sys; print(*sys.argv[1:], os.environ['MY_API_KEY'], flush=True); sys.exit(3)"
SAID = [canary for name, canary in CANARIES.items() if name not in ("benchmark", "shell")]
READERS = (
    ["status"], ["status", "--json"], ["explain", "fails"], ["explain", "fails", "--json"],
    ["explain", "hangs"], ["explain", "hangs", "--json"], ["events"], ["events", "--json"],
    ["report", "--json"], ["list"], ["wait", "hangs", "--timeout", "0.1"], ["evidence", "hangs"],
    ["scrape-config"], ["url"], ["reload", "--dry-run"], ["restart", "fails", "--no-wait"],
)  # fmt: skip
PATHS = ("/v1/status?all=1", "/v1/report", "/v1/events", "/v1/explain/fails", "/v1/explain/hangs",
         "/v1/checks", "/metrics", "/v1/logs")  # fmt: skip


def held(text):
    return [name for name, canary in CANARIES.items() if canary in text or canary[:20] in text]


@pytest.fixture
def plan(agents, monkeypatch):
    """A unit that says its secrets and exits, and one that is never ready by a check with some."""
    monkeypatch.setitem(agents.environ, "MY_API_KEY", CANARIES["shell"])
    url = f"https://user:{CANARIES['url']}@host/path"
    words = ("--api-key", CANARIES["flag"], f"--hf-token={CANARIES['flag']}", url)
    env = {"HF_TOKEN": CANARIES["variable"], "ACME_ID": CANARIES["named"], "PLACE": url}
    check = {"checks": [{"command": ["false", *words]}], "period_s": 0.05, "timeout_s": 5.0}
    path = agents.plan(
        agents.unit("fails", sys.executable, "-S", "-c", SAYS, *words, *SAID,
                    env=env, restart={"policy": "never"}),
        agents.unit("hangs", sys.executable, "-S", "-c", "import time; time.sleep(1000)", *words,
                    env=env, probes={"startup": {**check, "deadline_s": 1000}}),
    )  # fmt: skip
    path.write_text(json.dumps({**json.loads(path.read_text()), "secrets": ["ACME_*"]}))
    return path


def test_a_secret_is_in_nothing_that_a_run_shows(agents, pdsup, plan, wait_for):
    agents.start(plan)
    agents.reaches("EXITED", "fails")
    wait_for(lambda: "not ready yet" in agents.look("hangs")["reason"], "the answer of the check")
    shown = {" ".join(words): (done := pdsup(*words)).stdout + done.stderr for words in READERS}
    shown["report"] = pdsup("report", "-o", "page.html").stderr
    shown["page"] = (agents.directory / "page.html").read_text()
    shown |= {path: str(client.ask(agents.socket(), path).value) for path in PATHS[:-2]}
    pdsup("bundle", "-o", "bundle.tar.gz")
    with tarfile.open(agents.directory / "bundle.tar.gz") as archive:
        shown |= {f"bundle {one.name}": archive.extractfile(one).read().decode() for one in archive}
    shown["the agent's log"] = agents.errors()
    # Its owner alone may read the plan; the logs are the units' own words.
    left = [p for p in agents.run_dir.rglob("*") if p.is_file() and p.parent.name != "logs"]
    private = [path for path in left if path.stat().st_mode & 0o777 == 0o600]
    assert {"plan.yaml", "token"} <= {path.name for path in private}
    shown |= {str(path): path.read_text() for path in left if path not in private}
    assert any("evidence" in name and "processes.txt" in name for name in shown)
    assert "***" in shown["explain fails"]
    assert {name: found for name, text in shown.items() if (found := held(text))} == {}


def test_of_a_benchmark_the_command_is_recorded_without_its_secrets(agents, pdsup):
    agents.start(agents.plan(agents.unit("a")))
    agents.reaches("RUNNING", "a")
    command = ("--", "true", "--api-key", CANARIES["benchmark"])
    shown = [pdsup("run", *command), pdsup("run", "--points", "1", *command), pdsup("results")]
    assert [done.returncode for done in shown[:1]] == [0]
    texts = [done.stdout + done.stderr for done in shown]
    texts += [path.read_text() for path in agents.run_dir.rglob("*") if path.is_file()]
    assert sum('"true"' in text for text in texts) >= 2
    assert [found for text in texts if (found := held(text))] == []


def test_a_plan_is_explained_and_checked_without_its_secrets(agents, pdsup, plan):
    for words in (["plan", "--explain"], ["plan", "--explain", "--json"], ["doctor"], ["check"]):
        done = pdsup(*words, str(plan))
        assert done.returncode in (0, 1), done.stderr
        assert held(done.stdout + done.stderr) == []
    wrong = json.loads(plan.read_text())
    wrong["units"][0]["env"]["HF_TOKEN"] = [CANARIES["variable"]]
    wrong["units"][0]["env"]["DB_PASSWORD"] = 1234567890123456789
    wrong["units"][1]["role"] = f"password={CANARIES['flag']}"
    plan.write_text(json.dumps(wrong))
    for words in (["check"], ["check", "--json"], ["plan"], ["agent"]):
        done = pdsup(*words, str(plan))
        assert done.returncode in (1, 2)
        assert held(done.stdout + done.stderr) == []
        assert "1234567890123456789" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "modes"),
    [({}, (0o600, 0o644, 0o644)),
     ({"plan": "group", "logs": "owner", "journal": "group"}, (0o640, 0o600, 0o640))],
)  # fmt: skip
def test_the_plan_says_who_may_read_the_files_of_a_run(agents, plan, given, modes):
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "readable_by": given}))
    umask = os.umask(0o022)
    try:
        agents.start(plan)
    finally:
        os.umask(umask)
    agents.reaches("EXITED", "fails")
    agents.journal()
    run_dir = agents.run_dir
    files = ("plan.yaml", "logs/node0_fails.out", "events/node0.jsonl")
    assert tuple((run_dir / name).stat().st_mode & 0o777 for name in files) == modes
