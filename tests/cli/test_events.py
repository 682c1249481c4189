"""``pdsup events`` and its screen."""

import json
import os
import signal
import subprocess
import sys

import pytest

from pdsup.cli.screens import events
from pdsup.cli.screens.events import Fold, Shown, Wanted
from pdsup.journal.entry import parse

OUT_OF_MEMORY = (
    "gave up after 3 failures: CUDA out of memory. Tried to allocate 2.00 GiB; see "
    "evidence/decode-0-1"
)
NOON = 1795435200.0  # 2026-11-23 12:00:00 UTC


def entry(at, unit, before, to, run=None, reason="", node="node0", event="Tick"):
    raw = {"at": NOON + at, "node": node, "unit": unit, "run": run, "event": {"type": event},
           "from": before, "to": to, "reason": reason}  # fmt: skip
    return parse(json.dumps(raw))


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("width", [80, 160])
def test_the_journal_looks_as_it_was_looked_at(golden, width):
    entries = [
        entry(0.25, "prefill-0", "STOPPED", "STARTING", 1),
        entry(0.5, "router-0", "STOPPED", "WAITING", reason="waits for prefill-0"),
        entry(0.75, "router-0", "WAITING", "WAITING", reason="waits for decode-0", node="node10"),
        entry(3, "prefill-0", "STARTING", "RUNNING", 1),
        entry(9000, "prefill-0", "RUNNING", "BACKOFF", 1, "killed by SIGKILL"),
        entry(9001, "decode-0", "RUNNING", "FATAL", 1, OUT_OF_MEMORY, node="node2"),
        entry(43200, "", "", "", node="node1", event="AgentStarted"),
    ]
    raw = {"at": NOON + 43201, "node": "node0", "unit": "nginx", "run": 2,
           "event": {"type": "Reloaded", "left": ["router-1"]},
           "reason": "1 router, router-1 out"}  # fmt: skip
    entries.append(parse(json.dumps(raw)))
    lines = events.lines(Fold().shown(entries), events.widths(entries), width=width)
    golden(f"events-{width}", lines)
    assert max(map(len, lines)) <= width


@pytest.mark.usefixtures("utc")
def test_what_is_told_at_once_is_trouble_and_its_end():
    entries = [
        entry(0, "router-0", "STOPPED", "WAITING", reason="waits for decode-0"),
        entry(1, "decode-0", "RUNNING", "BACKOFF", 1, "killed by SIGKILL", node="node2"),
        entry(2, "decode-0", "BACKOFF", "STARTING", 2, node="node2"),
        entry(3, "decode-0", "STARTING", "RUNNING", 2, node="node2"),
        entry(4, "decode-0", "RUNNING", "RUNNING", 2, node="node2"),
        entry(5, "", "", "", event="NodeLost", reason="node3: connection refused"),
        entry(6, "", "", "", event="AgentStarted"),
        entry(7, "decode-1", "BACKOFF", "FATAL", 3, "gave up after 3 failures", node="node3"),
    ]
    assert events.told(entries) == [
        "12:00:01 decode-0 (node2) BACKOFF: killed by SIGKILL",
        "12:00:03 decode-0 (node2) RUNNING, run 2",
        "12:00:05 NodeLost: node3: connection refused",
        "12:00:07 decode-1 (node3) FATAL: gave up after 3 failures",
    ]


def test_columns_never_get_narrower_while_one_follows():
    wide = events.widths([entry(0, "a-long-name", "A", "B")])
    assert events.widths([entry(0, "x", "A", "B", node="n")], wide) == wide


def test_a_colour_changes_no_widths():
    entries = [Shown(entry(0, "a", "RUNNING", "FATAL", reason="why " * 30), 3)]
    for width in (None, 80, 160):
        plain = events.lines(entries, (1, 1), width=width)
        coloured = events.lines(entries, (1, 1), width=width, colour=True)
        bare = [line.replace("\x1b[31;1m", "").replace("\x1b[0m", "") for line in coloured]
        assert bare == plain
        assert coloured[0] != plain[0]


def waits(at, unit, why="", before="WAITING"):
    return entry(at, unit, before, "WAITING", reason=f"waits for {why}")


def shown(fold, entries):
    return [(one.entry.at - NOON, one.entry.unit, one.left_out) for one in fold.shown(entries)]


def test_of_a_unit_that_waits_only_the_change_and_what_follows_is_shown_with_a_count():
    fold = Fold()
    start = [waits(0, "a", "x", "STOPPED"), waits(1, "a", "y"), waits(2, "b", "x", "STOPPED")]
    rest = [waits(3, "a", "z"), entry(4, "a", "WAITING", "STARTING", 1), waits(5, "b", "y")]
    assert shown(fold, start + rest) == [(0, "a", 0), (2, "b", 0), (4, "a", 2), (5, "b", 0)]


def test_a_unit_that_still_waits_shows_the_latest_reason_and_no_more_while_one_follows():
    fold = Fold()
    assert shown(fold, [waits(0, "a", "x"), waits(1, "a", "y")]) == [(1, "a", 1)]
    assert shown(fold, [waits(2, "a", "z")]) == []
    assert shown(fold, [entry(3, "a", "WAITING", "STOPPED")]) == [(3, "a", 1)]


def test_reasons_of_other_states_are_all_shown():
    entries = [entry(at, "a", "UNHEALTHY", "UNHEALTHY", 1, f"{at}") for at in range(3)]
    assert shown(Fold(), entries) == [(0, "a", 0), (1, "a", 0), (2, "a", 0)]


HISTORY = [
    entry(0, "decode-0", "STOPPED", "STARTING", 1),
    entry(60, "decode-1", "STOPPED", "STARTING", 1, node="node1"),
    entry(120, "prefill-0.1", "STARTING", "FATAL", 1, node="node1"),
    entry(180, "prefill-0.1", "FATAL", "FATAL", 1, "again", node="node1"),
    entry(240, "", "", "", node="node2", event="NodeLost"),
]


@pytest.mark.parametrize(
    ("wanted", "times"),
    [
        ({}, [0, 60, 120, 180, 240]),
        ({"units": ["decode-1", "x"]}, [60]),
        ({"units": ["*-0*"]}, [0, 120, 180]),
        ({"units": ["decode"]}, [0, 60]),
        ({"units": ["prefill-0"]}, [120, 180]),
        ({"nodes": ["node1"]}, [60, 120, 180]),
        ({"nodes": ["node[02]"]}, [0, 240]),
        ({"states": ["FATAL", "RUNNING"]}, [120]),
        ({"since": NOON + 60, "until": NOON + 120}, [60, 120]),
        ({"units": ["decode"], "nodes": ["node0"], "since": NOON - 5}, [0]),
    ],
)  # fmt: skip
def test_events_are_chosen_by_unit_node_state_and_time(wanted, times):
    assert [one.at - NOON for one in Wanted(**wanted).among(HISTORY)] == times


@pytest.fixture
def died_once(agents, wait_for):
    """A unit on each of two nodes; one of them was killed and is back."""
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "b", "node1")
    os.kill(agents.reaches("RUNNING", "a")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("a")["run"] == 2 and agents.look("a")["state"] == "RUNNING")
    agents.journal("node0", "node1")  # everything is written then
    return agents


def test_events_of_all_nodes_are_shown_in_the_order_of_time(died_once, pdsup):
    done = pdsup("events")
    rows = [line.split(maxsplit=2)[2] for line in done.stdout.splitlines()]
    rows = [" ".join(row.split()) for row in rows]
    assert (done.returncode, done.stderr) == (0, "")
    assert "node1 b STOPPED -> STARTING run 1" in rows
    died = rows.index("node0 a RUNNING -> BACKOFF run 1 killed by SIGKILL")
    assert rows.index("node0 a BACKOFF -> STARTING run 2") > died


def test_events_can_be_counted_and_chosen_by_unit(died_once, pdsup):
    assert len(pdsup("events", "-n", "2").stdout.splitlines()) == 2
    assert pdsup("events", "-n", "0").stdout == ""
    assert "node0" not in pdsup("events", "b").stdout
    done = pdsup("events", "nono")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "pdsup: cannot show events of nono: there are none\n"


def test_events_can_be_chosen_by_state_node_and_time(died_once, pdsup):
    done = pdsup("events", "--state", "backoff", "--since", "1h")
    assert [line.split()[3:6] for line in done.stdout.splitlines()] == [["a", "RUNNING", "->"]]
    assert "node0" not in pdsup("events", "--node", "node1").stdout
    assert pdsup("events", "--until", "2020-01-01").stdout == ""
    done = pdsup("events", "--since", "then")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "pdsup: cannot show events: --since then: give 5m, 14:30 or 2026-11-28T14:30\n"
    )
    assert pdsup("events", "--state", "up").returncode == 2


def test_events_as_json_are_one_list_of_the_lines_of_the_journals(died_once, pdsup):
    done = pdsup("events", "--json", "-n", "1000")
    assert sorted(json.loads(done.stdout), key=lambda one: one["monotonic"]) == died_once.journal(
        "node0", "node1"
    )


def test_events_outlive_the_agents(died_once, pdsup):
    for node in ("node0", "node1"):
        died_once.signal(signal.SIGTERM, node)
    died_once.ended("node0", "node1")
    done = pdsup("events")
    assert done.returncode == 4
    assert "; choose one that has ended with --run-dir:\n" in done.stderr
    assert str(died_once.run_dir) in done.stderr
    other = str(died_once.directory / "nowhere")
    done = pdsup("events", "--run-dir", other)
    assert done.stderr == f"pdsup: cannot show events: no such directory: {other}\n"
    done = pdsup("events", "--run-dir", str(died_once.run_dir))
    assert (done.returncode, "STOPPING -> STOPPED" in done.stdout) == (0, True)


def test_events_are_followed_until_it_is_enough(agents, pdsup_goes_on, wait_for):
    agents.start(agents.plan(agents.unit("a")))
    agents.reaches("RUNNING", "a")
    text, values = pdsup_goes_on("events", "-f"), pdsup_goes_on("events", "-f", "--json", "-n", "0")
    wait_for(lambda: "STARTING -> RUNNING" in text.said.read_text())

    def followed():
        """Something happens again and again: nothing tells when a command has begun to follow."""
        unit = agents.look("a")
        if unit["state"] == "RUNNING":
            os.kill(unit["pid"], signal.SIGKILL)
        return "RUNNING -> BACKOFF" in text.said.read_text() and values.said.read_text()

    wait_for(followed)
    assert all(json.loads(line)["unit"] == "a" for line in values.said.read_text().splitlines())
    for process in (text, values):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


@pytest.mark.parametrize(
    "words",
    [("events", "-f"), ("events", "-f", "--json"), ("logs", "a", "-f"), ("status", "--watch"),
     ("status", "--watch", "--json")],
    ids=" ".join,
)  # fmt: skip
def test_what_follows_ends_when_its_reader_has_gone(shared_agents, words):
    """As in `pdsup events -f | head -1`, although nothing happens any more that it could write."""
    if not shared_agents.processes:
        shared_agents.start(shared_agents.plan(shared_agents.unit("a")))
    shared_agents.reaches("RUNNING", "a")
    process = subprocess.Popen(
        [sys.executable, "-m", "pdsup", *words],
        env=shared_agents.environ, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
