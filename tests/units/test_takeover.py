"""What an agent takes over, of this version and of the first one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pdsup import clock
from pdsup.node.origin import Origin
from pdsup.plan.compile import load
from pdsup.plan.model import Restart
from pdsup.units import codec, events, lifecycle, states, takeover
from pdsup.units.facts import Note, Transition
from pdsup.units.ledger import FORMER_FILES, Ledger, LedgerFile, read
from pdsup.units.process.gpu import Trouble
from pdsup.units.takeover import Part
from tests.bed.hosts import line

# As version 0.1.0 wrote them; it knew these states.
STATES = [
    {"type": "Stopped"},
    {"type": "Waiting", "failures": [], "reason": "waits for a", "recheck_at": None},
    {"type": "Starting", "run": 1, "ready_by": None, "failures": [], "hard_by": None},
    {"type": "Running", "run": 1, "since": 2833.09, "failures": [2800.5]},
    {"type": "Unhealthy", "run": 1, "since": 2833.0, "failures": [], "reason": "HTTP 503"},
    {"type": "Draining", "run": 1, "until": 9.0, "then": "rest", "failures": [], "reason": "stop"},
    {
        "type": "Stopping", "run": 1, "kill_at": 9.0, "then": "restart", "failures": [],
        "reason": "restart requested", "kills": 0, "left": "",
    },
    {"type": "Backoff", "until": 4467.1, "failures": [4466.1], "reason": "killed by SIGKILL"},
    {"type": "Ended", "status": {"code": 1, "signal": None}},
    {"type": "Fatal", "failures": [5.0], "reason": "3 failures in 60 s"},
]  # fmt: skip


@pytest.fixture
def part(tmp_path: Path) -> Part:
    """A node with a unit for each of these states, and two units beside."""
    names = [f"u{index}" for index in range(len(STATES))] + ["w.1", "a"]
    units = [{"name": one, "kind": "service", "node": "n", "command": ["x"]} for one in names]
    whole = {"plan": 1, "name": "p", "nodes": [{"name": "n", "address": "n"}], "units": units}
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(whole))
    loaded = load.load(path, nodes=None)
    return Part(loaded, "n", tmp_path, tmp_path, Origin(file=str(path)))


def leave(part: Part, *states_: object, unit: str = "") -> None:
    """Writes the ledger that an agent of version 0.1.0 left: one unit in each of the states."""
    agent = [os.getpid(), 1]
    lines: list[object] = [
        {"boot": clock.boot(), "plan": part.loaded.digest, "former": [], "agent": agent,
         "guardian": None}
    ]  # fmt: skip
    lines += [
        {
            "unit": unit or f"u{index}", "state": state, "run": 1, "since": 1795823791.15,
            "spawned": None, "main": None, "tag": None, "log": [65024, 2256924, 42],
            "ended": False, "was_ready": True, "last": [1, None, 1795823791.01],
            "made": "589a85e49a4e07d0",
        }
        for index, state in enumerate(states_)
    ]  # fmt: skip
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (part.state_dir / "ledger").write_text(text)


def test_the_ledger_of_the_first_version_is_read_in_full(part: Part) -> None:
    leave(part, *STATES)
    found = takeover.take_over(part).notes
    known = [codec.tagged(note.state) for note in found.values()]
    told = [{name: one[name] for name in state} for one, state in zip(known, STATES, strict=True)]
    assert told == STATES  # later versions know more of some
    assert {note.log for note in found.values()} == {(65024, 2256924, 42)}
    assert {(note.epoch, note.line) for note in found.values()} == {(None, None)}


def test_what_the_first_version_kept_beside_its_ledger_moves_into_it(part: Part) -> None:
    leave(part, STATES[3], unit="w.1")
    said = [{"w.1": [1, 7], "w.2": [3, 8]}, {"a": {"throttled": [0], "lost": [2]}}, ["n2", "n3"]]
    for name, value in zip(FORMER_FILES, said, strict=True):
        (part.state_dir / name).write_text(json.dumps(value))
    found = takeover.take_over(part)
    assert found.notes["w.1"].epoch == 7
    assert found.gpus == {"a": Trouble(throttled=(0,), lost=(2,))}
    assert found.lost == {"n2", "n3"}
    LedgerFile(str(part.state_dir), found.plan, found).open()
    assert [name for name in FORMER_FILES if (part.state_dir / name).exists()] == []
    again = takeover.take_over(part)
    assert (again.notes, again.gpus, again.lost) == (found.notes, found.gpus, found.lost)


@pytest.mark.parametrize("noted", ["{", "[]", "7", '{"w.1": 3, "a": 3}', '{"w.1": [2, 7]}', None])
def test_what_can_not_be_read_there_or_is_of_another_run_is_nothing(
    part: Part, noted: str | None
) -> None:
    leave(part, STATES[3], unit="w.1")
    for name in FORMER_FILES:
        path = part.state_dir / name
        path.mkdir() if noted is None else path.write_text(noted)
    found = takeover.take_over(part)
    assert found.notes["w.1"].epoch is None
    assert found.gpus == {}


def test_the_ledger_of_another_plan_says_nothing(part: Part) -> None:
    LedgerFile(str(part.state_dir), "another", Ledger(lost=frozenset({"n2"}))).open()
    assert takeover.take_over(part) == Ledger()


def noted(unit: str, step: Transition | None) -> Note:
    return Note(
        unit=unit, state=step.after if step else states.Stopped(), run=1, since=1.0, spawned=None,
        main=None, tag=None, log=None, ended=False, was_ready=False, last_exit=None,
        line=line(step) if step else None,
    )  # fmt: skip


def step(now: float) -> Transition:
    context = lifecycle.Context(
        now=now, next_run=1, gate=None, restart=Restart(), ready_within=states.FOREVER,
        stop_within=15.0, chance=0.5, ready_at_most=states.FOREVER, quiet_within=0.0,
        drain_within=0.0, unclean="port 1 is held",
    )  # fmt: skip
    after, _ = lifecycle.step(states.Stopped(), events.Start(), context)
    return Transition("a", events.Start(), states.Stopped(), after, context)


@pytest.mark.parametrize("plan", ["", "another"])
def test_the_lines_that_the_journal_may_lack_are_known_whatever_the_plan(
    part: Part, plan: str
) -> None:
    books = LedgerFile(str(part.state_dir), plan or part.loaded.digest, Ledger())
    books.open()
    taken = [noted("a", step(moment)) for moment in (4.25, 5.5, 6.0)]
    for one in taken:
        books.note(one)
        books.note(noted("w.1", None))
    found = takeover.take_over(part).lines
    assert [each.text for each in found] == [one.line.text for one in taken]


def test_the_last_step_may_be_unreported_unless_something_was_noted_after_it(part: Part) -> None:
    books = LedgerFile(str(part.state_dir), part.loaded.digest, Ledger())
    for one, last in ((step(4.25), True), (None, False), (step(5.5), True)):
        books.note(noted("a" if one else "w.1", one))
        left = read(part.state_dir)
        assert takeover.unreported(left, 4.0) == (left.notes["a"] if last else None)
    assert takeover.unreported(left, 5.5) is None
