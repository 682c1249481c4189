"""The benchmark itself, small: whatever becomes of the command line and the API, it still works."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
SMALL = ["--peers", "pdsup", "--rounds", "1", "--few", "3", "--many", "4", "--rest", "0.2",
         "--log-mib", "1"]  # fmt: skip


@pytest.fixture
def short_folder():
    """Sockets lie below it, and their paths have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        yield Path(folder)


def test_the_benchmark_measures_this_program_and_leaves_nothing(short_folder):
    done = subprocess.run(
        [sys.executable, "-m", "bench", *SMALL],
        env={**os.environ, "TMPDIR": str(short_folder)},
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for title in ("exec, median, ms", "3 killed at once", "start of 4 units", "3 idle units",
                  "3 units probed by HTTP",
                  "pdsup's on 10 nodes", "--json", "--help",
                  "of 3 units by its API", "a file, MB/s"):  # fmt: skip
        (row,) = (line for line in done.stdout.splitlines() if title in line and "|" in line)
        assert row.split("|")[3].strip()
    assert list(short_folder.iterdir()) == []
