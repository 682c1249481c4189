"""A recipe's own benchmark, from ``up`` to its results."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.system.cluster import ROOT, Cluster, until

SWEEP = {"type": "sa-bench", "isl": 64, "osl": 8, "concurrencies": "1x2x4x8", "num_prompts_mult": 8}


def test_a_sweep_of_the_recipe_ends_with_clean_points_in_spite_of_faults(cluster: Cluster) -> None:
    recipe = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    path = cluster.home / "recipe.yaml"
    path.write_text(yaml.safe_dump({**recipe, "benchmark": SWEEP}))
    run = cluster.start("up", str(path), "--run-dir", str(cluster.run_dir), "--json", "--")

    def begun(name: str) -> bool:
        return (cluster.run_dir / "results" / name).exists()

    until(lambda: begun("2-1"), "the second point begins", 90)
    cluster.command("signal", "KILL", "decode-0")
    until(lambda: begun("4-1"), "the third point begins", 90)
    cluster.command("restart", "router-1")
    out, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    counted = json.loads(out)["points"]
    assert [(one["point"], one["verdict"]) for one in counted] == [
        ("1", "clean"), ("2", "clean"), ("4", "clean"), ("8", "clean")
    ]  # fmt: skip
    assert all(one["metrics"]["output_tokens"] == 64 * int(one["point"]) for one in counted)
    every = _attempts(cluster.run_dir)
    spoiled = {one["point"]: one["incidents"] for one in every if one["verdict"] == "tainted"}
    assert "decode-0" in {one["unit"] for one in spoiled["2"]}
    assert {"restart", "reload"} <= {one["kind"] for one in spoiled["4"]}


def _attempts(run_dir: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((run_dir / "results/points.json").read_text())[
        "attempts"
    ]
    return found
