"""What an agent that was killed has left is damaged: the next one does without. The unit that runs
is neither killed nor started a second time.
"""

import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.test_damaged_run import DAMAGES

pytestmark = pytest.mark.processes
# Where each lies: on the node, or in the run directory.
ON_THE_NODE = ("ledger", "lock", "plans/*.yaml", "../run")
SHARED = (
    "token",
    "view-token",
    "plan.yaml",
    "events/node0.jsonl",
    "agents/node0.json",
    "logs/*.out",
)


def found(agents, name):
    base = agents.socket().parent if name in ON_THE_NODE else agents.run_dir
    return next(base.glob(name)) if "*" in name else base / name


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "private"])
def test_the_next_agent_does_without_what_is_damaged(agents, wait_for, damage):
    plan = agents.plan(agents.unit("job"))
    agents.start(plan)
    pid = agents.reaches("RUNNING", "job")["pid"]
    agents.journal()
    for name in (*ON_THE_NODE, *SHARED):
        path = found(agents, name)
        agents.signal(signal.SIGKILL)
        agents.ended()
        sound = path.readlink() if path.is_symlink() else path.read_bytes()
        if path.is_symlink():
            path.unlink()
            path.write_bytes(b"x" * 20)
        DAMAGES[damage](path)
        agents.start(plan)
        assert agents.reaches("RUNNING", "job")["pid"] == pid, name
        assert "Traceback" not in agents.errors()
        put_back(path, sound)
    runs = [line["run"] for line in agents.journal() if line.get("to") == "STARTING"]
    assert runs in ([1], [])  # the journal was damaged too


def put_back(path, sound):
    """Puts back what was there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if isinstance(sound, Path):
        path.symlink_to(sound)
    else:
        path.write_bytes(sound)
        path.chmod(0o600)
