"""A real agent and a stand-in for a program that it knows."""

import sys

import pytest

STORE = """#!{python}
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer

class Store(BaseHTTPRequestHandler):
    def do_GET(self):
        led = str(Path({leader!r}).exists()).lower()
        body = ('{{"health": "%s"}}' % led).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(TCPServer):
    allow_reuse_address = True  # what an earlier test leaves in TIME_WAIT is no obstacle

host, port = sys.argv[2].removeprefix("http://").split(":")
Server((host, int(port)), Store).serve_forever()
"""


@pytest.fixture
def store(agents, tmp_path):
    """A unit called etcd, which says that it is well as soon as there is the file beside it."""
    leader, program = tmp_path / "leader", tmp_path / "etcd"
    program.write_text(STORE.format(python=sys.executable, leader=str(leader)))
    program.chmod(0o755)
    agents.plan(name="unused.yaml")
    url = f"http://{agents.addresses['node0']}:2379"
    return agents.unit("store", str(program), "--listen-client-urls", url), leader


def test_a_known_program_is_asked_without_being_told_how(agents, store, wait_for):
    unit, leader = store
    agents.start(agents.plan(unit, agents.unit("user", needs=["store"])))
    wait_for(lambda: agents.look("store")["reason"].endswith("health is false, not true"))
    assert agents.look("store")["state"] == "STARTING"
    assert agents.look("user")["state"] == "WAITING"
    leader.touch()
    assert agents.reaches("RUNNING", "store")["ports"] == {"client": 2379}
    agents.reaches("RUNNING", "user")


def test_a_known_program_that_is_told_not_to_be_asked_is_not(agents, store):
    unit, _ = store
    agents.start(agents.plan({**unit, "probes": {}}))
    assert agents.reaches("RUNNING", "store")["ports"] == {}
