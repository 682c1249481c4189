"""What Prometheus gets to know of a node."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pdsup.agent.counters import Counts
from pdsup.api import metrics
from pdsup.api import metrics as metrics_module
from pdsup.api.metrics import AGENT, Family, Scrape
from pdsup.cluster.report import Order
from pdsup.front.nginx_conf import Reloads
from pdsup.units.process.gpu import Gpu
from pdsup.units.process.tree import Usage
from pdsup.units.public_state import REPORTED

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scrape(report, unit_report):
    """Of a node with a gang's first rank, a router and nginx."""

    def make(**changes):
        rank = unit_report("prefill-1", gang="g", order=Order(epoch=3, go=True, reason=""))
        router = unit_report("router-0", "BACKOFF", pid=None, started=None)
        units = (rank, router, unit_report("nginx"))
        given = {
            "report": dataclasses.replace(report(at=100.0), units=units), "wall": 1.7e9,
            "counts": Counts({("nginx", "RUNNING"): 2}, {("nginx", "WAITING"): 1.5}),
            "usage": {"nginx": Usage(2.25, 1 << 20, 3), AGENT: Usage(1.0, 5, 1)},
            "log_bytes": {"nginx": 77}, "probes": {"nginx": {"readiness": 0.25}},
            "fronts": {"nginx": Reloads(4, 1, 2)}, "reachable": {"node0": True, "node2": False},
            "gpus": [Gpu(1, True, 5, 80, 0.75, 60, 412.5, True), Gpu(7, False)],
        }  # fmt: skip
        return Scrape(**{**given, **changes})

    return make


def parsed(seen):
    """All samples of a scrape, as a real parser reads them: values by name and labels."""
    text = metrics_module.text(metrics.families(seen))
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, "a series must be there once"
            found[key] = sample.value
    return found


def of(found, name, **labels):
    """The one sample of that name that has these labels."""
    wanted = set(labels.items())
    (value,) = [v for key, v in found.items() if key[0] == name and wanted <= set(key[1:])]
    return value


def test_a_unit_is_in_exactly_one_state(scrape):
    found = parsed(scrape())
    states = {k: v for k, v in found.items() if k[0] == "pdsup_unit_state"}
    assert len(states) == 3 * len(REPORTED)
    assert sum(states.values()) == 3
    assert of(found, "pdsup_unit_state", unit="router-0", state="BACKOFF") == 1


def test_what_is_known_of_a_unit_is_told_and_what_is_not_is_left_out(scrape):
    found = parsed(scrape())
    nginx = {"unit": "nginx", "role": "nginx", "node": "node0"}
    assert of(found, "pdsup_unit_ready", **nginx) == 1
    assert of(found, "pdsup_unit_restarts_total", **nginx) == 1
    assert of(found, "pdsup_unit_cpu_seconds_total", **nginx) == 2.25
    assert of(found, "pdsup_unit_memory_bytes", **nginx) == 1 << 20
    assert of(found, "pdsup_unit_processes", **nginx) == 3
    assert of(found, "pdsup_unit_log_bytes", **nginx) == 77
    assert of(found, "pdsup_unit_probe_duration_seconds", **nginx, probe="readiness") == 0.25
    assert of(found, "pdsup_unit_start_time_seconds", **nginx) == 1.7e9 - 100.0 + 12.5
    assert of(found, "pdsup_unit_state_entered_total", **nginx, state="RUNNING") == 2
    assert of(found, "pdsup_unit_state_seconds_total", **nginx, state="WAITING") == 1.5
    for name in ("start_time_seconds", "cpu_seconds_total", "log_bytes"):
        units = [dict(key[1:])["unit"] for key in found if key[0] == f"pdsup_unit_{name}"]
        assert "router-0" not in units


def test_a_node_tells_of_itself_its_gangs_its_nginx_and_whom_it_follows(scrape):
    found = parsed(scrape())
    assert of(found, "pdsup_gang_epoch", gang="g") == 3
    assert of(found, "pdsup_nginx_reloads_total", unit="nginx") == 4
    assert of(found, "pdsup_nginx_reload_failures_total", unit="nginx") == 1
    assert of(found, "pdsup_nginx_upstreams", unit="nginx") == 2
    assert of(found, "pdsup_peer_reachable", peer="node2") == 0
    assert of(found, "pdsup_agent_info", cluster="demo", version="0.1.0") == 1
    assert of(found, "pdsup_node_ending") == 0
    assert of(found, "process_cpu_seconds_total") == 1.0


def test_a_gpu_is_told_with_the_unit_that_has_it_and_a_lost_one_is_told_as_lost(scrape):
    found = parsed(scrape())
    own = {"gpu": "1", "unit": "nginx"}  # the last of those that have GPU 1 in this plan
    assert of(found, "pdsup_gpu_up", **own) == 1
    assert of(found, "pdsup_gpu_throttled", **own) == 1
    assert of(found, "pdsup_gpu_memory_used_bytes", **own) == 5
    assert of(found, "pdsup_gpu_memory_bytes", **own) == 80
    assert of(found, "pdsup_gpu_utilization_ratio", **own) == 0.75
    assert of(found, "pdsup_gpu_temperature_celsius", **own) == 60
    assert of(found, "pdsup_gpu_power_watts", **own) == 412.5
    assert [key for key in found if dict(key[1:]).get("gpu") == "7"] == [
        ("pdsup_gpu_up", ("gpu", "7"), ("node", "node1"), ("unit", ""))
    ]
    assert of(found, "pdsup_gpu_up", gpu="7") == 0


def test_the_plan_bounds_the_number_of_series(scrape):
    """Twice the life of the same units makes not one series more."""
    once = parsed(scrape())
    busy = Counts({(u, s): 9 for u in ("nginx", "prefill-1") for s in REPORTED}, {})
    assert parsed(scrape(counts=busy)).keys() == once.keys()
    assert len(once) < 3 * (3 * len(REPORTED) + 12) + 20


def test_names_follow_the_conventions(scrape):
    for family in metrics.families(scrape()):
        assert family.name.startswith(("pdsup_", "process_"))
        assert family.name.endswith("_total") is (family.kind == "counter")
        assert family.about.endswith(".")


@pytest.mark.parametrize("word", ['a"b', "a\\b", "a\nb", "推論", "\\n", "a\\"])
def test_any_word_survives_as_a_label(word):
    text = metrics_module.text(
        [Family("pdsup_x", "gauge", 'Help\\ "with"\nall.', (({"l": word}, 1),))]
    )
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"l": word}
    assert family.documentation == 'Help\\ "with"\nall.'


@pytest.mark.parametrize("value", [0, 1, True, 0.1, 1e-9, 1.7e9 + 0.25, 2**53, float("inf")])
def test_any_number_survives(value):
    text = metrics_module.text([Family("pdsup_x", "gauge", "X.", (({}, value),))])
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].value == float(value)


def test_a_family_without_a_sample_is_left_out():
    assert metrics_module.text([Family("pdsup_x", "gauge", "X.", ())]) == ""


def test_the_dashboard_asks_for_metrics_that_there_are(scrape):
    board = json.loads((ROOT / "configs" / "grafana" / "pd-supervisor.json").read_text())
    known = {family.name for family in metrics.families(scrape())}
    asked = set(re.findall(r"pdsup_\w+", json.dumps(board)))
    assert asked <= known
    assert len(asked) > 8
