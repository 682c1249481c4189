"""Causes that a run's end shows, and those it does not."""

from __future__ import annotations

import pytest

from pdsup.units.cause import LAST, Diagnosis, diagnose
from pdsup.units.process.exit import ExitStatus

FAILED, WRONG, KILLED = ExitStatus(1), ExitStatus(2), ExitStatus(None, "SIGKILL")
QUIET = ["server_args=...", "Load weight begin."]


@pytest.mark.parametrize(
    ("line", "name", "hopeless"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "CUDA out of memory", False),
        ("RuntimeError: CUDA error: out of memory", "CUDA out of memory", False),
        ("MemoryError", "out of memory", False),
        ("OSError: [Errno 12] Cannot allocate memory", "out of memory", False),
        ("terminate called after throwing 'std::bad_alloc'", "out of memory", False),
        ("OSError: [Errno 98] Address already in use", "address in use", False),
        ("RuntimeError: Address already in use (os error 98)", "address in use", False),
        ("ERROR: [Errno 98] error while attempting to bind on address ('0.0.0.0', 30000)",
         "address in use", False),
        ("ValueError: port 30000 is not available in 3 seconds", "address in use", False),
        ("launch_server.py: error: unrecognized arguments: --tp-sise 4", "wrong arguments", True),
        ("x: error: argument --port: invalid int value: 'a'", "wrong arguments", True),
        ("error: unexpected argument '--polcy' found", "wrong arguments", True),
        ("OSError: /m is not a local folder and is not a valid model identifier listed on",
         "model not found", True),
        ("OSError: /m does not appear to have a file named config.json.", "model not found", True),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/m/config.json'",
         "model not found", True),
        ("ModuleNotFoundError: No module named 'sgl_kernel'", "Python module not found", True),
        ("ImportError: libcuda.so.1: cannot open shared object file",
         "Python module not found", True),
        ("/usr/bin/python3: No module named sglang", "Python module not found", True),
        ("torch.distributed.DistBackendError: NCCL error in: x.cpp:1", "NCCL error", False),
        ("ncclRemoteError: A call failed possibly due to a network error", "NCCL error", False),
        ("[Rank 0] Watchdog caught collective operation timeout", "NCCL error", False),
        ("RuntimeError: CUDA error: an illegal memory access", "CUDA error", False),
    ],
)  # fmt: skip
def test_a_line_at_the_end_names_the_cause(line, name, hopeless):
    assert diagnose(FAILED, [*QUIET, line], 0) == Diagnosis(f"{name}: {line}", hopeless)


def test_the_first_of_what_follows_from_one_another_is_the_cause():
    lines = ["torch.OutOfMemoryError: CUDA out of memory.", "NCCL WARN connection closed by peer"]
    assert diagnose(KILLED, lines, 0).cause.startswith("CUDA out of memory: ")


def test_an_error_of_configuration_that_was_survived_is_not_hopeless():
    survived = ["ImportError: an optional module is missing", *["Decode batch"] * LAST]
    assert diagnose(FAILED, survived, 0).hopeless is False
    assert diagnose(FAILED, survived[:-1], 0).hopeless is True


@pytest.mark.parametrize("status", [KILLED, ExitStatus(0), ExitStatus(None)], ids=str)
def test_only_a_run_that_ended_by_an_exit_code_of_its_own_can_be_hopeless(status):
    assert diagnose(status, ["ModuleNotFoundError: No module named 'x'"], 0).hopeless is False


def test_the_oom_killer_is_named_only_where_it_can_have_been():
    assert diagnose(KILLED, QUIET, 1).cause == "out of memory: the kernel's OOM killer was active"
    assert "OOM" not in diagnose(KILLED, QUIET, 0).cause
    assert "OOM" not in diagnose(FAILED, QUIET, 1).cause


def test_an_unknown_cause_comes_with_the_last_lines():
    lines = ["one", "two", "three", "segfault \x1b[31mat\x07 0x0", "x" * 500 + "y" * 500]
    found = diagnose(ExitStatus(None, "SIGSEGV"), lines, 0)
    assert found == Diagnosis("", last_words=f"three | segfault at 0x0 | {'x' * 55} ... {'y' * 60}")


def test_a_progress_bar_leaves_room_for_other_last_words():
    bars = [f"[12:00:0{second}] Loading shards: {second}/9" for second in range(9)]
    found = diagnose(KILLED, ["one", "two", *bars, "[12:01] ready"], 0)
    assert found.last_words == "two | [12:00:08] Loading shards: 8/9 | [12:01] ready"
    assert diagnose(KILLED, ["7", "8"], 0).last_words == "8"


def test_without_any_output_nothing_is_said():
    assert diagnose(KILLED, [], 0) == Diagnosis("")
