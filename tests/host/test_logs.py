"""What real units write, straight to their log and through a pipe."""

import os
import signal
import sys
from pathlib import Path

import pytest

from pdsup.plan.model import Log, Restart, Stop
from pdsup.units.logs import files

AT_ONCE = Restart(first_delay_s=0.0, delay_s=0.0, jitter=0.0, max_failures=4)
PIPE = Log(mode="pipe")
MODES = pytest.mark.parametrize("log", [Log(), PIPE], ids=lambda log: log.mode)


def parts(path: Path) -> list[bytes]:
    """The parts of a log, the oldest first; it must be at rest: parts are renamed."""
    return [Path(files.aged(str(path), age)).read_bytes() for age in reversed(ages(path))]


def ages(path: Path) -> list[int]:
    """The numbers of the parts of a log, the newest first."""
    return sorted(files.ages(path.name, (entry.name for entry in path.parent.iterdir())))


@pytest.fixture
def settings(log):
    """What ``make`` takes for a mode."""
    return {"log_settings": log}


@MODES
def test_every_run_begins_with_a_line_that_names_it_and_how_the_last_one_ended(make, settings):
    unit = make("exits", "5", restart=AT_ONCE, **settings).start()
    unit.until("FATAL")
    lines = unit.log.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        f"{unit.name} run 1 begins",
        *(f"{unit.name} run {run} begins, after: exited with status 5" for run in (2, 3, 4)),
    ]
    assert all(line.startswith("=== 20") for line in lines)


@MODES
def test_a_run_that_died_in_the_middle_of_a_line_does_not_hide_the_next_beginning(make, settings):
    unit = make("crashes", "{file}", restart=AT_ONCE, **settings).start()
    unit.until("FATAL")
    lines = unit.log.read_text().splitlines()
    assert lines[1::2] == ["loading 12 %"] * 4
    assert [line[:4] for line in lines[::2]] == ["=== "] * 4


@MODES
def test_a_log_that_exists_is_appended_to(make, settings):
    unit = make("sleep", **settings)
    unit.log.write_text("before\n")
    unit.start().until("RUNNING")
    assert unit.log.read_text().startswith("before\n=== ")


@MODES
def test_a_full_disk_is_told_and_does_not_stop_supervision(make, settings, tmp_path):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    unit = make("floods", "{file}", log=full, **settings).start()
    problem = "cannot write its log: No space left on device"
    unit.until("RUNNING", lambda news: news.log_problem == problem)
    assert unit.stop().until("STOPPED").last == "killed by SIGTERM"


@MODES
def test_a_log_that_can_not_be_opened_is_told_and_written_as_soon_as_it_can(
    make, settings, tmp_path, until
):
    blocked = tmp_path / "logs"
    blocked.write_text("a file where the directory should be")
    unit = make("tells_twice", "{file}", log=blocked / "unit.out", **settings).start()
    unit.until("RUNNING", lambda news: news.log_problem == "cannot write its log: Not a directory")
    unit.pids()
    blocked.unlink()
    unit.until("RUNNING", lambda news: news.log_problem == "")
    until(lambda: unit.log.read_text().endswith("run 1 begins\nfirst\n"))
    unit.file.unlink()
    until(lambda: unit.log.read_text().endswith("run 1 begins\nfirst\nsecond\n"))


@MODES
def test_a_log_directory_that_vanished_is_made_again(make, settings, tmp_path):
    unit = make("sleep", log=tmp_path / "gone" / "unit.out", restart=AT_ONCE, **settings).start()
    pid = unit.until("RUNNING").pid
    unit.log.unlink()
    unit.log.parent.rmdir()
    os.kill(pid, signal.SIGKILL)
    unit.until("RUNNING", lambda news: news.run == 2)
    assert "run 2 begins" in unit.log.read_text()


@MODES
def test_what_a_drain_command_tells_is_in_the_log_of_its_unit(make, settings):
    drain = Stop(drain=("/bin/echo", "draining"), timeout_s=5.0)
    unit = make("sleep", stop=drain, **settings).start()
    unit.until("RUNNING")
    unit.stop().until("STOPPED")
    assert unit.log.read_text().splitlines()[1:] == ["draining"]


# -- through a pipe ----------------------------------------------------------------------------


def test_a_child_that_floods_a_pipe_ends_and_its_log_is_in_parts(make, until):
    log = Log(mode="pipe", max_bytes=1 << 20, keep=1000)
    unit = make("floods", "{file}", log_settings=log).start()
    until(lambda: len(ages(unit.log)) > 3)
    assert unit.stop().until("STOPPED").last == "killed by SIGTERM"
    first, *others = parts(unit.log)
    assert {len(part) // 1000 for part in others[:-1]} == {1049}
    marker, _, text = b"".join([first, *others]).partition(b"\n")
    assert marker.endswith(b"run 1 begins")
    # It was ended in the middle of a line, perhaps.
    assert text == ((b"x" * 999 + b"\n") * (len(text) // 1000 + 1))[: len(text)]


def test_the_last_words_of_a_run_come_before_the_next_one(make):
    words = (sys.executable, "-S", "-c", "import os; os.write(1, b'x' * 200_000); os.abort()")
    unit = make(*words, restart=AT_ONCE, log_settings=PIPE).start()
    unit.until("FATAL")
    lines = unit.log.read_text().splitlines()
    assert [len(line) for line in lines[1::2]] == [200_000] * 4


def test_an_agent_that_watches_a_unit_through_a_pipe_keeps_no_descriptor_of_it(
    make, supervising, until
):
    def descriptors():
        return len(list(Path(f"/proc/{supervising.process.pid}/fd").iterdir()))

    make("sleep").start().until("RUNNING")
    before = descriptors()
    unit = make("exits", "5", restart=AT_ONCE, log_settings=PIPE).start()
    unit.until("FATAL")
    missing = make("/no/such/engine", restart=AT_ONCE, log_settings=PIPE).start()
    missing.until("FATAL")
    until(lambda: descriptors() <= before)


def test_a_child_has_its_pipe_open_for_both_directions_so_that_it_can_not_break(make):
    unit = make("sleep", log_settings=PIPE).start()
    pid = unit.until("RUNNING").pid
    info = Path(f"/proc/{pid}/fdinfo/1").read_text()
    flags = int(dict(line.split(":") for line in info.splitlines())["flags"], 8)
    assert flags & os.O_ACCMODE == os.O_RDWR
    assert not flags & os.O_NONBLOCK
