"""A recipe's own benchmark, from ``up`` to its results."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
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


# A tokenizer of single bytes, without a network.
TOKENIZER = """
import sys, tokenizers, transformers
from tokenizers import decoders, models, pre_tokenizers
bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
made = tokenizers.Tokenizer(models.BPE(vocab={one: i for i, one in enumerate(bytes_)}, merges=[]))
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
transformers.PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(sys.argv[1])
open(sys.argv[1] + "/config.json", "w").write('{"model_type": "llama"}')
"""
AIPERF = os.environ.get("PDSUP_TEST_AIPERF", "")
FLAGS = (
    "--model demo --endpoint-type chat --streaming --url {url} --concurrency {} "
    "--request-count {*8} --synthetic-input-tokens-mean 32 --output-tokens-mean 8 "
    "--use-server-token-count --artifact-dir {results} --ui none"
)


@pytest.mark.skipif(not AIPERF, reason="PDSUP_TEST_AIPERF names no aiperf program")
@pytest.mark.timeout(600)
def test_a_sweep_with_aiperf_has_the_same_table(cluster: Cluster) -> None:
    cluster.up()
    tokenizer = cluster.home / "tokenizer"
    python = str(Path(AIPERF).with_name("python"))
    subprocess.run([python, "-c", TOKENIZER, str(tokenizer)], check=True, capture_output=True)
    words = (AIPERF, "profile", *FLAGS.split(), "--tokenizer", str(tokenizer))
    done = cluster.command("run", "--json", "--points", "1,4", "--", *words, timeout=500)
    assert done.returncode == 0, done.stderr
    for one in json.loads(done.stdout)["points"]:
        found = one["metrics"]
        assert (found["requests"], found["failed"]) == (8 * int(one["point"]), 0)
        assert found["output_tokens_per_s"] > 0
        assert found["ttft_ms"].keys() == found["itl_ms"].keys() == {"mean", "p50", "p90", "p99"}
