"""What is missing until a cluster is up or down."""

import pytest

from pdsup.cli.screens import progress
from pdsup.times import age as written

NOW = 10_000.0
GOOD = {"code": 0, "signal": None, "at": 1.0}


def names(found):
    return [unit.name for unit in found.units]


@pytest.fixture
def cluster(unit, node, status):
    return status(
        node("node0", [unit("nginx")]),
        node("node2", [unit("decode-0"), unit("prefill-0.0", gang="prefill-0")]),
        node("node3", [unit("decode-1"), unit("prefill-0.1", gang="prefill-0")]),
    )


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], {"decode-0", "decode-1", "prefill-0.0", "prefill-0.1", "nginx"}),
        (["all"], {"decode-0", "decode-1", "prefill-0.0", "prefill-0.1", "nginx"}),
        (["nginx"], {"nginx"}),
        (["decode-*"], {"decode-0", "decode-1"}),
        (["decode-[1-9]", "nginx"], {"decode-1", "nginx"}),
        (["prefill-0"], {"prefill-0.0", "prefill-0.1"}),
        (["prefill-0.1"], {"prefill-0.1"}),
        (["nginx", "n*"], {"nginx"}),
    ],
)
def test_units_are_chosen_by_name_glob_or_gang(cluster, patterns, expected):
    shown, unnamed = progress.chosen(cluster, patterns)
    assert (set(names(shown)), len(names(shown)), unnamed) == (expected, len(expected), [])


def test_a_pattern_that_names_nothing_is_told(cluster):
    shown, unnamed = progress.chosen(cluster, ["nginx", "router-*", "DECODE-0", ""])
    assert (names(shown), unnamed) == (["nginx"], ["router-*", "DECODE-0", ""])


def test_nodes_without_a_chosen_unit_are_left_out(cluster):
    shown, _ = progress.chosen(cluster, ["decode-1"])
    assert [node.node for node in shown.nodes] == ["node3"]
    assert shown.cluster == "demo"


def missing(*units, most=8):
    return progress.missing(units, progress.is_up, NOW, most)


def test_what_is_missing_is_told_with_its_node_state_age_and_reason(unit):
    late = unit(state="BACKOFF", since=NOW - 61.5, reason="killed by SIGKILL")
    assert missing(unit("nginx"), late) == [
        "decode-0 (node2) BACKOFF for 1 min 1 s: killed by SIGKILL"
    ]


def test_an_unknown_age_or_reason_is_left_out(unit):
    assert missing(unit(state="UNKNOWN")) == ["decode-0 (node2) UNKNOWN"]


def test_a_clock_that_is_behind_makes_no_negative_age(unit):
    assert missing(unit(state="STARTING", since=NOW + 30)) == ["decode-0 (node2) STARTING for 0 s"]


def test_nothing_is_missing_when_all_is_reached(unit):
    assert missing(unit(), unit("benchmark", "EXITED", last_exit=GOOD)) == []


def test_causes_come_before_those_that_wait_for_them(unit):
    states = ["WAITING", "STARTING", "UNHEALTHY", "FATAL", "STOPPED", "BACKOFF", "UNKNOWN"]
    found = missing(*(unit(state.lower(), state) for state in states), most=6)
    order = ["fatal", "backoff", "unhealthy", "unknown", "stopped", "starting"]
    assert [line.split()[0] for line in found[:6]] == order
    assert found[6] == "and 1 more"


def test_units_that_wait_are_named_when_nothing_else_is_missing(unit):
    found = missing(unit("router-0", "WAITING", reason="waits for decode-0"))
    assert found == ["router-0 (node2) WAITING: waits for decode-0"]


def test_a_long_list_is_cut_and_the_rest_counted(unit):
    found = missing(*(unit(f"decode-{i}", "STARTING") for i in range(20)), most=3)
    assert len(found) == 4
    assert found[-1] == "and 17 more"


def test_the_summary_counts_what_is_ready_of_each_kind(unit):
    found = [
        unit("nginx", "WAITING", kind="nginx", role=None), unit(), unit("decode-1", "STARTING"),
        unit("prefill-0", role="prefill"), unit("router-0", kind="router", role=None),
        unit("etcd", kind="service", role=None),
        unit("benchmark", "EXITED", kind="benchmark", role=None, last_exit=GOOD),
    ]  # fmt: skip
    assert progress.summary(found) == (
        "prefill 1/1, decode 1/2, router 1/1, nginx 0/1, benchmark 1/1, service 1/1"
    )


@pytest.mark.parametrize(
    ("age", "usual", "words"),
    [
        (60, 100.0, ", about 40 s left"), (100, 100.0, ""), (119, 100.0, ""),
        (121, 100.0, ", longer than usual"), (5, 1.0, ""), (7, 1.0, ", longer than usual"),
    ],
)  # fmt: skip
def test_a_unit_that_starts_is_compared_with_how_long_others_of_its_kind_took(
    unit, age, usual, words
):
    late = unit(state="STARTING", since=NOW - age)
    found = progress.missing([late], progress.is_up, NOW, 8, {"decode": usual, "router": 1.0})
    assert found == [f"decode-0 (node2) STARTING for {written(age)}{words}"]


def test_services_are_each_like_no_other_and_workers_like_those_of_their_role(unit):
    found = [
        unit(), unit("agg-0", role="agg"), unit("router-0", kind="router", role=None),
        unit("etcd", kind="service", role=None), unit("benchmark", kind="benchmark", role=None),
    ]  # fmt: skip
    assert list(map(progress.alike, found)) == ["decode", "agg", "router", "etcd", "benchmark"]
