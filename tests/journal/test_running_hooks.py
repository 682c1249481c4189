"""Hooks, told by real agents: by real commands, and by posts to a server of the test."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.bed import forks

# For 127.0.0.1, from 2020 to 2120, with its key.
CERTIFICATE = Path(__file__).with_name("server.pem")
# A path is one argument, and the file beside it has every event on a line of its own.
KEEP = "cat >> "
# Ignores TERM, and has a family that left its session.
HANGS = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' &); sleep 1000"


@pytest.fixture
def started(agents):
    """Agents of a plan with hooks, and what these were told: lines of ``told`` in its directory."""

    def start(*units, hooks, nodes=("node0",), **how):
        plan = agents.plan(*units, nodes=len(nodes))
        plan.write_text(json.dumps({**json.loads(plan.read_text()), "hooks": hooks}))
        agents.start(plan, *nodes, **how)
        return plan

    return start


def keeping(agents, *events, **more):
    return {"events": events, "command": ["sh", "-c", f"{KEEP}{agents.directory}/told"], **more}


def told(agents):
    path = agents.directory / "told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kill(agents, unit, node="node0"):
    os.kill(agents.reaches("RUNNING", unit, node)["pid"], signal.SIGKILL)


def test_a_command_gets_each_event_that_it_wants_as_json_on_its_stdin(agents, started, wait_for):
    started(agents.unit("a"), hooks=[keeping(agents, "down", "restart")])
    kill(agents, "a")
    wait_for(lambda: len(told(agents)) == 2)
    down, restart = told(agents)
    assert (down["hook"], restart["hook"]) == ("down", "restart")
    assert (down["cluster"], down["node"], down["unit"], down["run"]) == ("small", "node0", "a", 1)
    assert (down["from"], down["to"], down["reason"]) == ("RUNNING", "BACKOFF", "killed by SIGKILL")
    lines = agents.journal()
    for event in (down, restart):
        rest = {name: value for name, value in event.items() if name not in ("hook", "cluster")}
        assert rest in lines


def test_every_node_tells_its_own_and_the_first_one_of_nodes_that_are_lost(
    agents, started, wait_for
):
    units = [agents.unit("a"), agents.unit("b", node="node1")]
    started(*units, hooks=[keeping(agents, "down", "node-lost", "node-back")],
            nodes=("node0", "node1"))  # fmt: skip
    wait_for(lambda: agents.status(query="?all=1")["node1"]["agent"]["reachable"])
    kill(agents, "b", "node1")
    wait_for(lambda: told(agents))
    os.kill(agents.processes["node1"].pid, signal.SIGKILL)
    wait_for(lambda: len(told(agents)) == 2)
    down, lost = told(agents)
    assert (down["hook"], down["node"], down["unit"]) == ("down", "node1", "b")
    assert (lost["hook"], lost["node"], lost["unit"]) == ("node-lost", "node0", None)
    assert (lost["event"]["type"], lost["event"]["node"]) == ("NodeLost", "node1")
    assert lost["reason"] == f"node1: {lost['event']['problem']}"


def test_an_agent_that_takes_over_tells_nothing_again(agents, started, wait_for):
    plan = started(agents.unit("a"), hooks=[keeping(agents, "ready", "down", "restart")])
    wait_for(lambda: told(agents))
    os.kill(agents.processes["node0"].pid, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    agents.start(plan)
    kill(agents, "a")
    wait_for(lambda: len(told(agents)) == 4)
    assert [one["hook"] for one in told(agents)] == ["ready", "down", "restart", "ready"]


def test_a_plan_that_is_changed_while_it_runs_changes_who_is_told(agents, started, wait_for):
    plan = started(agents.unit("a"), hooks=[keeping(agents, "ready")], program=forks.guarded)
    wait_for(lambda: told(agents))
    before = agents.look("a")["pid"]
    hooks = [keeping(agents, "down")]
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "hooks": hooks}))
    first = agents.agent()
    agents.tell("node0", "/v1/reload", {"plan": None, "dry_run": False})
    wait_for(lambda: agents.agent() not in (None, first))
    assert agents.look("a")["pid"] == before
    kill(agents, "a")
    wait_for(lambda: len(told(agents)) == 2)
    assert [one["hook"] for one in told(agents)] == ["ready", "down"]


def test_an_agent_that_takes_over_ends_what_the_last_one_told_with(agents, started, wait_for):
    script = f"touch {agents.directory}/begun; {HANGS}"
    hook = {"events": ["ready"], "command": ["sh", "-c", script], "timeout_s": 600.0}
    plan = started(agents.unit("a"), hooks=[hook])
    wait_for((agents.directory / "begun").exists)
    os.kill(agents.processes["node0"].pid, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    assert hook_processes(agents)
    agents.start(plan)
    wait_for(lambda: hook_processes(agents) == [])
    assert agents.look("a")["run"] == 1


def test_a_command_that_fails_is_told_in_the_log_with_its_last_words_and_nothing_else_happens(
    agents, started, wait_for
):
    hooks = [
        {"events": ["ready"], "command": ["sh", "-c", "echo no mail; exit 3"]},
        {"events": ["ready"], "command": ["/no/such/program"]},
        keeping(agents, "ready"),
    ]
    started(agents.unit("a"), hooks=hooks)
    wait_for(lambda: agents.errors().count("hook failed") == 2)
    assert "exited with status 3: no mail" in agents.errors()
    assert "/no/such/program: No such file or directory" in agents.errors()
    wait_for(lambda: told(agents))
    assert agents.look("a")["state"] == "RUNNING"


def test_a_node_without_descriptors_for_a_command_goes_on(agents, started, wait_for, monkeypatch):
    def none_left(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "memfd_create", none_left)
    started(agents.unit("a"), hooks=[keeping(agents, "ready", "restart")])
    wait_for(lambda: "Too many open files" in agents.errors())
    kill(agents, "a")
    wait_for(lambda: agents.look("a")["run"] == 2)
    agents.reaches("RUNNING", "a")


def test_a_command_that_hangs_is_ended_with_all_it_started_and_then_the_next_event_is_told(
    agents, started, wait_for
):
    first = agents.directory / "first"
    script = f"if mkdir {first}; then {HANGS}; else {KEEP}{agents.directory}/told; fi"
    hook = {"events": ["ready", "down"], "command": ["sh", "-c", script], "timeout_s": 0.5}
    started(agents.unit("a"), hooks=[hook])
    kill(agents, "a")  # while it hangs
    wait_for(lambda: told(agents))
    assert "killed after 0.5 s" in agents.errors()
    assert told(agents)[0]["hook"] == "down"
    wait_for(lambda: hook_processes(agents) == [])


def hook_processes(agents):
    """Everything alive that hooks of these agents started."""
    return [
        pid
        for pid in agents.processes_left()
        if re.search(rb"PDSUP_RUN=small-\w+/node0\.hooks\.", environment(pid))
    ]


def environment(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def test_what_a_command_leaves_behind_is_ended(agents, started, wait_for):
    script = f"setsid sleep 1000 & echo $! > {agents.directory}/pid; cat >> {agents.directory}/told"
    started(agents.unit("a"), hooks=[{"events": ["ready"], "command": ["sh", "-c", script]}])
    wait_for(lambda: told(agents))
    wait_for(lambda: hook_processes(agents) == [])
    assert agents.look("a")["state"] == "RUNNING"


def test_a_command_that_floods_its_output_gets_an_error_for_it(agents, started, wait_for):
    flood = f"yes 2> {agents.directory}/yes; cat >> {agents.directory}/told"
    hook = {"events": ["ready"], "command": ["sh", "-c", flood], "timeout_s": 20.0}
    started(agents.unit("a"), hooks=[hook])
    wait_for(lambda: told(agents))
    assert "standard output" in (agents.directory / "yes").read_text()


def test_a_hook_that_hangs_holds_up_no_end_and_nothing_of_it_is_left(agents, started, wait_for):
    script = f"touch {agents.directory}/begun; {HANGS}"
    hook = {"events": ["ready"], "command": ["sh", "-c", script], "timeout_s": 600.0}
    started(agents.unit("a"), hooks=[hook])
    wait_for((agents.directory / "begun").exists)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_what_happened_just_before_the_end_is_still_told(agents, started):
    script = f"sleep 0.3; cat >> {agents.directory}/told"
    hook = {"events": ["exited"], "command": ["sh", "-c", script]}
    unit = agents.unit("a", "true", kind="benchmark", restart={"policy": "never"})
    started(unit, hooks=[hook], wait=False)
    assert agents.ended() == {"node0": 0}
    assert [one["hook"] for one in told(agents)] == ["exited"]


# -- posts ----------------------------------------------------------------------------------------


class Listener:
    """A server on loopback that keeps what is posted to it, and answers ``status``."""

    def __init__(self, certificate=None):
        self.got, self.status = [], 200
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(listener.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = self.url.replace("http:", "https:")
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join(60)
        self.server.server_close()


@pytest.fixture
def listener():
    made = Listener()
    yield made
    made.close()


def test_an_event_is_posted_as_json_to_a_url_or_to_one_in_the_environment(
    agents, started, wait_for, listener
):
    agents.environ["PAGER_URL"] = f"{listener.url}/secret?a=b"
    hooks = [{"events": ["ready"], "url": f"{listener.url}/plain"},
             {"events": ["ready"], "url_env": "PAGER_URL"},
             {"events": ["ready"], "url_env": "NO_SUCH_URL"}]  # fmt: skip
    started(agents.unit("a"), hooks=hooks)
    wait_for(lambda: len(listener.got) == 2)
    assert {path for path, _, _ in listener.got} == {"/plain", "/secret?a=b"}
    for _, kind, event in listener.got:
        assert (kind, event["hook"], event["unit"]) == ("application/json", "ready", "a")
    wait_for(lambda: "hook failed" in agents.errors())
    assert "the environment variable NO_SUCH_URL contains no URL" in agents.errors()


def test_a_server_at_https_is_told_only_if_its_certificate_is_trusted_and_has_its_name(
    agents, started, wait_for
):
    agents.environ["SSL_CERT_FILE"] = str(CERTIFICATE)
    with contextlib.closing(Listener(CERTIFICATE)) as server:
        other = server.url.replace("127.0.0.1", "localhost")
        hooks = [{"events": ["ready"], "url": f"{server.url}/its-name"},
                 {"events": ["ready"], "url": f"{other}/another-name"}]  # fmt: skip
        started(agents.unit("a"), hooks=hooks)
        wait_for(lambda: server.got and "hook failed" in agents.errors())
        assert [path for path, _, _ in server.got] == ["/its-name"]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_yes_is_told_in_the_log_without_secrets(
    agents, started, wait_for, listener, status
):
    listener.status = status
    url = listener.url.replace("//", "//user:s3cret@") + "/s3cret?s3cret"
    started(agents.unit("a"), hooks=[{"events": ["ready"], "url": url}])
    wait_for(lambda: f"HTTP {status}" in agents.errors())
    assert [path for path, _, _ in listener.got] == ["/s3cret?s3cret"]
    assert "s3cret" not in agents.errors()


def test_a_server_that_never_answers_holds_up_no_other_hook_no_unit_and_no_end(
    agents, started, wait_for
):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        hooks = [{"events": ["ready", "down"], "url": url, "timeout_s": 600.0},
                 keeping(agents, "ready", "down")]  # fmt: skip
        started(agents.unit("a"), hooks=hooks)
        kill(agents, "a")
        wait_for(lambda: [one["hook"] for one in told(agents)] == ["ready", "down", "ready"])
        agents.signal(signal.SIGTERM)
        assert agents.ended() == {"node0": 0}
    assert "hook missed events" in agents.errors()


def test_a_server_that_is_not_there_is_told_in_the_log(agents, started, wait_for):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/s3cret"
    started(agents.unit("a"), hooks=[{"events": ["ready"], "url": url}])
    wait_for(lambda: "hook failed" in agents.errors())
    assert "connection refused" in agents.errors()
    assert "s3cret" not in agents.errors()
