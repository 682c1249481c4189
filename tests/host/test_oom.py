"""The kernel's OOM killer, provoked for real where a cgroup with a memory limit can be made."""

import os
import sys
from pathlib import Path

import pytest

from pdsup.plan.model import Restart

GROUPS = Path("/sys/fs/cgroup/memory")
ONCE = Restart(first_delay_s=60.0, delay_s=60.0, jitter=0.0, max_failures=2)
GREEDY = "import sys; print('loads', flush=True); bytearray(256 << 20)"


@pytest.fixture
def narrow(make, until):
    """A cgroup of 32 MiB, which goes after the units in it."""
    group = GROUPS / f"pdsup-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(32 << 20))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield group
    for unit in make:
        unit.end()
    until(lambda: not (group / "cgroup.procs").read_text(), "an empty cgroup")
    group.rmdir()


def test_a_unit_that_the_oom_killer_ended_says_so(make, narrow):
    script = f'echo $$ > {narrow}/cgroup.procs; exec "$0" -Sc "$1"'
    unit = make("/bin/sh", "-c", script, sys.executable, GREEDY, restart=ONCE).start()
    reason = unit.until("BACKOFF").reason
    assert reason.startswith("killed by SIGKILL")
    assert "OOM killer" in reason
