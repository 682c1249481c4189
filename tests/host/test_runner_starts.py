"""What must hold before a real unit starts: an open gate, and ports and GPUs that nobody holds."""

import json
import os
import signal
import sys

import psutil

from pdsup.plan.model import Check, Probe, Probes, Restart

AT_ONCE = Restart(first_delay_s=0.0, delay_s=0.0, jitter=0.0, max_failures=4)
PORT = 8000


def take_half_a_second(make):
    """In which rechecks come by the clock of the units themselves."""
    five_times = Restart(first_delay_s=0.1, delay_s=0.1, factor=1.0, jitter=0.0, max_failures=6)
    make("exits", restart=five_times).start().until("FATAL")


def test_a_unit_waits_for_its_gate_and_says_for_what(make):
    unit = make("sleep").do("set_gate", "waits for decode-0 (STARTING on node1)").start()
    assert unit.until("WAITING").reason == "waits for decode-0 (STARTING on node1)"
    unit.do("set_gate", "waits for decode-1 (no report from its node)")
    unit.until("WAITING", lambda news: "decode-1" in news.reason)
    unit.do("set_gate", None).until("RUNNING")
    assert unit.states == ["WAITING", "STARTING", "RUNNING"]


def test_a_gate_that_closes_again_leaves_a_running_unit_alone_but_holds_its_restart(make):
    unit = make("sleep", restart=AT_ONCE).start()
    pid = unit.until("RUNNING").pid
    unit.do("set_gate", "waits for any decode")
    os.kill(pid, signal.SIGKILL)
    unit.until("WAITING")
    assert unit.states == ["STARTING", "RUNNING", "BACKOFF", "WAITING"]
    unit.do("set_gate", None).until("RUNNING", lambda news: news.run == 2)


def test_a_unit_that_is_stopped_while_it_waits_does_not_start_when_the_gate_opens(make):
    unit = make("sleep").do("set_gate", "waits for decode-0").start()
    unit.until("WAITING")
    unit.stop().until("STOPPED")
    unit.do("set_gate", None).start().until("RUNNING")
    assert unit.ever(lambda news: news.state == "STARTING").event == "Start"


def test_a_port_held_by_a_stranger_is_waited_for_and_the_stranger_is_named_and_left_alone(
    make, stranger, address
):
    holder = stranger("listens", address, str(PORT))
    unit = make("sleep", address=address, ports={"http": PORT}).start()
    said = unit.until("WAITING").reason
    assert said.startswith(f"port {PORT} is held by pid {holder.pid} ({sys.executable}")
    take_half_a_second(make)
    assert holder.poll() is None
    holder.kill()
    holder.wait()
    unit.until("RUNNING")
    assert unit.states == ["WAITING", "STARTING", "RUNNING"]
    assert len([news for news in unit.news if news.state == "WAITING"]) == 1


def test_a_port_that_stays_held_is_no_failure(make, stranger, address):
    holder = stranger("listens", address, str(PORT))
    never = Restart(max_failures=0)
    unit = make("sleep", address=address, ports={"http": PORT}, restart=never).start()
    unit.until("WAITING")
    psutil.Process(holder.pid).suspend()  # it does not even answer
    unit.do("set_gate", "waits for a").until("WAITING", lambda news: news.reason == "waits for a")
    unit.do("set_gate", None).until("WAITING", lambda news: "is held by" in news.reason)
    unit.stop().until("STOPPED")
    assert unit.states == ["WAITING", "STOPPED"]
    assert holder.poll() is None


def test_a_port_that_its_own_leftover_holds_is_freed_and_not_waited_for(make, address):
    unit = make(
        *("leaves_a_listener", "{file}", address, str(PORT)),
        address=address,
        ports={"http": PORT},
        restart=AT_ONCE,
    ).start()
    main = unit.until("RUNNING").pid
    unit.pids(2)
    os.kill(main, signal.SIGKILL)
    unit.until("RUNNING", lambda news: news.run == 2)
    assert "WAITING" not in unit.states


def test_an_address_of_another_machine_is_waited_for_and_named(make):
    unit = make("sleep", address="192.0.2.1", ports={"http": PORT}).start()
    assert unit.until("WAITING").reason == f"192.0.2.1:{PORT}: not an address of this node"
    unit.stop().until("STOPPED")


DRIVER = """
import json, os, types
class NVMLError(Exception): pass
nvmlInit = nvmlShutdown = lambda: None
nvmlDeviceGetHandleByIndex = int
nvmlDeviceGetCount = lambda: 2
here = os.path.dirname(__file__)
def nvmlDeviceGetComputeRunningProcesses(gpu):
    with open(os.path.join(here, "asked"), "a") as asked:
        asked.write(f"{gpu} ")
    with open(os.path.join(here, "held")) as held:
        found = json.load(held)
    return [types.SimpleNamespace(pid=p, usedGpuMemory=m) for g, p, m in found if g == gpu]
"""


def test_memory_on_its_gpus_is_waited_for_and_who_holds_it_is_named(
    begin_supervising, make_in, stranger, address, tmp_path, monkeypatch
):
    def hold(*held):
        (tmp_path / "new").write_text(json.dumps(held))
        (tmp_path / "new").replace(tmp_path / "held")

    (tmp_path / "pynvml.py").write_text(DRIVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    pid = stranger("listens", address, str(PORT)).pid
    hold((1, pid, 7 << 30), (0, pid, 500 << 20))
    make = make_in(begin_supervising())
    make("sleep").start().until("RUNNING")
    make("sleep", gpus=(0,), bind="any").start().until("RUNNING")
    make("sleep", gpus=(0, 1)).start().until("RUNNING")  # under pdsup up nodes share the GPUs
    unit = make("sleep", gpus=(0, 1), bind="any").start()
    said = unit.until("WAITING").reason
    assert said.startswith(f"7.0 GiB of GPU 1 are held by pid {pid} ({sys.executable}")
    hold()
    unit.until("RUNNING")
    assert unit.states == ["WAITING", "STARTING", "RUNNING"]


def test_a_gate_that_closes_while_its_gpus_are_looked_at_holds_the_start(
    begin_supervising, make_in, until, tmp_path, monkeypatch
):
    (tmp_path / "pynvml.py").write_text(DRIVER)
    os.mkfifo(tmp_path / "held")  # the driver takes until somebody writes to it
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    make = make_in(begin_supervising())
    unit = make("sleep", gpus=(0,), bind="any").start()
    until((tmp_path / "asked").exists)
    unit.do("set_gate", "waits for decode-0")
    make("sleep").start().until("RUNNING")  # so the gate is closed by now
    (tmp_path / "held").write_text("[]")
    assert unit.until("WAITING").reason == "waits for decode-0"
    assert unit.states == ["WAITING"]


def test_memory_on_its_gpus_is_looked_at_while_a_unit_starts(
    begin_supervising, make_in, until, tmp_path, monkeypatch
):
    (tmp_path / "pynvml.py").write_text(DRIVER)
    (tmp_path / "held").write_text("[]")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    asked, ready = tmp_path / "asked", tmp_path / "ready"
    startup = Probe(
        checks=(Check(command=("test", "-e", str(ready))),),
        period_s=0.05, timeout_s=10.0, deadline_s=1000.0, limit_s=2000.0, quiet_s=0.5,
    )  # fmt: skip
    make = make_in(begin_supervising())
    unit = make("sleep", gpus=(0, 1), probes=Probes(startup=startup)).start()
    until(lambda: asked.exists() and asked.read_text().startswith("0 1 0 1 "))
    ready.touch()
    unit.until("RUNNING")
