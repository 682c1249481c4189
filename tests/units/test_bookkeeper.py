"""Notes of what runs, and the clean-up after an agent that was killed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.units.bookkeeper import NOTES, Bookkeeper, clean_up, end_leftovers


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", "sleep 1000 & wait"], start_new_session=True) as process:
        yield process
        process.kill()


def test_a_noted_process_and_all_below_it_are_ended(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    Bookkeeper(str(tmp_path)).note("worker", sleeper.pid)
    assert clean_up(tmp_path) == []
    assert sleeper.wait(5) == -9
    assert not tmp_path.exists()


def test_a_process_that_was_given_the_pid_since_is_left_alone(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / NOTES).mkdir()
    (tmp_path / NOTES / "worker").write_text(f"{sleeper.pid} 1")
    assert end_leftovers(tmp_path) == []
    assert sleeper.poll() is None


@pytest.mark.parametrize("note", ["", "x y", "1", "99999999 5"])
def test_a_note_that_names_nothing_is_passed_over(note: str, tmp_path: Path) -> None:
    (tmp_path / NOTES).mkdir()
    (tmp_path / NOTES / "worker").write_text(note)
    assert end_leftovers(tmp_path) == []


def test_a_unit_that_does_not_run_has_no_note(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    notes = Bookkeeper(str(tmp_path))
    notes.note("worker", sleeper.pid)
    notes.note("worker", None)
    assert list((tmp_path / NOTES).iterdir()) == []
    assert end_leftovers(tmp_path) == []
    assert sleeper.poll() is None


def test_where_nothing_can_be_noted_supervision_goes_on(tmp_path: Path) -> None:
    Bookkeeper(str(tmp_path / "missing" / "deeper")).note("worker", 1)
