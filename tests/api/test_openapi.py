"""The OpenAPI document says what the API really answers."""

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from pdsup.agent.commands import COMMANDS
from pdsup.api import openapi, queries
from pdsup.api import server as server_module
from pdsup.api.server import Server
from pdsup.journal.file import Journals
from pdsup.plan import yaml
from pdsup.units.runner import Runner
from tests.bed.network import TOKEN

DOCUMENT = openapi.document(COMMANDS)
OPERATIONS = {
    one["operationId"]: (method.upper(), path, one)
    for path, item in DOCUMENT["paths"].items()
    for method, one in item.items()
    if method != "servers"
}
LINE = {
    "at": 1.5, "monotonic": 2.5, "node": "node3", "unit": "decode-1", "run": 1,
    "event": {"type": "Start"}, "from": "STOPPED", "to": "STARTING", "reason": "", "state": {},
    "context": {},
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(server_module, "LAST_REPORT_S", 0.05)
    monkeypatch.setattr(queries, "FIRST_ANSWERS_S", 0.05)


# Lines of a journal may be another version's; no schema is there of the document itself.
OPEN = ("Event", "event", "state", "context")


def closed(part, name=""):
    """A schema in which nothing is allowed that it does not tell of."""
    match part:
        case dict():
            made = {key: closed(inner, key) for key, inner in part.items()}
            if "properties" in part and isinstance(part.get("required"), list) and name not in OPEN:
                made["additionalProperties"] = False
            return made
        case list():
            return [closed(inner) for inner in part]
    return part


def fits(schema, value) -> None:
    """Raises ValidationError where a value is not as a schema of the document says."""
    whole = closed({**schema, "components": DOCUMENT["components"]})
    Draft202012Validator(whole).validate(value)


def content(name, status) -> dict:
    return OPERATIONS[name][2]["responses"][status]["content"]


def fits_answer(name, answer) -> None:
    """That an answer has the type and the form that the document has for its status."""
    (kind, described), *_ = content(name, str(answer.status)).items()
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    text = answer.body.decode()
    fits(described["schema"], json.loads(text) if kind == openapi.JSON else text)


# -- the document ---------------------------------------------------------------------------------


def routes(app) -> set[tuple[str, str]]:
    found = {(route.method, route.resource.canonical) for route in app.router.routes()}
    return {(method, path) for method, path in found if method != "HEAD"}


async def test_it_has_the_routes_of_both_listeners_and_no_others(serving) -> None:
    described = {(method, path) for method, path, _ in OPERATIONS.values()}
    network = {p for p, item in DOCUMENT["paths"].items() if "servers" not in item}
    async with serving() as s:
        server = Server(s.agent, TOKEN, s.parts.log)
        assert described == routes(server.local())
        assert {(m, p) for m, p in described if p in network} == routes(server.remote())


def test_its_schemas_are_json_schema_and_each_that_is_named_is_there() -> None:
    Draft202012Validator.check_schema({"$defs": DOCUMENT["components"]["schemas"]})
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert named == set(DOCUMENT["components"]["schemas"]) == named


def test_every_security_scheme_is_used_and_defined() -> None:
    used = {name for _, _, one in OPERATIONS.values() for way in one["security"] for name in way}
    assert used == set(DOCUMENT["components"]["securitySchemes"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_path_and_its_parameters_agree(name) -> None:
    _, path, one = OPERATIONS[name]
    given = [each["name"] for each in one.get("parameters", ()) if each["in"] == "path"]
    assert given == re.findall(r"\{(\w+)\}", path)


def bounds(name, parameter) -> tuple[float, float]:
    schema = next(p["schema"] for p in OPERATIONS[name][2]["parameters"] if p["name"] == parameter)
    return schema["minimum"], schema["maximum"]


def test_bounds_are_those_that_the_server_keeps() -> None:
    assert bounds("events", "n") == (1, queries.MOST_EVENTS)
    for name in ("report", "status"):
        assert bounds(name, "wait") == (0, server_module.LONGEST_WAIT_S)


# -- answers --------------------------------------------------------------------------------------

QUESTIONS = {
    "report": ["/v1/report"],
    "status": ["/v1/status", "/v1/status?all=1"],
    "events": ["/v1/events", "/v1/events?unit=decode-1&n=1"],
    "explain": ["/v1/explain/decode-1", "/v1/explain/router-0"],
    "checks": ["/v1/checks", "/v1/checks?all=1"],
    "openapi": ["/v1/openapi.json"],
    "metrics": ["/metrics"],
    "page": ["/"],
    "livez": ["/livez"],
    "readyz": ["/readyz"],
    "log": ["/v1/logs/decode-1"],
    "logs": ["/v1/logs"],
}
BODIES = {
    "command": [
        *({"command": verb, "units": ["decode-1"]} for verb in COMMANDS),
        {"command": "signal", "signal": 10, "units": ["decode-1"]},
    ],
    "evidence": [{"units": ["decode-1"]}],
    "link": [None],
    "shutdown": [{"all": False}],
}
REFUSED = {
    "report": [("/v1/report?wait=x", None, 400)],
    "status": [("/v1/status?wait=61", None, 400)],
    "events": [("/v1/events?n=0", None, 400)],
    "explain": [("/v1/explain/nothing", None, 404)],
    "log": [("/v1/logs/nothing", None, 404)],
    "command": [
        ("/v1/units", {"command": "fly", "units": []}, 400),
        ("/v1/units", {"command": "stop", "units": ["nothing"]}, 404),
    ],
    "reload": [
        ("/v1/reload", {"agent": True}, 409),
        ("/v1/reload", {"plan": "/nowhere", "dry_run": True}, 409),
        ("/v1/reload", {"plan": None}, 400),
    ],
    "evidence": [
        ("/v1/evidence", {"units": "decode-1"}, 400),
        ("/v1/evidence", {"units": ["nothing"]}, 404),
    ],
    "shutdown": [("/v1/shutdown", {}, 400)],
}


def test_every_operation_is_asked_here() -> None:
    assert set(OPERATIONS) == set(QUESTIONS) | set(BODIES) | set(REFUSED) | {"stream"}


@pytest.fixture
def journal(assignment, tmp_path):
    """A line of a unit's change in the run directory."""
    path = tmp_path / "run" / "events" / "node3.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(LINE) + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in QUESTIONS.items() for path in paths]
)
async def test_an_answer_is_as_it_is_described(serving, unit_report, name, path):
    async with serving() as s:
        s.parts.own_report.publish(unit_report("decode-1", "STARTING"))
        fits_answer(name, await s.local(path))


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in ("log", "logs")])
async def test_an_unsigned_question_is_refused_as_it_is_described(serving, name):
    async with serving() as s:
        answer = await s.unsigned(QUESTIONS[name][0])
        assert answer.status == 401
        fits_answer(name, answer)


@pytest.mark.parametrize(
    ("name", "body"), [(name, body) for name, bodies in BODIES.items() for body in bodies]
)
async def test_a_command_and_its_answer_are_as_they_are_described(serving, name, body):
    method, path, one = OPERATIONS[name]
    if body is not None:
        fits(one["requestBody"]["content"][openapi.JSON]["schema"], body)
    async with serving() as s:
        answer = await s.local(path, method, data=json.dumps(body))
        assert answer.status == 200, answer.body
        fits_answer(name, answer)


ASKS = [(name, body) for name in BODIES if name != "link" for body in BODIES[name]]


@pytest.mark.parametrize(("name", "body"), ASKS, ids=str)
async def test_whoever_asks_for_a_change_stands_in_the_journal(
    serving, until, monkeypatch, name, body
):
    """A reload of the plan needs a guardian, so the command line's tests have it."""
    monkeypatch.setattr(Runner, "signal", lambda *_: True)
    method, path, _ = OPERATIONS[name]
    async with serving() as s:
        s.parts.journal.begin()
        await s.local(path, method, data=json.dumps(body))
        run_dir = Path(s.agent.assignment.place.run_dir)
        (line,) = await until(lambda: Journals(run_dir).news())
        asked = line.raw["event"]
        assert (line.event, asked["verb"]) == ("Requested", body.get("command", name))
        assert asked["pid"] == os.getpid()


async def test_what_a_changed_plan_would_bring_is_as_it_is_described(serving):
    body = {"plan": None, "dry_run": True}
    fits(OPERATIONS["reload"][2]["requestBody"]["content"][openapi.JSON]["schema"], body)
    async with serving() as s:
        first, *others = s.agent.plan.units
        units = (dataclasses.replace(first, env={"A": "1"}), *others[:-1])
        changed = dataclasses.replace(s.agent.plan, units=units, on_fatal="stop-cluster")
        Path(s.agent.assignment.place.run_dir, "plan.yaml").write_bytes(yaml.write(changed))
        answer = await s.local("/v1/reload", "POST", data=json.dumps(body))
        assert answer.status == 200, answer.body
        fits_answer("reload", answer)
        assert {one["what"] for one in json.loads(answer.body)["units"]} == {"restarted", "removed"}


@pytest.mark.parametrize(
    ("name", "path", "body", "status"),
    [(name, *one) for name, cases in REFUSED.items() for one in cases],
)
async def test_a_refusal_is_as_it_is_described(serving, name, path, body, status):
    async with serving() as s:
        answer = await s.local(path, OPERATIONS[name][0], data=json.dumps(body))
        assert answer.status == status
        fits_answer(name, answer)


async def test_nothing_new_is_described_too(serving):
    async with serving() as s:
        version = s.parts.own_report.version
        answer = await s.local(f"/v1/report?since={version}&wait=0")
        assert str(answer.status) in OPERATIONS["report"][2]["responses"]
        assert answer.status == 304


async def test_the_agent_gives_the_document_that_is_kept(serving):
    async with serving() as s:
        assert (await s.remote("/v1/openapi.json")).json() == DOCUMENT


@pytest.mark.parametrize(
    ("key", "value"), [("state", None), ("state", "ASLEEP"), ("uptime_s", "1"), ("x", 1)]
)
async def test_a_status_with_another_form_is_not_as_it_is_described(serving, key, value):
    async with serving() as s:
        status = (await s.local("/v1/status")).json()
        fits(content("status", "200")[openapi.JSON]["schema"], status)
        unit = status["nodes"][0]["units"][0]
        if value is None:
            del unit[key]
        else:
            unit[key] = value
        with pytest.raises(ValidationError):
            fits(content("status", "200")[openapi.JSON]["schema"], status)
