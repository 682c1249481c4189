"""The numbers in the result files of load tools."""

import pytest

from pdsup.cli.results import metrics

SGLANG = {
    "backend": "sglang", "duration": 10.0, "completed": 90, "total_input_tokens": 9000,
    "total_output_tokens": 900, "request_throughput": 9.0, "input_throughput": 900.0,
    "output_throughput": 90.0, "mean_ttft_ms": 20.0, "median_ttft_ms": 18.0, "p99_ttft_ms": 99.0,
    "median_itl_ms": 5.0, "p99_itl_ms": 9.0, "mean_tpot_ms": 6.0, "median_e2e_latency_ms": 700.0,
    "errors": ["", "refused"] * 10,
}  # fmt: skip
VLLM = {
    "completed": 90, "failed": 10, "total_output_tokens": 900, "request_throughput": 9.0,
    "output_throughput": 90.0, "total_token_throughput": 990.0, "p90_ttft_ms": 50.0,
    "median_e2el_ms": 700.0,
}  # fmt: skip
AIPERF = {
    "request_count": {"unit": "requests", "avg": 90.0},
    "error_request_count": {"unit": "requests", "avg": 10.0},
    "output_sequence_length": {"unit": "tokens", "avg": 10.0},
    "request_throughput": {"avg": 9.0},
    "output_token_throughput": {"avg": 90.0},
    "time_to_first_token": {"unit": "ms", "avg": 20.0, "p50": 18.0, "p90": 50.0, "p99": 99.0},
    "inter_token_latency": {"unit": "ms", "avg": 5.5, "p50": 5.0},
    "request_latency": {"unit": "ms", "p50": 700.0},
}


@pytest.mark.parametrize("file", [SGLANG, VLLM, AIPERF], ids=["sglang", "vllm", "aiperf"])
def test_every_known_tool_tells_the_same(file):
    found = metrics.of(file)
    assert (found.requests, found.failed, found.output_tokens) == (90, 10, 900)
    assert (found.requests_per_s, found.output_tokens_per_s) == (9.0, 90.0)
    assert found.e2e_ms == {"p50": 700.0}
    assert (found.failed_share, found.is_empty) == (0.1, False)


def test_statistics_have_the_same_names_whatever_the_tool_calls_them():
    assert metrics.of(SGLANG).ttft_ms == {"mean": 20.0, "p50": 18.0, "p99": 99.0}
    assert metrics.of(VLLM).ttft_ms == {"p90": 50.0}
    assert metrics.of(AIPERF).ttft_ms == {"mean": 20.0, "p50": 18.0, "p90": 50.0, "p99": 99.0}
    assert (metrics.of(SGLANG).total_tokens_per_s, metrics.of(VLLM).total_tokens_per_s) == (
        990,
        990,
    )


@pytest.mark.parametrize(
    "file",
    [
        {**SGLANG, "completed": 0},
        {**SGLANG, "total_output_tokens": 0},
        {"error_request_count": {"avg": 5.0}, "output_sequence_length": {}},
    ],
)
def test_a_tool_that_got_no_answer_or_no_token_has_measured_nothing(file):
    assert metrics.of(file).is_empty


@pytest.mark.parametrize("file", [None, [], "x", 5, {}, {"completed": 5}, {"request_count": 5}])
def test_a_file_of_no_known_tool_is_ignored(file):
    assert metrics.of(file) is None


@pytest.mark.parametrize("value", ["fast", None, True, float("nan"), float("inf"), [1], {}])
def test_a_number_that_is_none_counts_as_not_measured(value):
    found = metrics.of({**SGLANG, "output_throughput": value, "median_ttft_ms": value,
                        "completed": value})  # fmt: skip
    assert found.output_tokens_per_s is None
    assert found.requests is None
    assert "p50" not in found.ttft_ms
