"""Agents on an address of IPv6. The machine has one, ::1; the other node has one of IPv4."""

import sys
import urllib.request

import pytest

from pdsup.cli import client


@pytest.fixture
def front(agents):
    """An nginx and its routers on ::1 and, on another node, a unit that needs them."""
    agents.addresses["node0"] = "::1"
    need = {"unit": "nginx", "ports": ["http"]}
    waiting = agents.unit("waiting", node="node1") | {"needs": {"units": [need]}}
    agents.start(agents.plan(*agents.front(), waiting, nodes=2), "node0", "node1")
    agents.reaches("RUNNING", "waiting", "node1")
    return agents


def test_agents_read_each_other_and_nginx_gets_its_routers(front, pdsup):
    seen = front.status("node1", "?all=1")["node0"]
    assert (seen["address"], seen["agent"]["reachable"]) == ("::1", True)
    assert [unit["name"] for unit in seen["units"] if not unit["ready"]] == []
    (path,) = front.runtime.glob("pdsup/*/node0/nginx/nginx.conf")
    conf = path.read_text()
    for words in ("listen [::1]:8000 ", "server [::1]:30080 ", "server [::1]:30081 "):
        assert words in conf
    gate = client.ask(front.socket("node1"), "/v1/explain/waiting").value["gate"]
    assert [(one["what"], one["holds"]) for one in gate["conditions"]] == [
        ("nginx ready", True), ("TCP to nginx http ([::1]:8000)", True)
    ]  # fmt: skip


def test_commands_tell_urls_with_the_address_in_brackets(front, pdsup):
    ask = "import os; print(os.environ['PDSUP_URL'])"
    assert pdsup("run", "--", sys.executable, "-c", ask).stdout.startswith("http://[::1]:8000\n")
    assert pdsup("url").stdout == "http://[::1]:8000\n"
    assert pdsup("url", "--json").stdout == '{"url": "http://[::1]:8000"}\n'
    done = pdsup("web")
    assert "ssh -L 9440:[::1]:9440 " in done.stderr
    (link,) = done.stdout.splitlines()
    assert link.startswith("http://[::1]:9440/?key=")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(link, timeout=60) as page:
        assert page.status == 200
