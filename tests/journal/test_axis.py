"""One time axis for all journals, whatever happens to the wall clocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdsup import clock
from pdsup.journal import entry, incidents, runs
from pdsup.journal.axis import offsets, placed
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals

STEPS = [-7200.0, -90.0, 0.0, 10800.0]
# A run that begins, is ready, fails and is ready again; and the time that passes before each step.
LIFE = [
    (0.0, "STOPPED", "STARTING"), (5.0, "STARTING", "RUNNING"), (60.0, "RUNNING", "BACKOFF"),
    (61.0, "BACKOFF", "STARTING"), (64.5, "STARTING", "RUNNING"),
]  # fmt: skip


def line(
    monotonic: float, before: str, to: str, *, at: float, node: str = "n", boot: str | None = "b"
) -> Entry:
    raw = {"at": at, "monotonic": monotonic, "node": node, "unit": f"u-{node}", "run": 1,
           "event": "Tick", "from": before, "to": to, "reason": ""}  # fmt: skip
    found = entry.parse(json.dumps(raw | ({"boot": boot} if boot else {})))
    assert found is not None
    return found


def life(step: float, *, count: int = 3, **how) -> list[Entry]:
    """The wall clock is set before the line with this number."""
    return [
        line(100 + later, before, to, at=50_000 + later + (step if i >= count else 0), **how)
        for i, (later, before, to) in enumerate(LIFE)
    ]


def on_axis(*journals: list[Entry], known: dict[str, float] | None = None) -> list[Entry]:
    given = offsets(journals, known or {})
    return entry.merged([placed(each, given) for each in journals])


@pytest.mark.parametrize("boot", ["b", None], ids=["names its boot", "as 0.1.0 wrote it"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("count", range(5))
def test_a_step_of_the_wall_clock_changes_no_duration_and_no_order(step, count, boot):
    found = on_axis(life(step, count=count, boot=boot))
    assert [each.at - found[0].at for each in found] == [later for later, *_ in LIFE]
    first, _ = runs.runs(found)
    assert first.ended - first.began == 60.0
    (one,) = incidents.incidents(found, 0, 1e9)
    assert one.ended - one.began == 4.5
    assert found[-1].at == life(step, count=count)[-1].at  # as the clock shows it now


@pytest.mark.parametrize("step", STEPS)
def test_nodes_on_one_machine_are_in_the_order_in_which_things_happened(step):
    one, two = life(step), life(step, node="m")
    moments = [each.monotonic for each in on_axis(one, two)]
    assert moments == sorted(moments)


@pytest.mark.parametrize("step", STEPS)
def test_what_was_long_before_a_benchmark_is_none_of_its_incidents(step):
    """As after a clock was set forward: what was before it seems to lie within it."""
    found = on_axis(life(step, count=5), [line(400.0, "STARTING", "RUNNING", at=50_300 + step)])
    began, ended = (50_000 + step + later for later in (200.0, 290.0))
    assert incidents.incidents(found, began, ended) == []


def test_machines_are_compared_by_their_wall_clocks():
    one, two = life(0.0, boot="b"), life(0.0, boot="c", node="m")
    two = [line(each.monotonic - 90.0, each.before, each.to, at=each.at + 1, node="m", boot="c")
           for each in two]  # fmt: skip
    assert on_axis(one, two) == entry.merged([one, two])


def test_moments_of_an_earlier_boot_are_not_those_of_the_next():
    before = [line(900.0, "STOPPED", "STARTING", at=100.0, boot=None)]
    after = [line(10.0, "STOPPED", "STARTING", at=500.0, boot=None)]
    assert [each.at for each in on_axis([*before, *after])] == [100.0, 500.0]


def test_lines_without_moments_stay_where_they_are():
    bare = entry.parse('{"at": 5, "node": "n", "event": "X"}')
    assert on_axis([bare, *life(0.0)])[0].at == 5.0


def test_a_reader_goes_by_the_clock_of_its_own_boot(tmp_path: Path, monkeypatch):
    """The clock was set back by an hour after the last line."""
    (tmp_path / "events").mkdir()
    ours, now = clock.boot(), clock.monotonic()
    text = json.dumps(dict(line(now - 9.0, "STOPPED", "STARTING", at=9e8, boot=ours).raw))
    (tmp_path / "events" / "n.jsonl").write_text(f"{text}\n")
    monkeypatch.setattr(clock, "wall", lambda: 5000.0)
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    journals = Journals(tmp_path)
    (one,) = journals.news()
    assert one.at == pytest.approx(4991.0)
    assert journals.at(now - 5.0, ours) == journals.here(now - 5.0) == pytest.approx(4995.0)
    assert journals.at(now, "another") is None
