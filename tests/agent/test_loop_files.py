"""Files of the run directory, whose file system may hang, are not touched on the event loop."""

import signal

from tests.cli.conftest import run

# An agent that notes which of its functions touch a file of the run directory on the loop.
WATCHED = """
import os, sys, threading
from pathlib import Path
from pdsup import launch
from pdsup.agent.agent import Agent

run_dir = os.path.realpath(sys.argv[sys.argv.index("--run-dir") + 1]) + "/"
loop, seen, serve = threading.get_ident(), Path(os.environ["SEEN"]), Agent.run
begun = False

def note(event, arguments):
    names = ("open", "os.chmod", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename",
             "os.rmdir", "os.scandir", "os.truncate")
    if not begun or event not in names or threading.get_ident() != loop:
        return
    path = arguments[0]
    if not (isinstance(path, (str, bytes)) and os.fsdecode(path).startswith(run_dir)):
        return
    frame, where = sys._getframe(1), []
    while frame:
        where.append(frame.f_code.co_filename.rpartition("/pdsup/")[2] + " " + frame.f_code.co_name)
        frame = frame.f_back
    with seen.open("a") as file:
        file.write(event + ": " + " < ".join(where) + chr(10))

async def served(agent):
    global begun
    begun = True
    return await serve(agent)

Agent.run = served
sys.addaudithook(note)
sys.exit(launch.main(sys.argv[1:]))
"""
# What still does: a log as its unit starts, one in pipe mode, and the last words of a run.
KNOWN = ("units/logs/output.py begin", "units/logs/rotate.py ", "units/cause.py diagnose")


def test_only_logs_are_touched_on_the_loop(agents, wait_for, tmp_path):
    agents.environ["SEEN"] = str(tmp_path / "seen")
    once = {"max_failures": 2, "first_delay_s": 0.01, "delay_s": 0.01}
    often = {"period_s": 0.1, "timeout_s": 10}
    writes = ("sh", "-c", "while :; do echo here; sleep 0.1; done")
    agents.start(
        agents.plan(
            agents.unit("said", *writes, probes={
                "readiness": {"checks": [{"log": "here"}], **often},
                "liveness": {"checks": [{"command": ["true"]}], **often},
            }),
            agents.unit("piped", *writes, log={"mode": "pipe"}),
            agents.unit("drained", stop={"drain": ["true"], "drain_timeout_s": 60}),
            agents.unit("fails", "false", restart=once),
            agents.unit("hangs", restart={"first_delay_s": 0.01}, probes={
                "liveness": {"checks": [{"command": ["false"]}], **often, "failures": 1},
            }),
        ),
        program=("-c", WATCHED),
    )  # fmt: skip
    for name in ("said", "piped", "drained"):
        agents.reaches("RUNNING", name)
    agents.reaches("FATAL", "fails")
    wait_for(lambda: agents.look("hangs")["run"] > 1)
    for words in (("stop", "drained"), ("evidence", "said"), ("reload",), ("explain", "said")):
        done = run(agents, *words)
        assert done.returncode == 0, done.stderr
    agents.signal(signal.SIGHUP)
    wait_for(lambda: "the plan has not changed" in agents.errors())
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 1}  # one unit was FATAL
    seen = (tmp_path / "seen").read_text().splitlines()
    assert [line for line in seen if not any(known in line for known in KNOWN)] == []
    assert all(any(known in line for line in seen) for known in KNOWN)
