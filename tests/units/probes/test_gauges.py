"""What a router's metrics say of its breakers."""

from __future__ import annotations

import pytest

from pdsup.plan.model import Gauges
from pdsup.units.probes.gauges import exhausted, sentence, total

P0, P1, D0 = "http://10.0.0.1:30000", "http://10.0.0.2:30000", "http://10.0.0.3:30000"
BREAKERS = Gauges(
    name="smg_worker_cb_state",
    label="worker",
    bad=1.0,
    means="an open breaker",
    groups={"prefill": (P0, P1), "decode": (D0,)},
)


def metrics(**states: object) -> str:
    """As the router writes it, with lines around that are about something else."""
    workers = {"p0": P0, "p1": P1, "d0": D0, "stranger": "http://10.0.0.9:30000"}
    lines = [f'smg_worker_cb_state{{worker="{workers[w]}"}} {v}' for w, v in states.items()]
    return "\n".join(
        (
            "# HELP smg_worker_cb_state a gauge",
            "# TYPE smg_worker_cb_state gauge",
            f'smg_worker_health{{worker="{P0}"}} 1',
            f'smg_worker_cb_state_total{{worker="{P0}"}} 1',
            *lines,
            "smg_http_connections_active 3",
        )
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (metrics(p0=0, p1=0, d0=0), ()),
        (metrics(p0=1, p1=0, d0=0), ()),
        (metrics(p0=1, p1=1, d0=0), ("prefill",)),
        (metrics(p0=1, p1=2, d0=1), ("decode",)),
        (metrics(p0=1, p1=1, d0=1), ("prefill", "decode")),
        (metrics(p0=1, d0=0), ("prefill",)),
        (metrics(d0="1.0"), ("decode",)),
        (metrics(stranger=1), ()),
        (metrics(d0="NaN"), ()),
        (metrics(d0="much"), ()),
        ("", ()),
        ("<html>not metrics {}", ()),
    ],
)
def test_a_group_is_exhausted_when_all_that_is_told_of_it_is_bad(
    text: str, expected: tuple[str, ...]
) -> None:
    assert exhausted(BREAKERS, text) == expected


def test_labels_may_stand_in_any_order_and_hold_anything() -> None:
    odd = 'a"b\\c,worker="x"} 0\n'
    gauges = Gauges(name="g", label="worker", bad=1, means="x", groups={"one": (odd,)})
    escaped = odd.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert exhausted(gauges, f'g{{a="1",worker="{escaped}",z="{{}}"}} 1 1700000000') == ("one",)


def test_the_sentence_names_the_groups_and_what_it_means() -> None:
    assert sentence(BREAKERS, ("prefill", "decode")) == (
        "every prefill and every decode has an open breaker"
    )


def test_a_total_adds_all_lines_of_one_gauge() -> None:
    text = 'a{w="1"} 2\na{w="2"} 3\nab 100\na_total{w="1"} 100\nb 4\n'
    assert (total("a", text), total("b", text), total("c", text)) == (5, 4, 0)
