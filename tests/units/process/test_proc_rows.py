"""The processes of a unit, as an explanation lists them."""

import subprocess
import sys

import pytest

from pdsup.units.process import proc
from tests.bed.agents import wait_for

FAMILY = "import subprocess, sys; c = subprocess.Popen(['cat']); print(c.pid, flush=True); c.wait()"


@pytest.mark.processes
def test_processes_are_listed_parents_first_with_what_they_use_and_the_rest_is_counted():
    parent = subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        child = int(parent.stdout.readline())
        wait_for(lambda: proc.rows(child, 9)[0][0].memory)  # none in the middle of its exec
        (first, second), more = proc.rows(parent.pid, 9)
        assert [(one.pid, one.depth) for one in (first, second)] == [(parent.pid, 0), (child, 1)]
        assert first.memory > second.memory > 0
        assert (first.state in "RS", more) == (True, 0)
        assert [one.pid for one in proc.rows(parent.pid, 1)[0]] == [parent.pid]
        assert proc.rows(parent.pid, 1)[1] == 1
    finally:
        parent.communicate()
    assert proc.rows(parent.pid, 9) == ([], 0)
