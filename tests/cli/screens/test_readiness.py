"""Ready means the same on every screen: a unit that is RUNNING and can't serve is not ready."""

import json
import re
import shutil
import subprocess

import pytest

from pdsup.cli.screens import progress, watch
from pdsup.cli.screens import report as screen
from pdsup.cli.screens.report import Source
from pdsup.cli.screens.status import table
from pdsup.cli.terminal.lines import Size
from pdsup.journal.entry import parse
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import parse_nodes
from tests.test_architecture import ROOT

DEMO = ROOT.parents[1] / "configs" / "demo.yaml"
GREEN = "\x1b[32m"


@pytest.fixture
def unready(unit, node, status):
    """A cluster whose nginx is RUNNING and whose router is not."""
    nginx = unit("nginx", kind="nginx", role=None, ready=False, reason="no router is ready")
    router = unit("router-0", "WAITING", kind="router", role=None)
    return status(node("node0", [nginx, router]))


def test_a_wait_counts_only_what_can_serve(unready):
    assert progress.summary(unready.units) == "router 0/1, nginx 0/1"
    lines = progress.missing(unready.units, progress.is_up, 0.0, 8)
    assert lines[0] == "nginx (node0) RUNNING: no router is ready"


def test_the_live_view_counts_only_what_can_serve_and_paints_nothing_else_green(unready):
    lines = watch.screen(unready, 0.0, Size(100, 20))
    told = [watch.text(line) for line in lines]
    assert "ready: router 0/1, nginx 0/1" in told
    assert any(line.startswith("routers in nginx 0/1") for line in told)
    assert not any(look == "RUNNING" for line in lines for _, look in line)


def test_the_table_paints_only_green_what_can_serve(unready, unit, node):
    assert GREEN not in "".join(table(unready.nodes, colour=True))
    assert GREEN in "".join(table([node("node0", [unit()])], colour=True))


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript runtime is here")
@pytest.mark.parametrize(
    ("state", "ready", "code", "expected"),
    [
        ("RUNNING", True, None, True), ("RUNNING", False, None, False),
        ("EXITED", False, 0, True), ("EXITED", False, 1, False), ("STARTING", False, None, False),
    ],
)  # fmt: skip
def test_the_live_page_counts_what_the_other_screens_count(unit, state, ready, code, expected):
    last = None if code is None else {"code": code, "signal": None, "at": 1.0}
    page = (ROOT / "api" / "page.html").read_text()
    (function,) = re.findall(r"^function isUp\(.*?^}$", page, re.MULTILINE | re.DOTALL)
    given = {"state": state, "ready": ready, "last_exit": last}
    script = f"{function}\nconsole.log(JSON.stringify(isUp({json.dumps(given)})))"
    done = subprocess.run(
        ["node", "-e", script], capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip
    assert json.loads(done.stdout) == expected
    assert unit(state=state, ready=ready, last_exit=last).is_up == expected


def journal(*steps):
    for at, name, before, to in steps:
        raw = {"at": at, "node": "node0", "unit": name, "run": 1, "event": {"type": "Tick"},
               "from": before, "to": to}  # fmt: skip
        yield parse(json.dumps(raw))


@pytest.fixture
def report():
    """The report of a run of the demo's plan, with these steps in its journals."""

    plan = load.load(DEMO, nodes=parse_nodes("node[0-3]")).plan

    def of(*steps):
        return screen.page(Source(
            name="demo", run_dir="/runs/demo", entries=list(journal(*steps)), benchmarks=(),
            plan=plan, logs={}, end=100.0, going=False, offset=0,
        ))  # fmt: skip

    return of


NGINX = [(0, "nginx", "STOPPED", "STARTING"), (1, "nginx", "STARTING", "RUNNING")]
ROUTER = [
    (40, "router-0", "WAITING", "STARTING"), (50, "router-0", "STARTING", "RUNNING"),
    (60, "router-0", "RUNNING", "BACKOFF"), (90, "router-0", "STARTING", "RUNNING"),
]  # fmt: skip


def phases(page, unit):
    (row,) = [row for row in page["rows"] if row["unit"] == unit]
    return [(span["phase"], span["x"]) for span in row["spans"]]


def test_the_report_shows_nginx_ready_only_while_a_router_was(report):
    found = report(*NGINX, *ROUTER)
    assert phases(found, "nginx") == [
        ("loading", 0), ("waiting", 1), ("ready", 50), ("waiting", 60), ("ready", 90),
    ]  # fmt: skip
    (nginx,) = [run for run in found["runs"] if run["unit"] == "nginx"]
    assert nginx["load"] == "50 s"
    assert dict(found["facts"])["all ready after"] == "50 s"


def test_the_report_of_a_run_without_a_router_says_that_nothing_was_ready(report):
    found = report(*NGINX, (2, "router-0", "STOPPED", "WAITING"))
    assert phases(found, "nginx") == [("loading", 0), ("waiting", 1)]
    assert found["runs"][0]["load"] == "never ready"
    assert dict(found["facts"])["all ready after"] == "never"
    assert not found["was_ready"]
