"""Reads the numbers that matter from the result files of well-known load tools.

SGLang's ``bench_serving`` and vLLM's ``bench serve`` write a flat object, whose fields are named by
statistic and quantity (``median_ttft_ms``); NVIDIA AIPerf writes an object for each quantity. Any
other file is ignored. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATISTICS = ("mean", "p50", "p90", "p99")
_ERRORS = "error_request_count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What one run of a load tool measured; a null number was not measured.

    Rates are per second. Latencies are in milliseconds, by statistic (``mean``, ``p50``, ``p90``,
    ``p99``): until the first token, between tokens, per output token after the first, and of a
    whole request.
    """

    requests: int | None
    failed: int | None
    output_tokens: int | None
    requests_per_s: float | None
    output_tokens_per_s: float | None
    total_tokens_per_s: float | None
    ttft_ms: Mapping[str, float]
    itl_ms: Mapping[str, float]
    tpot_ms: Mapping[str, float]
    e2e_ms: Mapping[str, float]

    @property
    def failed_share(self) -> float:
        """The share of the requests that failed, 0 to 1."""
        failed, good = self.failed or 0, self.requests or 0
        return failed / (failed + good) if failed + good else 0.0

    @property
    def is_empty(self) -> bool:
        """Whether the tool says that it got no answer, or no token."""
        return 0 in (self.requests, self.output_tokens)


def of(found: Any) -> Metrics | None:
    """The metrics in an object of a result file; None if it is of no tool that is known."""
    if not isinstance(found, dict):
        return None
    if any(isinstance(found.get(count), dict) for count in ("request_count", _ERRORS)):
        return _of_aiperf(found)
    if "completed" in found and "output_throughput" in found:
        return _of_bench_serving(found)
    return None


def _of_bench_serving(found: Mapping[str, Any]) -> Metrics:
    total = found.get("total_throughput", found.get("total_token_throughput"))
    output, given = _number(found["output_throughput"]), _number(found.get("input_throughput"))
    if total is None and output is not None and given is not None:
        total = output + given
    return Metrics(
        requests=_count(found["completed"]),
        failed=_count(found.get("failed", _errors(found))),
        output_tokens=_count(found.get("total_output_tokens")),
        requests_per_s=_number(found.get("request_throughput")),
        output_tokens_per_s=output,
        total_tokens_per_s=_number(total),
        ttft_ms=_flat(found, "ttft"),
        itl_ms=_flat(found, "itl"),
        tpot_ms=_flat(found, "tpot"),
        e2e_ms=_flat(found, "e2e_latency") or _flat(found, "e2el"),
    )


def _errors(found: Mapping[str, Any]) -> int | None:
    """How many requests failed, where the tool only lists an error, or "", for each of them."""
    errors = found.get("errors")
    return sum(map(bool, errors)) if isinstance(errors, list) else None


def _flat(found: Mapping[str, Any], quantity: str) -> dict[str, float]:
    names = {"p50": "median"}
    numbers = {
        one: _number(found.get(f"{names.get(one, one)}_{quantity}_ms")) for one in STATISTICS
    }
    return {statistic: number for statistic, number in numbers.items() if number is not None}


def _of_aiperf(found: Mapping[str, Any]) -> Metrics:
    def single(name: str) -> float | None:
        return _number(_table(found.get(name)).get("avg"))

    requests = _count(single("request_count")) or 0
    length = single("output_sequence_length")
    return Metrics(
        requests=requests,
        failed=_count(single(_ERRORS)) or 0,
        output_tokens=None if length is None else round(length * requests),
        requests_per_s=single("request_throughput"),
        output_tokens_per_s=single("output_token_throughput"),
        total_tokens_per_s=single("total_token_throughput"),
        ttft_ms=_block(found.get("time_to_first_token")),
        itl_ms=_block(found.get("inter_token_latency")),
        tpot_ms={},
        e2e_ms=_block(found.get("request_latency")),
    )


def _block(found: Any) -> dict[str, float]:
    block = _table(found)
    numbers = {one: _number(block.get("avg" if one == "mean" else one)) for one in STATISTICS}
    return {statistic: number for statistic, number in numbers.items() if number is not None}


def _table(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _number(found: Any) -> float | None:
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if is_number and math.isfinite(found) else None


def _count(found: Any) -> int | None:
    number = _number(found)
    return None if number is None else round(number)
