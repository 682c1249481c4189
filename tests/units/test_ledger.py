"""The ledger of what runs: what it keeps, and the clean-up after an agent that was killed."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdsup import clock, lines_file
from pdsup.errors import SupervisorError
from pdsup.plan.model import Restart
from pdsup.units import events, lifecycle, states, takeover
from pdsup.units import ledger as ledger_module
from pdsup.units.facts import LastExit, Line, Note, Transition
from pdsup.units.ledger import LEDGER, Ledger, LedgerFile, guardian_of, left_under, read
from pdsup.units.process import proc
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.gpu import Trouble
from pdsup.units.takeover import clean_up, end
from tests.bed.hosts import line

LINE = Line('{"at":1.5,"monotonic":2.5}\n', 2.5, 1.5, late=True)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", "sleep 1000 & wait"], start_new_session=True) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):  # its child may outlive it
            os.killpg(process.pid, signal.SIGKILL)


def note(main: tuple[int, int] | None = None, **changes) -> Note:
    usual = Note(
        unit="worker",
        state=states.Running(2, 5.0, (1.0,)),
        run=2,
        since=1.7e9,
        spawned=4.0,
        main=main,
        tag=None,
        log=(1, 2, 80),
        ended=False,
        was_ready=True,
        last_exit=LastExit(ExitStatus(None, "SIGKILL"), 1.6e9),
    )
    return dataclasses.replace(usual, **changes)


def opened(directory: Path, inherited: Ledger | None = None) -> LedgerFile:
    made = LedgerFile(str(directory), "digest", inherited or Ledger())
    made.open()
    return made


def identity(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    return process.pid, proc.started(process.pid) or 0


def test_the_last_word_about_a_unit_counts(tmp_path: Path) -> None:
    books = opened(tmp_path)
    books.note(note(run=1))
    books.note(note(unit="other"))
    books.note(note(run=2))
    found = read(tmp_path)
    assert (found.plan, found.notes) == ("digest", {"worker": note(), "other": note(unit="other")})


def test_the_ports_of_a_run_are_noted_and_may_be_unknown(tmp_path: Path) -> None:
    books = opened(tmp_path)
    books.note(note(ports={"http": 30080}))
    books.note(note(unit="other"))
    notes = read(tmp_path).notes
    assert (notes["worker"].ports, notes["other"].ports) == ({"http": 30080}, {})


def test_the_newest_note_is_the_last_one_also_after_the_ledger_was_written_again(
    tmp_path: Path,
) -> None:
    books = opened(tmp_path)
    for unit in ("worker", "other", "worker"):
        books.note(note(unit=unit))
    assert list(read(tmp_path).notes) == ["other", "worker"]
    books.open()
    assert list(read(tmp_path).notes) == ["other", "worker"]


def test_every_section_is_known_to_the_next_agents(tmp_path: Path) -> None:
    books = opened(tmp_path)
    books.note(note(epoch=3, line=LINE))
    books.note_gpus({"worker": Trouble(throttled=(1,)), "other": Trouble(lost=(2, 3))})
    books.note_lost({"node2", "node1"})
    books.note_signers({"node3", "node2"})
    found = read(tmp_path)
    assert found.notes == {"worker": note(epoch=3, line=LINE)}
    assert found.gpus == {"worker": Trouble(throttled=(1,)), "other": Trouble(lost=(2, 3))}
    assert (found.lost, found.signers) == ({"node1", "node2"}, {"node2", "node3"})
    opened(tmp_path, found)
    again = read(tmp_path)
    assert (again.notes, again.gpus, again.lost) == (found.notes, found.gpus, found.lost)
    assert again.signers == found.signers


def test_an_end_that_has_begun_is_known_to_the_next_agent(tmp_path: Path) -> None:
    opened(tmp_path).note_end("SIGTERM", of_cluster=False)
    assert read(tmp_path).ending == ("SIGTERM", False)


def test_what_was_inherited_is_in_the_new_ledger_from_the_beginning(tmp_path: Path) -> None:
    opened(tmp_path).note(note())
    inherited = read(tmp_path)
    opened(tmp_path, inherited)
    assert read(tmp_path).notes == inherited.notes


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    books = opened(tmp_path)
    books.note(note(run=1))
    books.note(note(run=2))
    path = tmp_path / LEDGER
    path.write_bytes(path.read_bytes()[:-40])
    assert read(tmp_path).notes == {"worker": note(run=1)}


def test_a_ledger_from_before_a_reboot_says_nothing(tmp_path: Path, monkeypatch) -> None:
    opened(tmp_path).note(note())
    monkeypatch.setattr(clock, "boot", lambda: "another")
    assert read(tmp_path) == Ledger()


@pytest.mark.parametrize("text", ["", "\n", "{", "[1]", '{"unit": "worker"}', "\xff"])
def test_what_is_no_ledger_is_read_as_an_empty_one(text: str, tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text(text)
    assert read(tmp_path).notes == {}


@pytest.mark.processes
def test_an_agent_is_found_by_the_guardian_that_started_it(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    for run, guardian in (("one", os.getpid()), ("two", sleeper.pid), ("three", None)):
        directory = tmp_path / run / "node0"
        directory.mkdir(parents=True)
        LedgerFile(str(directory), "digest", Ledger(), guardian).open()
    assert left_under(tmp_path, sleeper.pid) == tmp_path / "two" / "node0"
    assert left_under(tmp_path, os.getppid()) is None
    assert left_under(tmp_path / "missing", os.getpid()) is None


def test_a_guardian_that_was_given_the_pid_since_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run" / "node0"
    directory.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(proc, "started", lambda pid: 1)
        LedgerFile(str(directory), "digest", Ledger(), os.getpid()).open()
    assert left_under(tmp_path, os.getpid()) is None


def test_a_ledger_that_has_grown_large_is_written_anew(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ledger_module, "LARGEST_BYTES", 2000)
    books = opened(tmp_path)
    for run in range(100):
        books.note(note(run=run))
    assert (tmp_path / LEDGER).stat().st_size < 3000
    assert read(tmp_path).notes == {"worker": note(run=99)}


def test_where_nothing_can_be_noted_supervision_goes_on(tmp_path: Path) -> None:
    opened(tmp_path / "missing" / "deeper").note(note())


@pytest.mark.processes
def test_a_noted_process_and_all_below_it_are_ended(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    opened(tmp_path).note(note(identity(sleeper)))
    ledger = read(tmp_path)
    # It names this very process as the agent, which a clean-up would end too.
    assert end(ledger.notes.values()) == []
    assert sleeper.wait(60) == -9


@pytest.mark.processes
def test_a_clean_up_ends_also_the_agent_and_removes_its_directory(
    sleeper: subprocess.Popen[bytes], tmp_path: Path, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module.os, "getpid", lambda: sleeper.pid)
        opened(tmp_path)
    assert clean_up(tmp_path) == []
    assert sleeper.wait(60) == -9
    assert not tmp_path.exists()


@pytest.mark.processes
def test_a_process_that_was_given_the_pid_since_is_left_alone(
    sleeper: subprocess.Popen[bytes],
) -> None:
    assert end([note((sleeper.pid, 1))]) == []
    assert sleeper.poll() is None


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Meanwhile no ledger can be begun; one that is open can be continued."""

    def full(path: Path, text: bytes, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_file, "write_atomically", full)
        yield


def test_a_plan_that_a_full_disk_keeps_from_being_noted_is_not_adopted(tmp_path: Path) -> None:
    books = opened(tmp_path)
    books.note_next("later")
    with full_disk(), pytest.raises(SupervisorError, match="cannot write"):
        books.adopt("later")
    books.note(note(run=3))
    found = read(tmp_path)
    assert (found.plan, found.former, found.next) == ("digest", (), "later")
    assert found.notes["worker"].run == 3


def test_what_a_full_disk_has_kept_out_is_noted_when_there_is_room(tmp_path: Path) -> None:
    with full_disk():
        books = opened(tmp_path)
        books.note(note())
    assert read(tmp_path) == Ledger()
    books.note(note(unit="other"))
    assert list(read(tmp_path).notes) == ["worker", "other"]


def test_a_plan_that_was_asked_for_is_known_until_it_is_adopted(tmp_path: Path) -> None:
    books = opened(tmp_path)
    books.note_next("later")
    assert opened(tmp_path, read(tmp_path)) and read(tmp_path).next == "later"
    books.adopt("later")
    assert (read(tmp_path).plan, read(tmp_path).next) == ("later", "")
    books.note_next("other")
    books.note_next("")
    assert read(tmp_path).next == ""


# -- damaged ledgers ------------------------------------------------------------------------------

JUNK = (
    None, True, 5, -1, 0, 1e300, float("nan"), float("inf"), 10**400, "", "x", "\ud800", [], [1],
    [[]], ["x", "y"], [1, 2, 3, 4], [-1, 5], {}, {"type": "Running"}, {"a": []},
)  # fmt: skip


def whole_ledger(directory: Path) -> list[dict]:
    """Every kind of line that a ledger may have."""
    context = lifecycle.Context(
        now=4.25, next_run=1, gate="waits", restart=Restart(), ready_within=states.FOREVER,
        stop_within=15.0, chance=0.5,
    )  # fmt: skip
    after, _ = lifecycle.step(states.Stopped(), events.Start(), context)
    told = line(Transition("worker", events.Start(), states.Stopped(), after, context))
    books = LedgerFile(str(directory), "digest", Ledger(former=("old",)), os.getpid())
    books.open()
    books.note(note(unit="other"))
    books.note(note((1, 2), tag=7, epoch=3, state=after, line=told))
    books.note_end("SIGTERM", of_cluster=True)
    books.note_next("digest2")
    books.note_gpus({"worker": Trouble(throttled=(1,), lost=(2,))})
    books.note_lost({"node2"})
    return [json.loads(line) for line in (directory / LEDGER).read_text().splitlines()]


def damaged(value: object) -> Iterator[object]:
    """The value with each part of it replaced by junk, and with each missing."""
    yield from JUNK
    if isinstance(value, dict):
        for key, part in value.items():
            yield {name: one for name, one in value.items() if name != key}
            yield from ({**value, key: junk} for junk in damaged(part))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from ([*value[:index], junk, *value[index + 1 :]] for junk in damaged(part))


def write(directory: Path, lines: list[dict]) -> None:
    (directory / LEDGER).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


# What a line other than the damaged one says.
OTHERS = (
    lambda left: (left.ending, left.gpus),
    lambda left: left.notes["worker"],
    lambda left: left.notes["other"],
    lambda left: (left.plan, left.lost),
    lambda left: (left.agent, left.ending),
    lambda left: left.next,
    lambda left: left.gpus,
)


@pytest.mark.parametrize("damage", range(len(OTHERS)))
def test_a_damaged_line_is_passed_over_and_the_others_count(damage: int, tmp_path: Path) -> None:
    lines, others = whole_ledger(tmp_path), OTHERS[damage]
    assert len(lines) == len(OTHERS)
    usual = others(read(tmp_path))
    for bad in damaged(lines[damage]):
        write(tmp_path, [*lines[:damage], bad, *lines[damage + 1 :]])
        left = read(tmp_path)
        takeover.unreported(left, 0.0)
        assert others(left) == usual or left == Ledger()  # of another boot
        opened(tmp_path, left)  # it can be written again
        assert read(tmp_path).notes.keys() == left.notes.keys()


@pytest.mark.parametrize(
    "junk", [b"[" * 100_000, b"\xff" * 100, b"9" * 10_000, b'{"unit": 5}', b'{"gpus": 5}', b"{}"]
)
def test_a_line_that_is_no_json_is_passed_over(junk: bytes, tmp_path: Path) -> None:
    whole_ledger(tmp_path)
    path, usual = tmp_path / LEDGER, read(tmp_path)
    first, *rest = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, junk, *rest, junk, b""]))
    assert read(tmp_path) == usual


@pytest.mark.parametrize("kind", ["a directory", "a named pipe", "a link to a device", "nothing"])
def test_what_stands_in_the_place_of_a_ledger_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    match kind:
        case "a directory":
            path.mkdir()
        case "a named pipe":
            os.mkfifo(path)
        case "a link to a device":
            path.symlink_to("/dev/zero")
    assert read(tmp_path) == Ledger()
    assert guardian_of(tmp_path) is None


def test_only_the_guardian_may_be_asked_for(tmp_path: Path) -> None:
    whole_ledger(tmp_path)
    assert guardian_of(tmp_path) == (os.getpid(), proc.started(os.getpid()))
