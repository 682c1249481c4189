"""What /proc tells, of real processes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pdsup.units.process import proc
from pdsup.units.process.tree import TAG_LIMIT

pytestmark = pytest.mark.processes

LIMIT = 60.0  # seconds, for anything that is going to happen
GONE = 1 << 22  # the kernel's pids are below it


@pytest.fixture
def family() -> Iterator[list[int]]:
    """The pids of a process, its child and its grandchild."""
    script = "echo $$; sh -c 'echo $$; sleep 1000 & echo $!; wait' & wait"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(3)]
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def test_a_tree_is_a_process_and_everything_below_it_parents_first(family: list[int]) -> None:
    assert [pid for pid, _ in proc.tree(family[0])] == family
    assert proc.children(family[0]) == [family[1]]


def test_an_identity_has_the_start_time_of_its_process(family: list[int]) -> None:
    for pid, started in proc.tree(family[0]):
        assert proc.started(pid) == started
    assert proc.started(os.getpid()) != started


def test_a_child_of_any_thread_is_a_child() -> None:
    children: list[subprocess.Popen[bytes]] = []
    may_end = threading.Event()

    def parent() -> None:
        children.append(subprocess.Popen(["sleep", "1000"]))
        may_end.wait(LIMIT)

    thread = threading.Thread(target=parent)
    thread.start()
    end = time.monotonic() + LIMIT
    while not children:
        assert time.monotonic() < end
        time.sleep(0.001)
    try:
        assert children[0].pid in proc.children(os.getpid())
    finally:
        children[0].kill()
        children[0].wait()
        may_end.set()
        thread.join()


def test_a_process_that_is_gone_is_nothing() -> None:
    assert proc.children(GONE) == []
    assert proc.tree(GONE) == []
    assert proc.leftover(GONE) is None
    assert proc.started(GONE) is None


def test_a_process_shows_its_session_its_mark_and_its_tag() -> None:
    env = {"A": "b", "PDSUP_RUN": "bench/decode-0/3", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "1000"], env=env, start_new_session=True) as process:
        resource.prlimit(process.pid, TAG_LIMIT, (2**30, 2**30))
        # In the middle of its exec a process has no environment yet.
        end = time.monotonic() + LIMIT
        while (seen := proc.leftover(process.pid)) and not seen.mark and time.monotonic() < end:
            time.sleep(0.001)
        process.kill()
    assert seen is not None
    assert (seen.session, seen.mark, seen.tag) == (process.pid, "bench/decode-0/3", 2**30)


def test_the_tag_of_a_process_whose_limits_are_refused_is_seen_all_the_same(monkeypatch) -> None:
    """As that of a unit that sudo has made another user's."""

    def refuse(pid: int, limit: int) -> tuple[int, int]:
        raise PermissionError

    with subprocess.Popen(["sleep", "1000"]) as tagged, subprocess.Popen(["sleep", "9"]) as other:
        resource.prlimit(tagged.pid, TAG_LIMIT, (2**30, 2**30))
        monkeypatch.setattr(resource, "prlimit", refuse)
        found = proc.tagged({2**30})
        for each in (tagged, other):
            each.kill()
    assert found == [tagged.pid]


def test_a_process_without_mark_or_tag_shows_none() -> None:
    with subprocess.Popen(["sleep", "1000"], env={"XPDSUP_RUN": "x"}) as process:
        seen = proc.leftover(process.pid)
        process.kill()
    assert seen is not None
    assert (seen.mark, seen.tag) == (None, None)


def test_a_name_of_any_bytes_confuses_nobody() -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'\\xff) R 1 ( x'); print(flush=True)"
    command = [sys.executable, "-S", "-c", code + "; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = proc.leftover(process.pid)
        assert [pid for pid, _ in proc.tree(process.pid)] == [process.pid]
        process.communicate()
    assert seen is not None
    assert seen.session == os.getsid(0)


def test_what_a_tree_of_processes_uses_is_added_up_in_one_pass_for_all_roots():
    busy = "import time; b = bytearray(30 << 20)\nwhile time.process_time() < 0.1: pass"
    script = f"{sys.executable} -S -E -c '{busy}\nprint(1, flush=True); time.sleep(1000)'"
    with subprocess.Popen(
        ["sh", "-c", f"{script} & wait"], stdout=subprocess.PIPE, start_new_session=True
    ) as root:
        try:
            assert root.stdout.readline() == b"1\n"
            found = proc.usage({"tree": root.pid, "own": os.getpid(), "gone": 2**22 + 1})
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    assert found.keys() == {"tree", "own"}
    assert found["tree"].processes == 2
    assert 0.09 <= found["tree"].cpu_s <= 5
    assert 30 << 20 <= found["tree"].memory <= 100 << 20
    assert found["own"].processes >= 3
