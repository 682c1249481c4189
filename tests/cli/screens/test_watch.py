"""The live view and the bars: what they show, in which order, on which terminal."""

import pytest

from pdsup.cli.screens import progress, watch
from pdsup.cli.terminal.lines import Size

NOW = 10_000.0


@pytest.fixture
def troubled(unit, node, status):
    """A cluster of four nodes in which much is wrong."""

    def on(name, *units, problem=None):
        return node(name, units, problem=problem)

    killed = "killed by SIGKILL"
    return status(
            on("node0", unit("prefill-0", role="prefill", pid=4711, since=NOW - 7261),
               unit("nginx", kind="nginx", role=None, pid=12, since=NOW - 7200),
               unit("router-0", kind="router", role=None, pid=4712, since=NOW - 7200, restarts=1)),
            on("node1", unit("prefill-1", "STARTING", role="prefill", pid=99, since=NOW - 61,
                             restarts=1, reason="not ready yet: 10.0.0.2:30000/health: HTTP 503"),
               unit("router-1", "WAITING", kind="router", role=None, since=NOW - 61,
                    reason="waits for prefill-1 (STARTING on node1)")),
            on("node2", unit("decode-0", "BACKOFF", since=NOW - 2.5, restarts=3, reason=killed)),
            on("node3", unit("decode-1", "UNKNOWN", since=NOW - 20,
                             reason="was RUNNING; cannot reach its agent"), problem="gone"),
    )  # fmt: skip


def plain(lines):
    return [watch.text(line) for line in lines]


@pytest.mark.parametrize(("width", "height"), [(160, 24), (80, 24), (40, 12), (80, 8)])
def test_the_live_view_looks_as_it_was_looked_at(troubled, golden, width, height):
    lines = plain(watch.screen(troubled, NOW, Size(width, height), "Ctrl-C ends"))
    golden(f"watch-{width}x{height}", lines)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height


def test_a_narrow_terminal_shows_the_whole_summary_where_it_has_the_lines_for_it(troubled):
    told = " ".join(plain(watch.screen(troubled, NOW, Size(40, 12), "Ctrl-C ends")))
    for part in ("node3", "Ctrl-C ends", "router 1/2", "nginx 1/1", "decode-1 UNKNOWN 20 s"):
        assert part in told


@pytest.mark.parametrize("width", [1, 5, 10, 20, 30, 50, 60, 100])
@pytest.mark.parametrize("height", [1, 2, 4, 5, 6])
def test_a_terminal_that_is_far_too_small_is_never_overrun(troubled, width, height):
    lines = plain(watch.screen(troubled, NOW, Size(width, height)))
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_what_needs_attention_comes_first_and_what_is_well_last(troubled):
    lines = plain(watch.screen(troubled, NOW, Size(160, 24)))
    names = [line.split()[0] for line in lines[5:]]
    assert names == [
        "decode-0", "decode-1", "prefill-1", "router-1", "prefill-0", "nginx", "router-0",
    ]  # fmt: skip


def test_what_does_not_fit_is_counted(unit, node, status):
    units = [unit(f"decode-{i}", "STARTING" if i < 20 else "RUNNING") for i in range(30)]
    *_, last = plain(watch.screen(status(node("n", units)), NOW, Size(80, 10)))
    assert last == "and 15 more STARTING, 10 more RUNNING"


def test_a_cluster_in_which_all_is_well_has_no_trouble(unit, node, status):
    assert plain(watch.screen(status(node("n", [unit(since=NOW)])), NOW, Size(80, 10)))[:3] == [
        "demo  1 node", "ready: decode 1/1", "restarts 0"
    ]  # fmt: skip


@pytest.mark.parametrize("width", [160, 80, 24])
def test_the_bars_look_as_they_were_looked_at(troubled, golden, width):
    units = troubled.units
    missing = progress.missing(units, progress.is_up, NOW, 8, {"prefill": 100.0})
    golden(f"bars-{width}", lines := plain(watch.bars(units, missing, width)))
    assert max(map(len, lines)) <= width
