"""The table of ``pdsup status``."""

import pytest

from supervisor.cli.table import details, duration, table


def node(*units, name="node2"):
    return {"node": name, "units": units}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00:00"),
        (0.999, "0:00:00"),
        (59.9, "0:00:59"),
        (60, "0:01:00"),
        (3599, "0:59:59"),
        (3600, "1:00:00"),
        (86399, "23:59:59"),
        (86400, "1 day, 0:00:00"),
        (2 * 86400 + 3 * 3600 + 4 * 60 + 5, "2 days, 3:04:05"),
        (100 * 86400, "100 days, 0:00:00"),
    ],
)
def test_a_duration_is_written_as_supervisorctl_does(seconds, text):
    assert duration(seconds) == text


def test_columns_are_as_wide_as_their_widest_value(unit):
    lines = table([
        node(unit("prefill-0", pid=1, uptime_s=1)),
        node(unit("a-unit-with-a-long-name", "BACKOFF", reason="killed by SIGKILL"), name="n10"),
    ])  # fmt: skip
    assert lines == [
        "prefill-0                RUNNING  pid 1, uptime 0:00:01  node2",
        "a-unit-with-a-long-name  BACKOFF  killed by SIGKILL      n10",
    ]


def test_a_table_of_nothing_has_no_lines():
    assert table([]) == []
    assert table([node()]) == []


def test_lines_end_without_spaces(unit):
    assert all(line == line.rstrip() for line in table([node(unit(), name="")]))


def test_details_are_pid_uptime_restarts_and_reason(unit):
    full = unit(pid=7, uptime_s=61, restarts=2, reason="not ready yet: HTTP 503")
    assert details(full) == "pid 7, uptime 0:01:01, restarts 2, not ready yet: HTTP 503"
    assert details(unit()) == ""
    assert details(unit(restarts=1)) == "restarts 1"


def test_a_uptime_of_zero_is_shown(unit):
    assert details(unit(pid=7, uptime_s=0.0)) == "pid 7, uptime 0:00:00"


def test_colours_change_no_widths(unit):
    nodes = [node(unit(), unit("nginx", "UNHEALTHY"), unit("other", "A-NEW-STATE"))]
    plain, coloured = table(nodes), table(nodes, colour=True)
    assert all("\x1b[" in line for line in coloured)
    for bare, painted in zip(plain, coloured, strict=True):
        start, state, rest = painted.split("\x1b[", 2)
        assert start + state.split("m", 1)[1] + rest.split("m", 1)[1] == bare
