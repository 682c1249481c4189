"""Talking to an agent that answers well, badly, or not at all."""

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pdsup import typed
from pdsup.answers.status import Status
from pdsup.cli import client
from pdsup.cli.runs import living
from pdsup.errors import NothingThere, SupervisorError


def http(status, body=b"", *headers):
    head = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_an_answer_is_a_value_and_its_version(agent):
    path = agent(says=http(200, b'{"a": [1]}', "X-Pdsup-Version: v.1"))
    assert client.ask(path, "/v1/status") == client.Answer({"a": [1]}, "v.1")


def test_an_answer_in_any_script_is_understood(agent):
    assert client.ask(agent(says=http(200, '"推論 🚀"'.encode())), "/x").value == "推論 🚀"


def test_nothing_new_is_no_value(agent):
    assert client.ask(agent(says=http(304)), "/v1/status") == client.Answer(None, None)


@pytest.mark.parametrize(
    ("says", "kind", "text"),
    [
        (http(404, b"no such unit"), NothingThere, "no such unit"),
        (http(400, b"wait must be 0 to 60 seconds"), SupervisorError, "HTTP 400 wait must be"),
        (http(500, b"out of order"), SupervisorError, "HTTP 500"),
        (b"", NothingThere, "cannot ask the agent of node0"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", NothingThere, "cannot ask the agent of node0"),
    ],
    ids=["404", "400", "500", "silence", "half a head"],
)
def test_an_answer_that_is_none_is_an_error_a_user_can_read(agent, says, kind, text):
    with pytest.raises(SupervisorError, match=text) as caught:
        client.ask(agent(says=says), "/v1/status")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b'{"cluster": "de',
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        http(200, b"\xff"),
        http(500, b"\xff"),
    ],
    ids=["half a body", "not HTTP", "not JSON", "not text"],
)
def test_an_answer_of_something_else_is_an_error_a_user_can_read(agent, says):
    with pytest.raises(SupervisorError):
        client.ask(agent(says=says), "/v1/status")


@pytest.mark.parametrize("left", ["socket", "directory", "hung up"])
@pytest.mark.parametrize("guarded", [True, False])
def test_for_an_agent_that_was_killed_it_is_told_what_brings_it_back(
    agent, home, monkeypatch, guarded, left
):
    monkeypatch.setattr(living, "has_guardian", lambda _: guarded)
    path = agent(listens=left == "hung up")
    if left == "directory":
        path.unlink()
    with pytest.raises(NothingThere) as caught:
        client.ask(path, "/v1/status")
    run = f"{home.parent}/run"
    assert str(caught.value) == "cannot ask the agent of node0: it was killed" + (
        ", and its guardian is replacing it; try again in a few seconds"
        if guarded
        else " together with its guardian; this starts another one, which takes over what still "
        f"runs:\n  pdsup agent {run}/plan.yaml --node node0 --run-dir {run}"
    )


def test_of_an_agent_that_has_ended_just_that_is_told(agent):
    path = agent(listens=False)
    shutil.rmtree(path.parent)
    with pytest.raises(NothingThere, match="node0: it has ended"):
        client.ask(path, "/v1/status")


STATUS = json.dumps({"cluster": "demo", "plan": "d", "nodes": []}).encode()


@pytest.mark.parametrize("first", [0, 1], ids=["the first", "the second"])
def test_what_any_agent_can_answer_is_not_held_up_by_one_that_stands_still(agent, first):
    says = [None, http(200, b'"here"')]
    paths = [agent("node0", says=says[first]), agent("node1", says=says[1 - first])]
    assert client.ask_any(paths, "/v1/status").value == "here"


def test_an_agent_that_is_gone_is_passed_over_for_one_that_answers(agent):
    paths = [agent("node0", listens=False), agent("node1", says=http(200, b'"here"'))]
    assert client.ask_any(paths, "/v1/status").value == "here"


def test_where_no_agent_answers_all_are_named(agent, monkeypatch):
    monkeypatch.setattr(client, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(client, "PATIENCE_S", 0.01)
    paths = [agent("node0", says=None), agent("node1", says=None)]
    with pytest.raises(NothingThere, match=r"agent of node0, node1: no answer within 0.5 s"):
        client.ask_any(paths, "/v1/status")


@pytest.mark.parametrize("every", [True, False])
def test_the_status_is_shown_as_others_see_a_node_whose_agent_stands_still(agent, every):
    agent("node0", says=None)
    agent("node1", says=http(200, STATUS))
    found = client.cluster(None)
    assert found.sockets.keys() == {"node0", "node1"}
    assert client.status(found, every=every).cluster == "demo"


STOPPED = """
import os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def stopped(agent):
    """A stopped process that listens where an agent should."""
    with contextlib.ExitStack() as started:

        def make(node="node0"):
            path = agent(node, listens=False)
            path.unlink()
            process = started.enter_context(
                subprocess.Popen([sys.executable, "-S", "-c", STOPPED, str(path)])
            )
            started.callback(process.kill)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            return process.pid

        yield make


@pytest.mark.processes
def test_a_stopped_agent_counts_as_silent_and_is_asked_nothing(agent, stopped):
    stopped("node0")
    agent("node1", says=http(200, STATUS))
    found = client.cluster(None)
    assert found.sockets.keys() == {"node1"}
    assert found.silent == {"node0"}
    assert client.status(found, every=False).cluster == "demo"


@pytest.mark.processes
def test_where_every_agent_is_stopped_that_is_said_at_once(stopped):
    pid = stopped("node0")
    with pytest.raises(NothingThere) as caught:
        client.cluster(None, "show status")
    assert str(caught.value) == (
        f"cannot show status: the agent of node0 (pid {pid}) is stopped (SIGSTOP); its guardian "
        f"replaces it within 15 s, or continue it: kill -CONT {pid}"
    )


def test_an_agent_that_does_not_answer_is_waited_for_only_so_long(agent, monkeypatch):
    monkeypatch.setattr(client, "TIMEOUT_S", 0.05)
    path = agent(node="node1", listens=False)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(
            NothingThere, match=r"cannot ask the agent of node1: no answer within 0.05 s"
        ):
            client.ask(path, "/v1/status")


@pytest.fixture
def answers(monkeypatch):
    """What agents answer to one question after another; gives the list of these questions."""

    def give(*values):
        left, queries = list(values), []

        def ask(path, query, *, wait=0.0):
            queries.append(query)
            value = left.pop(0) if left else client.Answer(None, None)
            if isinstance(value, Exception):
                raise value
            return value

        monkeypatch.setattr(client, "ask", ask)
        return queries

    return give


def a_status(plan):
    return Status(cluster="demo", plan=plan, url=None, nodes=())


def said(value):
    return json.loads(typed.dumps(value))


def looks(count, **more):
    follow = client.follow(lambda: Path("node0/control.sock"), every=True, **more)
    return list(itertools.islice(follow, count))


def test_a_status_is_followed_from_the_version_that_is_known(answers):
    first, second = a_status("one"), a_status("two")
    asked = answers(
        client.Answer(said(first), "v.1"), client.Answer(None, None),
        client.Answer(said(second), "v.2"),
    )  # fmt: skip
    assert looks(3) == [
        client.Look(first, new=True), client.Look(first, new=False), client.Look(second, new=True)
    ]  # fmt: skip
    assert [query.split("&")[1] for query in asked] == ["since=", "since=v.1", "since=v.1"]


def test_an_agent_that_goes_is_told_with_what_was_known_and_its_successor_asked_afresh(answers):
    gone = NothingThere("cannot ask the agent of node0: it is gone")
    one, two = a_status("one"), a_status("two")
    asked = answers(client.Answer(said(one), "v.1"), gone, client.Answer(said(two), "w.1"))
    first, absent, last = looks(3)
    assert absent == client.Look(one, new=False, absent=gone)
    assert (first, last) == (client.Look(one, new=True), client.Look(two, new=True))
    assert "since=&" in asked[2]


def test_following_ends_with_a_last_look_when_the_time_is_over(answers):
    asked = answers()
    assert looks(9, until=0.0) == [client.Look(None, new=False)]
    assert asked == ["/v1/status?all=1&since=&wait=0.000"]


def test_an_answer_of_another_form_is_an_error_that_names_the_field(answers):
    answers(client.Answer({"cluster": "demo", "nodes": []}, "v.1"))
    with pytest.raises(
        SupervisorError, match=r"cannot understand the agent's answer: plan: is missing"
    ):
        looks(1)
