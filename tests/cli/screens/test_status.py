"""The table of ``pdsup status``."""

import pytest

from pdsup.cli.screens.status import details, table


@pytest.fixture
def node(node):
    """A node with units."""
    return lambda *units, name="node2": node(name, units)


def test_columns_are_as_wide_as_their_widest_value(unit, node):
    lines = table([
        node(unit("prefill-0", pid=1, uptime_s=1)),
        node(unit("a-unit-with-a-long-name", "BACKOFF", reason="killed by SIGKILL"), name="n10"),
    ])  # fmt: skip
    assert lines == [
        "prefill-0                RUNNING  pid 1, uptime 1 s  node2",
        "a-unit-with-a-long-name  BACKOFF  killed by SIGKILL  n10",
    ]


def test_a_table_of_nothing_has_no_lines(node):
    assert table([]) == []
    assert table([node()]) == []


def test_one_long_reason_moves_no_other_node_away(unit, node):
    long = unit("decode-1", reason="x" * 100)
    short, _ = table([node(unit(pid=1), long)], width=160)
    assert short == "decode-0  RUNNING  pid 1  node2"


def test_the_last_words_of_a_unit_are_left_out_where_they_do_not_fit(unit, node):
    reason = "killed by SIGKILL; cause unknown, last output: one | two | three"
    dead = unit(state="BACKOFF", reason=reason, short_reason="killed by SIGKILL")
    assert table([node(dead)], width=80) == ["decode-0  BACKOFF  killed by SIGKILL  node2"]
    assert "last output: one | two | three" in table([node(dead)], width=160)[0]
    assert "last output: one | two | three" in table([node(dead)])[0]


def test_lines_end_without_spaces(unit, node):
    assert all(line == line.rstrip() for line in table([node(unit(), name="")]))


def test_details_are_pid_uptime_restarts_and_reason(unit):
    full = unit(pid=7, uptime_s=61, restarts=2, reason="not ready yet: HTTP 503")
    assert details(full) == "pid 7, uptime 1 min 1 s, restarts 2, not ready yet: HTTP 503"
    assert details(unit()) == ""
    assert details(unit(restarts=1)) == "restarts 1"


def test_a_uptime_of_zero_is_shown(unit):
    assert details(unit(pid=7, uptime_s=0.0)) == "pid 7, uptime 0 s"


def test_colours_change_no_widths(unit, node):
    nodes = [node(unit(), unit("nginx", "UNHEALTHY"), unit("other", "STOPPED"))]
    plain, coloured = table(nodes), table(nodes, colour=True)
    assert all("\x1b[" in line for line in coloured)
    for bare, painted in zip(plain, coloured, strict=True):
        start, state, rest = painted.split("\x1b[", 2)
        assert start + state.split("m", 1)[1] + rest.split("m", 1)[1] == bare


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_looks_as_it_was_looked_at(unit, golden, width, node):
    long = (
        "not ready yet: 10.128.64.103:30000/health: HTTP 503 Service Unavailable, for a long time"
    )
    nodes = [
        node(unit("prefill-0", pid=4711, uptime_s=7261), unit("nginx", pid=12, uptime_s=7261.2)),
        node(unit("decode-0", "BACKOFF", reason="killed by SIGKILL"), name="node10"),
        node(unit("decode-1", "STARTING", pid=991, uptime_s=3, restarts=2, reason=long)),
        node(unit("router-0", "WAITING", reason="waits for decode-0 (BACKOFF on node10)")),
    ]
    golden(f"status-{width}", lines := table(nodes, width=width))
    assert max(map(len, lines)) <= width


def test_without_a_width_nothing_is_cut(unit, node):
    (line,) = table([node(unit(reason="x" * 500))])
    assert "x" * 500 in line
