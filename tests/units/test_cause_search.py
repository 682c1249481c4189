"""What the kernel and a log tell of an end. The OOM killer's counts are files of the test's own:
to make it work for real takes a limit that not every machine lets one set."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdsup.units import cause
from pdsup.units.cause import CauseSearch
from pdsup.units.process.exit import ExitStatus

KILLED, CRASHED = ExitStatus(None, "SIGKILL"), ExitStatus(None, "SIGSEGV")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with both kinds of cgroups."""
    monkeypatch.setattr(cause, "FRESH_S", 0.0)
    files = {
        "proc/vmstat": "nr_free_pages 7\noom_kill 3\n",
        "proc/self/cgroup": "4:memory:/job\n1:cpu,cpuacct:/\n0::/slurm/job\n",
        "sys/fs/cgroup/slurm/job/memory.events": "oom 9\noom_kill 1\noom_group_kill 0\n",
        "sys/fs/cgroup/memory/job/memory.oom_control": "under_oom 0\noom_kill 2\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "proc/vmstat",
        "sys/fs/cgroup/slurm/job/memory.events",
        "sys/fs/cgroup/memory/job/memory.oom_control",
    ],
)
def test_a_kill_since_the_start_of_the_run_is_seen_wherever_it_is_counted(
    kernel: Path, file: str
) -> None:
    one = CauseSearch(str(kernel))
    before = one.oom_kills()
    assert one.diagnose(KILLED, "/none", 0, before).cause == ""
    (kernel / file).write_text("oom_kill 4\n")
    assert "OOM killer" in one.diagnose(KILLED, "/none", 0, before).cause
    assert one.diagnose(ExitStatus(1), "/none", 0, before).cause == ""


def test_a_kernel_that_counts_nothing_has_killed_nothing(tmp_path: Path) -> None:
    assert CauseSearch(str(tmp_path)).oom_kills() == 0


def test_this_machines_kernel_can_be_asked() -> None:
    assert CauseSearch().oom_kills() >= 0


def test_only_the_words_of_this_run_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ModuleNotFoundError: No module named 'x'\n")
    start = log.stat().st_size
    one = CauseSearch()
    assert one.diagnose(ExitStatus(1), str(log), 0, 0).hopeless
    assert one.diagnose(ExitStatus(1), str(log), start, 0).cause == ""
    with log.open("a") as out:
        out.write("loading\rloading 50 %\rsegment violated")
    found = one.diagnose(ExitStatus(1), str(log), start, 0)
    assert (found.cause, found.last_words) == ("", "loading | loading 50 % | segment violated")


def test_a_log_without_end_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("CUDA out of memory\n" + "x" * cause.MOST + "\nNCCL error\n")
    assert CauseSearch().diagnose(ExitStatus(1), str(log), 0, 0).cause == "NCCL error: NCCL error"


ACCESS = '[12:00:00] 127.0.0.1 "GET /model_info HTTP/1.1" 200\n'


@pytest.mark.parametrize("count", [3, 5_000], ids=["a few", "more than is read at first"])
def test_lines_about_probes_are_no_last_words(tmp_path: Path, count: int) -> None:
    log = tmp_path / "log"
    log.write_text("loading\nserving\n" + ACCESS * count)
    found = CauseSearch().diagnose(CRASHED, str(log), 0, 0, ['"GET /model_info'])
    assert found.last_words == "loading | serving"


def test_a_run_that_wrote_about_probes_alone_has_those_for_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(ACCESS)
    found = CauseSearch().diagnose(CRASHED, str(log), 0, 0, ['"GET '])
    assert found.last_words == ACCESS.strip()
