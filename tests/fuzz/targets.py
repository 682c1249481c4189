"""What is fuzzed: each target takes bytes from outside, as the part of the product that reads them.

A target returns, or raises one of the errors that are for users; anything else is a finding. What
it shows to people is checked too: nothing unprintable in a message.
"""

import contextlib
import dataclasses
import json
import os
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import yaml

from pdsup import clock, printable
from pdsup.answers.explanation import Explanation
from pdsup.answers.status import Status
from pdsup.cli import benchmark, client, report
from pdsup.cli.logs import line_times
from pdsup.cli.screens import agent_log
from pdsup.cli.screens import report as page
from pdsup.cluster.report import AgentReport, Report, UnitReport, from_json, to_json
from pdsup.errors import InvalidDocument, SupervisorError
from pdsup.front import nginx_conf, router_rules
from pdsup.front.nginx_conf import Settings, Upstream
from pdsup.journal.file import Journals
from pdsup.node import agent_place, origin, run_dir, signatures
from pdsup.plan import masks
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import parse_nodes
from pdsup.plan.model import Check, Gauges
from pdsup.units import ledger
from pdsup.units.logs import last, split
from pdsup.units.probes import gauges, http
from pdsup.units.public_state import PublicState
from tests.plan.recipes import GOOD


@dataclass(frozen=True)
class Target:
    """``read``: takes an input. ``share``: of all inputs. ``errors``: what it may raise."""

    read: Callable[[bytes], object]
    seeds: list[bytes]
    share: float
    errors: tuple[type[Exception], ...] = (SupervisorError,)


def checked(target: Target, given: bytes) -> None:
    """Feeds one input to a target; what it raises is a finding."""
    try:
        target.read(given)
    except target.errors as error:
        problems = error.problems if isinstance(error, InvalidDocument) else ()
        for line in (problem.at("f") for problem in problems):
            assert line.isprintable(), f"a problem with control characters: {line[:200]!a}"
            assert len(line) < 4000, f"a problem of {len(line)} characters: {line[:200]}"


class Files:
    """A directory whose files are replaced by each input."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("events", "logs", "state"):
            (directory / name).mkdir(parents=True)

    def put(self, name: str, text: bytes, mode: int = 0o600) -> Path:
        path = self.directory / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)
        return path


UNIT = {
    "name": "a", "kind": "worker", "role": "prefill", "rank": 0, "node": "n0", "gpus": [0],
    "ports": {"http": 30000, "bootstrap": 30001}, "command": ["sleep", "1"], "env": {"A": "b"},
    "probes": {"startup": {"checks": [{"port": "http", "path": "/health"}], "period_s": 1,
                           "timeout_s": 1, "deadline_s": 60}},
    "restart": {"max_failures": 3}, "stop": {"signal": "TERM"}, "log": {"mode": "pipe"},
}  # fmt: skip
NGINX = {
    "name": "nginx", "kind": "nginx", "node": "n1", "ports": {"http": 8000, "status": 8001},
    "command": ["nginx"], "needs": {"units": [{"unit": "router"}]},
    "nginx": {"upstreams": ["router"], "keepalive_timeout": "600s", "prefix": "/tmp/x"},
}  # fmt: skip
ROUTER = {
    "name": "router", "kind": "router", "node": "n0", "ports": {"http": 30080},
    "command": ["python3", "-m", "sglang_router.launch_router", "--prefill", "http://n0:30000",
                "30001"],
    "needs": {"units": [{"unit": "a", "ports": ["http"]}], "later": "one-per-role"},
}  # fmt: skip
PLAN = {
    "plan": 1, "name": "small", "nodes": [{"name": "n0", "address": "n0"},
                                          {"name": "n1", "address": "10.0.0.2"}],
    "hooks": [{"events": ["fatal"], "url": "https://host/x"}], "secrets": ["ACME_*"],
    "units": [UNIT, ROUTER, NGINX],
}  # fmt: skip
JOURNAL = {
    "at": 1795435200.0, "monotonic": 5.0, "boot": "b", "node": "n0", "unit": "a", "run": 1,
    "event": {"type": "Exited", "run": 1, "status": {"code": 1, "signal": None}},
    "from": "RUNNING", "to": "BACKOFF", "reason": "exited with 1: cause unknown",
    "state": {"type": "Backoff", "until": 7.0, "failures": [5.0], "last_words": "x"},
}  # fmt: skip
RECORD = {
    "command": ["bench"], "began": 1795435200.0, "ended": 1795435260.0, "status": 0,
    "verdict": "clean", "incidents": [], "earlier": [{"command": ["x"]}], "monotonic": 1.0,
    "boot": "b",
}  # fmt: skip
HEAD = {"boot": clock.boot(), "plan": "d" * 64, "run_dir": "/r", "token": "t" * 64, "agent": [1, 2],
        "guardian": [3, 4], "former": ["e" * 64], "displaced": ""}  # fmt: skip
NOTE = {
    "unit": "a", "state": {"type": "Running", "run": 1, "since": 5.0, "failures": []}, "run": 1,
    "since": 5.0, "spawned": 5.0, "main": [7, 8], "tag": 9, "log": [1, 2, 3], "ended": False,
    "was_ready": True, "last_exit": {"code": 1, "signal": None, "at": 5.0}, "fingerprint": "f",
    "epoch": 1, "before": 0,
    "step": {"event": {"type": "BecameReady", "run": 1}, "before": {"type": "Stopped"},
             "context": {"now": 5.0}},
}  # fmt: skip
PLACE = {"directory": "/s", "host": "h", "boot": "b", "job": "1"}
SETTINGS = Settings(
    listen=None, ipv6=True, port=8000, status_address="127.0.0.1", status_port=8001,
    prefix="/tmp/x", user=("a", "b"), keepalive_timeout="600s", stream_timeout="24h",
    client_max_body_size="45m", client_header_size="32k", proxy_buffer_size="32k",
    refused_paths=("/workers",), descriptors=100, worker_connections=50, balance="least-conn",
    session_header="X-Session", spares_idle=False,
)  # fmt: skip
NGINX_TEXTS = (
    "prefix", "keepalive_timeout", "stream_timeout", "client_max_body_size", "client_header_size",
    "proxy_buffer_size", "session_header", "listen", "status_address",
)  # fmt: skip
LOG = b"\n".join(
    (
        b"---- 2026-11-28T05:00:00.000000Z a: run 1 ----",
        b"[2026-11-28 05:00:00] INFO loading\r 10%\r 20%",
        b'127.0.0.1 - - [28/Nov/2026:05:00:00 +0000] "GET /health HTTP/1.1" 200',
        b"RuntimeError: CUDA out of memory", b"",
    )
)  # fmt: skip
METRICS = b"""\
# TYPE smg_worker_cb_state gauge
smg_worker_cb_state{worker="http://n0:30000"} 1
sglang:num_running_reqs{model="x"} 2.5
"""
GAUGES = Gauges(
    name="smg_worker_cb_state", label="worker", bad=1.0, means="open",
    groups={"prefill": ("http://n0:30000",)},
)  # fmt: skip


SCHEMA_2 = """\
schema: 2
name: two
model: {path: /m}
engine: sglang
roles:
  prefill: {nodes: 1, workers: 1, args: {mem-fraction-static: 0.8}}
  decode: {nodes: 1, workers: 1}
frontend: {type: sglang-router}
"""


def of(value: object) -> bytes:
    return json.dumps(value).encode()


def targets(directory: Path) -> dict[str, Target]:
    """All targets that need no agent. They write below ``directory``."""
    files = Files(directory)
    return {
        **_documents(files),
        **_of_run_directory(files),
        **_of_peers(),
        **_logs(files),
    }


def _documents(files: Files) -> dict[str, Target]:
    def document(text: bytes) -> None:
        load.check_all(files.put("document.yaml", text), nodes=None)

    def setting(text: bytes) -> None:
        given = text.decode(errors="surrogateescape")
        load.check_all(recipe, nodes=None, overrides=(given,))

    def host_list(text: bytes) -> None:
        names, _, addresses = text.decode(errors="surrogateescape").partition(" ")
        parse_nodes(names, addresses or None)

    def nginx(text: bytes) -> None:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text.decode(errors="replace")
        given = chosen[len(text) % len(chosen)] if (chosen := _texts(value)[:50]) else ""
        names = dict.fromkeys(NGINX_TEXTS[len(text) % 3 :: 3], given)
        _rendered({**names, "refused_paths": (given,)}, given, given)
        for name in (*NGINX_TEXTS, "user"):
            _rendered({name: (given, given) if name == "user" else given}, "router", "10.0.0.1")

    recipe = files.put("recipe.yaml", GOOD.encode())
    settings = [b"environment.A=b", b"name=[x", b"resources={prefill_nodes: 1}", b"a.b.c=1",
                b"benchmark.command=[a, b]"]  # fmt: skip
    lists = [b"node[0-3],login", b"n[1-2,5] 10.0.0.[1-3]", b"a[0-1]b[2-3]", b"x[001-010]"]
    return {
        "recipes": Target(document, _recipes(), 0.03),
        "plans": Target(document, [of(PLAN)], 0.03),
        "settings": Target(setting, settings, 0.02),
        "host lists": Target(host_list, lists, 0.13),
        "nginx.conf": Target(nginx, [of(["/a", "1s", "10m", "x", "::1", "fe80::1%eth0"])], 0.03),
    }


def _recipes() -> list[bytes]:
    sweep = f"{GOOD}sweep: {{x: [1, 2]}}\nenvironment: {{A: '{{x}}'}}\n"
    base = "base:\n" + "".join(f"  {line}\n" for line in GOOD.splitlines())
    variants = [f"{base}override_a: {{name: b}}\n", f"{base}zip_override_b: {{}}\n"]
    chain = "".join(f"  a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 5))
    aliases = f"{GOOD}benchmark:\n  a0: &a0 {{<<: {{x: 1}}}}\n{chain}"
    texts = [GOOD, SCHEMA_2, sweep, aliases, *variants]
    return [text.encode() for text in texts] + [of(yaml.safe_load(text)) for text in texts]


def _texts(value: object) -> "list[str]":
    match value:
        case str():
            return [value]
        case dict():
            return [text for item in value.items() for one in item for text in _texts(one)]
        case list():
            return [text for one in value for text in _texts(one)]
    return [str(value)[:400]]


def _rendered(changed: dict[str, Any], name: str, address: str) -> None:
    settings, routers = dataclasses.replace(SETTINGS, **changed), [Upstream(name, address, 30080)]
    try:
        accepted = str((nginx_conf._values(settings), nginx_conf._servers(routers)))
    except SupervisorError:
        return
    # Rendering takes twenty times as long as checking.
    if (
        zlib.crc32(accepted.encode(errors="replace")) % 50 == 0
        or not accepted.isascii()
        or not accepted.isprintable()
    ):
        text = nginx_conf.render(settings, routers).text
        assert _directives(text) == _expected(settings), "a value became a directive"


def _directives(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.strip()]


_KNOWN: dict[object, list[str]] = {}


def _expected(settings: Settings) -> list[str]:
    """The directives for good values of the same settings."""
    key = (settings.listen is None, settings.session_header is None)
    if key not in _KNOWN:
        good = dataclasses.replace(
            SETTINGS,
            listen=None if key[0] else "10.0.0.1",
            session_header=None if key[1] else "X-A",
        )
        _KNOWN[key] = _directives(nginx_conf.render(good, [Upstream("a", "b", 1)]).text)
    return _KNOWN[key]


def _of_run_directory(files: Files) -> dict[str, Target]:
    base = files.directory

    def journal(text: bytes) -> None:
        files.put("events/n0.jsonl", text + b"\n")
        shown = report.gather(base, base)
        json.dumps(page.page(shown))
        assert all(one.reason.isprintable() for one in Journals(base).news())

    def record(text: bytes) -> None:
        files.put("run.json", text)
        benchmark.recorded(base / "run.json")
        report._benchmarks(base / "run.json")

    def noted(text: bytes) -> None:
        files.put(f"state/{ledger.LEDGER}", text)
        found = ledger.read(base / "state")
        ledger.guardian_of(base / "state")
        assert all(isinstance(name, str) for name in found.notes)

    def token(text: bytes) -> None:
        files.put("token", text)
        assert len(run_dir.token_of(base)) in (0, *range(32, 4097))

    def small(text: bytes) -> None:
        agent_place.read(text)
        origin.read(text)

    lines = [of(JOURNAL), of({**JOURNAL, "event": {"type": "NodeLost", "node": "n1"}}),
             of({**JOURNAL, "event": "Restarted", "to": None})]  # fmt: skip
    whole = b"\n".join(lines)
    notes = [of(HEAD), of(NOTE), of({"ending": "x", "of_cluster": True}), of({"next": "d"}),
             of({"gpus": {"0": {"lost": True}}}), of({"lost": ["n1"]})]  # fmt: skip
    origins = [of({"file": "/x", "variant": None, "overrides": ["a=b"], "engine": None}), of(PLACE)]
    return {
        "journals": Target(journal, [*lines, whole], 0.06),
        "records": Target(record, [of(RECORD)], 0.05),
        "ledgers": Target(noted, [b"\n".join(notes), *notes], 0.1),
        "tokens": Target(token, [b"t" * 64, b"0123456789abcdef" * 4], 0.05),
        "places": Target(small, origins, 0.05),
    }


def _of_peers() -> dict[str, Target]:
    def peers_report(text: bytes) -> None:
        found = from_json(text)
        shown = to_json(found).decode()
        assert "\\u001b" not in shown

    def answer(text: bytes) -> None:
        parts = [text, b""]
        connection = SimpleNamespace(recv=lambda most: parts.pop(0))
        given = client._received(cast(socket.socket, connection), Path("/x/n0/s"), "GET /v1/status")
        for kind in (Status, Explanation):
            with contextlib.suppress(SupervisorError):
                client.read(kind, given)

    def reply(text: bytes) -> None:
        for over in (False, True):
            got = http._read(text, 1 << 16, over=over)
            if got is not None:
                checks = (Check(port="http", path="/", field="a.0.b", equals="x"),
                          Check(port="http", path="/", body="ok+"))  # fmt: skip
                for check in checks:
                    http.judge(check, got)

    def metrics(text: bytes) -> None:
        shown = text.decode(errors="replace")
        gauges.exhausted(GAUGES, shown)
        gauges.total("sglang:num_running_reqs", shown)
        router_rules.open_breakers(shown)
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            return
        router_rules.listing(listed)

    def signed(text: bytes) -> None:
        words = [*text.decode(errors="surrogateescape").split("\n"), "", "", ""][:4]
        path = f"/x{words[3]}"
        given = {"X-Pdsup-Time": words[0], "X-Pdsup-Nonce": words[1], "X-Pdsup-Signature": words[2]}
        assert signatures.refusal("t" * 64, "GET", path, "n0", given)
        signatures.lateness(given, clock.wall())
        assert not signatures.is_view_token("t" * 64, words[0])
        assert not signatures.is_good("t" * 64, words[0], clock.wall())

    said = signatures.headers("t" * 64, "GET", "/", "n0", clock.wall(), "n")
    listing = of({"workers": [{"url": "http://n0:30000", "id": "x", "worker_type": "prefill"}]})
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    return {
        "reports": Target(peers_report, [_report()], 0.15, (ValueError,)),
        "answers of agents": Target(answer, [head + b'{"a": 1}\n', head + of(_STATUS)], 0.05),
        "replies to probes": Target(reply, [head + b'{"a": [{"b": "x"}]}'], 0.06, (ValueError,)),
        "metrics": Target(metrics, [METRICS, listing], 0.05),
        "signatures": Target(signed, ["\n".join((*said.values(), "/x")).encode()], 0.04),
    }


_STATUS = {"cluster": "a", "plan": "d", "nodes": [], "ready": True}


def _report() -> bytes:
    unit = UnitReport(
        name="a", kind="worker", role="prefill", node="n", rank=0, gang=None, ports={"http": 1},
        state=PublicState.RUNNING, ready=True, pid=7, run=1, restarts=0, since=5.0, started=5.0,
        gpus=(0,), reason="why", last_exit=None, upstreams=("router",), short_reason="w",
    )  # fmt: skip
    return to_json(
        Report(
            cluster="c", plan="d", node="n", address="h", sequence=1, at=1.0, ending=None,
            ends_cluster=False, units=(unit,), former=("e",),
            agent=AgentReport(pid=1, guardian_pid=2, incarnation="i", version="0.1.0"),
        )
    )  # fmt: skip


def _logs(files: Files) -> dict[str, Target]:
    def log(text: bytes) -> None:
        path = str(files.put("logs/a.out", text))
        wanted = last.Wanted(50, split.noise(['"GET ']), within=1 << 15)
        last.of_last_run(path, len(text) // 2, wanted)
        last.of_runs(path, "a", [1, None], wanted)
        told = agent_log.last_words(last.last_lines(path, 5))
        assert isinstance(told, str)
        for line in text.split(b"\n"):
            line_times.written_at(line)

    def text_of_others(text: bytes) -> None:
        shown = printable.printable(text.decode(errors="surrogateescape"))
        assert shown.isprintable()
        assert printable.printable(shown) == shown
        masks.BY_FORM(shown)

    return {
        "logs": Target(log, [LOG, LOG * 5], 0.05),
        "text of others": Target(text_of_others, [LOG, b"A_TOKEN=abc --api-key x\x1b[31m"], 0.09),
    }
