"""``pdsup scrape-config``: who is scraped, and with which token."""

import json
from pathlib import Path

import pytest
import yaml

from pdsup.cli import main
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import parse_nodes

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
METRICS = "backend.sglang_config.decode.enable-metrics=true"


@pytest.fixture
def scrape(tmp_path, monkeypatch, capsys):
    """The jobs for a run of the demo, by name."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "state"))

    def of(*overrides, words=()):
        loaded = load.load(DEMO, nodes=parse_nodes("n[0-3]"), overrides=overrides)
        (tmp_path / "events").mkdir(exist_ok=True)
        (tmp_path / "plan.yaml").write_bytes(loaded.text)
        assert main.main(["scrape-config", "--run-dir", str(tmp_path), *words]) == 0
        found = capsys.readouterr().out
        jobs = (json.loads if words else yaml.safe_load)(found)["scrape_configs"]
        return {job["job_name"]: job for job in jobs}

    return of


def targets(job):
    return [target for one in job["static_configs"] for target in one["targets"]]


def test_every_agent_is_scraped_with_the_view_token_of_the_run(scrape, tmp_path):
    agents = scrape()["pdsup"]
    assert targets(agents) == ["n0:9440", "n1:9440", "n2:9440", "n3:9440"]
    assert agents["authorization"] == {"credentials_file": str(tmp_path / "view-token")}
    assert {one["labels"]["cluster"] for one in agents["static_configs"]} == {"demo"}


def test_routers_and_workers_are_scraped_where_they_serve_metrics(scrape):
    found = scrape()
    assert targets(found["router"]) == ["n0:29000", "n1:29000", "n2:29000", "n3:29000"]
    assert "worker" not in found
    workers = scrape(METRICS)["worker"]
    assert targets(workers) == ["n2:30000", "n3:30000"]
    assert workers["static_configs"][0]["labels"] == {
        "cluster": "demo", "node": "n2", "unit": "decode-0",
    }  # fmt: skip


def test_json_and_yaml_hold_the_same(scrape):
    assert scrape(words=["--json"]) == scrape()
