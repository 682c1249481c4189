"""The stand-in for a load tool, and what a sweep makes of its numbers."""

import json

import pytest

from pdsup.cli.results import metrics
from pdsup.cli.sweeps import sweep_rules
from pdsup.mock import bench
from tests.cli.sweeps.test_sweep_rules import CLEAN


def load(worker, directory, *words):
    """The result of ten requests, three at once, of four tokens each."""
    out, url = directory / "out.jsonl", f"http://{worker.host}:{worker.port}"
    flags = ("--base-url", url, "--output-file", str(out), "--model", "tiny", "--unknown", "x")
    size = ("--num-prompts", "10", "--max-concurrency", "3", "--random-output-len", "4")
    assert bench.main([*flags, *size, *words]) == 0
    return json.loads(out.read_text().splitlines()[-1])


@pytest.mark.parametrize("backend", ["sglang-oai", "sglang-oai-chat"])
def test_it_sends_the_load_and_measures_it(aggregated, tmp_path, backend):
    found = load(aggregated, tmp_path, "--backend", backend)
    assert (found["completed"], found["total_output_tokens"]) == (10, 40)
    assert found["errors"] == [""] * 10
    assert 0 < found["median_ttft_ms"] <= found["p99_ttft_ms"]
    assert sweep_rules.judged(CLEAN, metrics.of(found), 0.05) == ("clean", "")


def test_it_sends_no_more_than_a_stand_in_answers_in_a_moment(aggregated, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCK_BENCH_PROMPTS", "2")
    monkeypatch.setenv("MOCK_BENCH_TOKENS", "1")
    found = load(aggregated, tmp_path)
    assert (found["completed"], found["total_output_tokens"]) == (2, 2)


def test_a_front_whose_kv_transfers_fail_gives_no_clean_point(crew, router, until, tmp_path):
    pytest.importorskip("sglang_router", reason="sglang-router is not installed")
    prefill, decode = crew.prefill(), crew.decode(MOCK_KV_TIMEOUT_SECONDS=0.05)
    front = router(prefill, decode)
    until(lambda: front.status("/readiness") == 200, "readiness")
    prefill.end()
    found = load(front, tmp_path)
    why = "the command ended with 0, but no request was answered"
    assert sweep_rules.judged(CLEAN, metrics.of(found), 0.05) == ("failed", why)


@pytest.mark.parametrize(("fault", "why"), [
    ({"empty_answers": True}, "the command ended with 0, but no token came"),
    ({"error_requests": 3}, "3 of 10 requests failed"),
    ({"error_requests": -1}, "the command ended with 0, but no request was answered"),
])  # fmt: skip
def test_a_front_without_good_answers_gives_no_clean_point(aggregated, tmp_path, fault, why):
    aggregated.fault(**fault)
    try:
        found = load(aggregated, tmp_path)
    finally:
        aggregated.fault(**dict.fromkeys(fault, 0))
    assert sweep_rules.judged(CLEAN, metrics.of(found), 0.05) == ("failed", why)
