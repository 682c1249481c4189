"""What earlier runs of the same plan tell."""

import json
import os

import pytest

from pdsup.journal import load_times

KINDS = {"decode-0": "decode", "decode-1": "decode", "router-0": "router"}


@pytest.fixture
def earlier(tmp_path):
    """Makes the directory of a run in which units took some seconds to get ready."""

    def make(directory, *, age=0, plan="plan: 1\nname: demo\n", node="node0", **loads):
        run_dir = tmp_path / directory
        (run_dir / "events").mkdir(parents=True, exist_ok=True)
        (run_dir / "plan.yaml").write_text(plan)
        os.utime(run_dir / "plan.yaml", (2e9 - age, 2e9 - age))
        with (run_dir / "events" / f"{node}.jsonl").open("w") as file:
            for unit, seconds in loads.items():
                for at, before, to in (
                    (100, "STOPPED", "STARTING"), (100 + seconds, "STARTING", "RUNNING"),
                ):  # fmt: skip
                    raw = {"at": at, "node": node, "unit": unit.replace("_", "-"), "run": 1,
                           "event": "Tick", "from": before, "to": to}  # fmt: skip
                    file.write(json.dumps(raw) + "\n")
        return run_dir

    return make


@pytest.fixture
def usual(tmp_path):
    return lambda: load_times.usual_load(tmp_path / "demo-now", "demo", KINDS)


def test_a_run_beside_this_one_tells_how_long_each_kind_loads(earlier, usual):
    earlier("demo-1", decode_0=300, decode_1=400, router_0=2, nginx=1)
    assert usual() == {"decode": 400.0, "router": 2.0}


def test_the_median_of_the_three_newest_runs_counts(earlier, usual):
    for age, seconds in enumerate((60, 50, 40, 9000)):
        earlier(f"demo-{age}", age=age, decode_0=seconds)
    assert usual() == {"decode": 50.0}


def test_this_run_and_runs_of_other_plans_are_not_earlier_runs(earlier, usual):
    earlier("demo-now", decode_0=1)
    earlier("demo-large-1", plan="plan: 1\nname: demo-large\n", decode_0=2)
    earlier("other-1", decode_0=3)
    assert usual() == {}


def test_a_quoted_name_is_the_same_name(earlier, usual):
    earlier("demo-1", plan="plan: 1\nname: 'demo'\n", decode_0=7)
    assert usual() == {"decode": 7.0}


def test_what_cannot_be_read_tells_nothing(earlier, usual, tmp_path):
    (tmp_path / "demo-file").write_text("")
    (tmp_path / "demo-empty").mkdir()
    (earlier("demo-1", decode_0=7) / "events" / "node1.jsonl").mkdir()
    (earlier("demo-2", age=1) / "events" / "node0.jsonl").write_bytes(b"\xff{\n[]\n{")
    assert usual() == {"decode": 7.0}


def test_a_directory_of_runs_that_has_gone_tells_nothing(tmp_path):
    assert load_times.usual_load(tmp_path / "gone" / "demo-now", "demo", KINDS) == {}


def test_only_the_beginning_of_a_long_journal_is_read(earlier, usual):
    journal = earlier("demo-1", decode_0=7) / "events" / "node0.jsonl"
    text = journal.read_text()
    journal.write_text(text + "x" * load_times.JOURNAL_BYTES + "\n" + text.replace("107", "999"))
    assert usual() == {"decode": 7.0}
