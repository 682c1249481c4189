"""What ``pdsup up`` says from its start to its end."""

from pathlib import Path

import pytest

from pdsup.cli import up as up_module
from pdsup.cli.main import main
from pdsup.cli.screens.progress import is_up, missing
from pdsup.cli.terminal import fit
from pdsup.cli.wait import Outcome, Wait
from pdsup.plan.model import Node

CONFIGS = Path(__file__).parents[2] / "configs"
ADDRESSES = tuple(Node(name=f"node{i}", address=f"127.0.10.{i + 1}") for i in range(4))
NOW = 10_000.0
KILLED = {"reason": "gave up after 10 failures: killed by SIGKILL"}


@pytest.fixture
def up(monkeypatch, unit, node, status, capsys):
    """``pdsup up`` of the demo without its agents, on a terminal of some width: what it says."""

    def cluster(first, **changes):
        front = [
            unit("prefill-0", role="prefill", pid=4711, uptime_s=5),
            unit("router-0", first, kind="router", role=None, **changes),
        ]
        decode = unit("decode-0", first, since=NOW - 3, **changes)
        return status(node("node0", front), node("node2", [decode]))

    class Agents:
        """They end when Ctrl-C was pressed."""

        pressed = False
        trouble = None

        def __init__(self, *, allow_writable):
            assert not allow_writable

        def start(self, plan, run_dir):
            pass

        def wait(self):
            if self.pressed:
                return 0
            self.pressed = True
            raise KeyboardInterrupt

        def stop(self, say):
            if not hasattr(self, "stopped"):
                say("stopping everything")
            self.stopped = True

    def run(width, outcome):
        class Watched(Wait):
            """Sees the units load, and then come to an end."""

            def watch(self, timeout):
                last = {"reached": ("RUNNING", {"pid": 4712, "uptime_s": 1})}.get(
                    outcome.name.lower(), ("FATAL", KILLED)
                )
                for self.status in (cluster("STARTING"), cluster(last[0], **last[1])):
                    units = self.status.units
                    self.missing = missing(units, is_up, NOW, 8)
                    if self.status.nodes[0].units[1].state == "STARTING":
                        self._view.show(units, self.missing)
                return outcome

        monkeypatch.setattr(up_module, "Agents", Agents)
        monkeypatch.setattr(up_module, "Wait", Watched)
        monkeypatch.setattr(up_module, "loopback_nodes", lambda draft: ADDRESSES)
        monkeypatch.setattr(up_module, "refuse_busy_ports", lambda plan: None)
        monkeypatch.setattr(up_module, "prepare", lambda run_dir, text, origin, mode: None)
        monkeypatch.setattr(fit, "width", lambda stream: width)
        monkeypatch.chdir(CONFIGS)
        code = main(["up", "demo.yaml", "--run-dir", "/runs/demo-20261123-120000"])
        out, err = capsys.readouterr()
        assert out == ""
        return [*err.splitlines(), f"exit status {code}"]

    return run


@pytest.mark.parametrize("width", [80, 160])
def test_a_cluster_that_comes_up_and_is_ended_looks_as_it_was_looked_at(up, golden, width):
    golden(f"up-{width}", lines := up(width, Outcome.REACHED))
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 160])
def test_a_cluster_that_can_not_come_up_looks_as_it_was_looked_at(up, golden, width):
    golden(f"up-lost-{width}", lines := up(width, Outcome.LOST))
    assert max(map(len, lines)) <= width
