"""``pdsup report``: what its page shows, and that it is one file that needs nothing else."""

import html.parser
import json
import os
import re
import signal

import pytest

from pdsup.cli import report
from pdsup.cli.screens import report as screen
from pdsup.cli.screens.report import Source
from pdsup.journal.entry import parse

NOON = 1795435200.0  # 2026-11-23 12:00:00 UTC
KILLED = {"type": "Exited", "run": 1, "status": {"code": None, "signal": "SIGKILL"}}
LIFE = [
    (0, "STOPPED", "STARTING", ""), (60, "STARTING", "RUNNING", ""),
    (100, "RUNNING", "BACKOFF", "killed by SIGKILL"), (101, "BACKOFF", "STARTING", ""),
    (150, "STARTING", "RUNNING", ""), (200, "RUNNING", "STOPPING", "stop requested"),
    (201, "STOPPING", "STOPPED", ""),
]  # fmt: skip


def entry(at, before, to, reason="", unit="decode-0", node="node2", run=1):
    event = KILLED if "SIGKILL" in reason else {"type": "Stop" if to == "STOPPING" else "Tick"}
    raw = {"at": NOON + at, "node": node, "unit": unit, "run": run, "event": event,
           "from": before, "to": to, "reason": reason}  # fmt: skip
    return parse(json.dumps(raw))


def benchmark(began, ended, verdict="clean", incidents=()):
    return screen.RecordedBenchmark(
        command=("./bench", "<b>"), began=NOON + began, ended=NOON + ended, status=0,
        verdict=verdict, incidents=tuple(incidents),
    )  # fmt: skip


@pytest.fixture
def shown(utc):
    """The page about a run in which one worker was killed once."""

    def of(*entries, benchmarks=(), going=False, end=201):
        given = entries or [entry(*one) for one in LIFE]
        return screen.page(Source(
            name="demo", run_dir="/runs/demo", entries=given, benchmarks=benchmarks, plan=None,
            logs={"decode-0": "logs/decode.out"}, end=NOON + end, going=going, offset=0,
        ))  # fmt: skip

    return of


def test_the_picture_of_a_unit_has_a_phase_for_each_of_its_states(shown):
    (row,) = shown()["rows"]
    phases = [span["phase"] for span in row["spans"]]
    assert phases == ["loading", "ready", "down", "loading", "ready", "stopping", "off"]
    assert row["spans"][1]["title"] == "RUNNING from 12:01:00 to 12:01:40 (40 s)"
    assert sum(span["width"] for span in row["spans"]) == pytest.approx(100, abs=1)
    (mark,) = row["marks"]
    assert mark == {"x": 49.751, "kind": "restart", "title": "12:01:40 restart: killed by SIGKILL"}


def test_the_end_of_a_run_is_no_incident_unless_it_is_one_of_a_benchmark(shown):
    assert [one["what"] for one in shown()["incidents"]] == ["killed by SIGKILL"]
    cut = shown(benchmarks=[benchmark(160, 220)])["incidents"]
    assert [(one["what"], one["benchmark"]) for one in cut] == [
        ("killed by SIGKILL", False), ("stop requested", True),
    ]  # fmt: skip


def test_a_reload_of_nginx_is_an_incident_of_a_benchmark_only_and_one_that_failed_always(shown):
    def reload(at, event):
        raw = {"at": NOON + at, "node": "node0", "unit": "nginx", "run": 1, "reason": "why",
               "event": {"type": event}}  # fmt: skip
        return parse(json.dumps(raw))

    nginx = [entry(0, "STOPPED", "STARTING", unit="nginx"),
             entry(1, "STARTING", "RUNNING", unit="nginx")]  # fmt: skip
    both = [*nginx, reload(50, "Reloaded"), reload(55, "ReloadFailed")]
    alone, measured = shown(*both), shown(*both, benchmarks=[benchmark(40, 60)])
    assert [one["kind"] for one in alone["incidents"]] == ["reload-failed"]
    told = [(one["kind"], one["lasted"], one["benchmark"]) for one in measured["incidents"]]
    assert told == [("reload", "", True), ("reload-failed", "", True)]
    (row,) = measured["rows"]
    assert [span["phase"] for span in row["spans"]] == ["loading", "ready"]
    assert len(row["marks"]) == 2


def test_runs_tell_how_long_they_took_to_get_ready_and_how_they_ended(shown):
    first, second = shown()["runs"]
    assert (first["load"], first["lasted"], first["how"], first["failed"]) == (
        "1 min", "1 min 40 s", "killed by SIGKILL", True,
    )  # fmt: skip
    assert (second["load"], second["how"], second["log"]) == (
        "49 s", "stop requested", "logs/decode.out",
    )  # fmt: skip


def test_facts_count_what_matters(shown):
    assert dict(shown()["facts"]) == {
        "lasted": "3 min 21 s", "all ready after": "1 min", "nodes": "1", "units": "1",
        "failed runs": "1", "incidents": "1",
    }  # fmt: skip


def test_units_come_in_the_order_of_the_data_path_and_of_their_numbers(shown):
    names = ["nginx", "router-10", "router-2", "decode-1", "prefill-0", "etcd"]
    entries = [entry(0, "STOPPED", "STARTING", unit=name) for name in names]
    order = [row["unit"] for row in shown(*entries)["rows"]]
    assert order == ["prefill-0", "decode-1", "router-2", "router-10", "nginx", "etcd"]


def test_labels_that_would_leave_a_narrow_page_are_marked(utc):
    entries = tuple(entry(*one) for one in LIFE)
    page = report.render(Source(
        name="demo", run_dir="/runs/demo", entries=entries, benchmarks=(), plan=None, logs={},
        end=NOON + 201, going=False, offset=0,
    ))  # fmt: skip
    labels = re.findall(r'<text class="(tick[^"]*)" x="([\d.]+)%"', page)
    assert len(labels) > 2
    assert all((name == "tick edge") == (not 10 <= float(x) <= 90) for name, x in labels)


def test_a_run_that_goes_on_says_so(shown):
    found = shown(*[entry(*one) for one in LIFE[:5]], going=True, end=400)
    assert found["runs"][-1]["how"] == "still running"
    assert dict(found["facts"])["lasted"] == "6 min 40 s so far"


class Loads(html.parser.HTMLParser):
    """What a page would fetch, and the text of its elements."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.tags = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.found += [(tag, v) for k, v in attributes if k in ("src", "href", "srcset", "data")]


@pytest.fixture
def died_once(agents, wait_for):
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")))
    os.kill(agents.reaches("RUNNING", "a")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("a")["run"] == 2 and agents.look("a")["state"] == "RUNNING")
    return agents


def test_the_page_is_one_file_without_script_that_fetches_nothing(died_once, pdsup):
    done = pdsup("report", str(died_once.run_dir))
    out = died_once.run_dir / "report.html"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"wrote {out}\n")
    text = out.read_text()
    loads = Loads()
    loads.feed(text)
    assert {tag for tag, _ in loads.found} == {"a"}
    assert all((out.parent / href).exists() for _, href in loads.found)
    assert "script" not in loads.tags
    assert re.findall(r"url\(|@import|https?:", text) == []
    assert "killed by SIGKILL" in text
    assert "still running" in text


def test_the_page_can_be_written_elsewhere_and_its_links_still_lead_to_the_logs(
    died_once, pdsup, tmp_path
):
    out = tmp_path / "elsewhere" / "page.html"
    out.parent.mkdir()
    assert pdsup("report", str(died_once.run_dir), "-o", str(out)).returncode == 0
    loads = Loads()
    loads.feed(out.read_text())
    assert [(out.parent / href).exists() for _, href in loads.found] == [True] * len(loads.found)


def test_what_comes_from_outside_can_not_become_markup(tmp_path, utc):
    source = Source(
        name="<i>", run_dir="/r", entries=[entry(0, "STOPPED", "BACKOFF", "<script>alert(1)")],
        benchmarks=[benchmark(0, 1)], plan=None, logs={}, end=NOON + 5, going=False, offset=0,
    )  # fmt: skip
    report.write(source, tmp_path / "page.html")
    loads = Loads()
    loads.feed((tmp_path / "page.html").read_text())
    assert loads.tags & {"script", "i", "b"} == {"i"}  # of the legend


@pytest.mark.parametrize(
    ("ready", "going", "told"),
    [
        (True, False, "No incidents."),
        (True, True, "No incidents so far."),
        (False, False, "No incidents, but no unit became ready."),
        (False, True, "No incidents, but no unit has become ready yet."),
    ],
)
def test_a_page_without_incidents_says_so(tmp_path, utc, ready, going, told):
    entries = [entry(0, "STOPPED", "STARTING"), entry(1, "STARTING", "RUNNING")]
    source = Source(
        name="r", run_dir="/r", entries=entries[: 1 + ready], benchmarks=[], plan=None, logs={},
        end=NOON + 5, going=going, offset=0,
    )  # fmt: skip
    report.write(source, tmp_path / "page.html")
    assert f"<p>{told}</p>" in (tmp_path / "page.html").read_text()


def test_the_report_of_a_run_that_has_ended_is_the_same_as_json(died_once, pdsup):
    died_once.signal(signal.SIGTERM)
    died_once.ended()
    found = json.loads(pdsup("report", str(died_once.run_dir), "--json").stdout)
    assert (found["going"], [row["unit"] for row in found["rows"]]) == (False, ["a", "b"])
    assert [one["unit"] for one in found["incidents"]] == ["a"]
    assert [unit["name"] for unit in found["nodes"][0]["units"]] == ["a", "b"]


def test_a_plan_that_can_not_be_read_costs_only_what_it_tells(died_once, pdsup):
    (died_once.run_dir / "plan.yaml").write_text("plan: 99")
    found = json.loads(pdsup("report", str(died_once.run_dir), "--json").stdout)
    assert (found["nodes"], len(found["rows"])) == ([], 2)


def test_a_directory_without_a_run_is_named(pdsup, tmp_path):
    done = pdsup("report", str(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"pdsup: cannot write the report: {tmp_path} is not a run directory\n"


def test_a_page_that_can_not_be_written_is_named(died_once, pdsup, tmp_path):
    done = pdsup("report", str(died_once.run_dir), "-o", str(tmp_path / "no" / "page.html"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No such file or directory" in done.stderr
