"""Fuzzes the API of a real agent: its control socket, where everything is allowed, and its port,
where a request that is not signed must change nothing. Paths, methods, parameters and bodies come
from the OpenAPI document.
"""

import contextlib
import json
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdsup.cli import client
from tests.bed.agents import Agents
from tests.fuzz.mutate import ODD, inputs
from tests.fuzz.run import Finding

ANSWER_S = 60.0
# What an agent may grow by, in KiB, and its descriptors: buffers, and what is not closed yet.
GROWTH, DESCRIPTORS = 64 << 10, 40
VALUES = ["1", "0", "all", "a", "job", "-1", "9" * 400, "nan", "%00", "../../etc", "%ff", "é", ""]
ENDING = ("/v1/shutdown",)
BODIES = {
    "/v1/units": {"command": "signal", "units": ["job"], "signal": 0},
    "/v1/evidence": {"units": ["nobody"]},
    "/v1/reload": {"plan": "/nothing/there.yaml", "dry_run": True},
}


def requests(document: dict[str, Any]) -> list[bytes]:
    """A request for each operation of the document, but for those that end the agent."""
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in ENDING or method not in ("get", "post"):
                continue
            asked = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            query = "&".join(f"{name}=1" for name in asked if name not in ("since", "wait"))
            body = json.dumps(BODIES.get(path, {})).encode() if method == "post" else b""
            target = path.replace("{unit}", "job") + (f"?{query}" if query else "")
            head = f"{method.upper()} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            found.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return found


def generated(document: dict[str, Any], chance: random.Random) -> bytes:
    """A well-formed request with parameters and a body that are odd."""
    paths = [path for path in document["paths"] if path not in ENDING]
    path = chance.choice(paths)
    method = chance.choice(("get", "get", "post", "post", "head", "put")).upper()
    query = "&".join(
        f"{chance.choice(('since', 'wait', 'n', 'all', 'unit', 'beat', 'x'))}={_value(chance)}"
        for _ in range(chance.randrange(4))
    )
    target = path.replace("{unit}", _value(chance)) + (f"?{query}" if query else "")
    names = ("command", "units", "signal", "plan", "dry_run", "agent", "within", "x")
    value = {chance.choice(names): chance.choice(ODD) for _ in range(chance.randrange(4))}
    body = json.dumps(value).encode() if chance.random() < 0.8 else chance.randbytes(50)
    body = body.replace(b'"agent": true', b'"agent": 1')  # that would replace the agent
    return (
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode(errors="replace") + body


def _value(chance: random.Random) -> str:
    return chance.choice(VALUES)


def fuzz_api(directory: Path, count: int, number: int = 0) -> tuple[dict[str, int], list[Finding]]:
    """Feeds requests to an agent; returns how many to which listener, and what they broke."""
    agents = Agents(directory)
    try:
        agents.start(agents.plan(agents.unit("job")))
        before = agents.reaches("RUNNING", "job")
        document = client.ask(agents.socket(), "/v1/openapi.json").value
        remote = (socket.AF_INET, (agents.addresses["node0"], 9440))
        local = (socket.AF_UNIX, str(agents.socket()))
        pid = agents.agent()
        counts, found = {"unsigned requests": 0, "local requests": 0}, []
        for name, place in (("unsigned requests", remote), ("local requests", local)):
            size, opened = _memory(pid), _descriptors(pid)
            for given in _given(document, count // 2, number):
                counts[name] += 1
                if what := _wrong(given, place, name):
                    found.append(Finding(name, given, what))
            if name == "unsigned requests" and _state(agents) != (before["pid"], before["run"], 0):
                found.append(Finding(name, b"", f"changed the state: {_state(agents)}"))
            if _memory(pid) - size > GROWTH or _descriptors(pid) - opened > DESCRIPTORS:
                found.append(Finding(name, b"", f"grew: {size} to {_memory(pid)} KiB"))
        if agents.agent() != pid or "Traceback" in agents.errors():
            found.append(Finding("agent", b"", agents.errors()[-2000:]))
        return counts, found[:20]
    finally:
        agents.end()


def _given(document: dict[str, Any], count: int, number: int) -> Iterator[bytes]:
    chance = random.Random(number)
    raw = inputs(requests(document), number)
    for _ in range(count):
        given = next(raw) if chance.random() < 0.6 else generated(document, chance)
        if not any(path[-6:].encode() in given for path in ENDING):
            yield given


def _state(agents: Agents) -> tuple[int, int, int]:
    found = agents.look("job")
    return found["pid"], found["run"], len(agents.requests())


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _wrong(given: bytes, place: tuple[int, Any], name: str) -> str:
    """What is wrong with the answer to a request; "" if nothing is."""
    with socket.socket(place[0]) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(place[1])
        with contextlib.suppress(ConnectionError):
            connection.sendall(given)
            # Half of a request is not the agent's fault: it is told that no more comes.
            connection.shutdown(socket.SHUT_WR)
        try:
            answer = _received(connection)
        except TimeoutError:
            return f"no answer within {ANSWER_S} s"
        except ConnectionError:
            return ""
    status = answer[9:12]
    if status == b"500" or b"Traceback" in answer:
        return answer[:300].decode(errors="replace")
    if name == "unsigned requests" and status[:1] == b"2":
        return f"an unsigned request is answered: {answer[:200]!r}"
    return ""


def _received(connection: socket.socket) -> bytes:
    """The beginning of an answer: a long poll or a stream does not end."""
    got = b""
    while len(got) < 1000 and b"\r\n\r\n" not in got:
        part = connection.recv(1 << 16)
        if not part:
            break
        got += part
    return got
