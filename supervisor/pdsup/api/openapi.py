"""The OpenAPI 3.1 document of the API (https://spec.openapis.org/oas/v3.1.0).

It is written by hand; a test makes every request in it and compares the responses. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pdsup import __version__
from pdsup.answers.checks import FreshChecks
from pdsup.answers.commands import EvidenceTaken, LogFile, LogFiles, PageLink, UnitBefore
from pdsup.answers.explanation import Explanation
from pdsup.answers.reload import Reloading, Replacing
from pdsup.answers.status import Status
from pdsup.api import schemas
from pdsup.api.schemas import INTEGER, NUMBER, TEXT, TRUTH, Schema, by_name, maybe, ref, table
from pdsup.cluster.report import Report
from pdsup.node import signatures

JSON, PLAIN = "application/json", "text/plain"
PATH = "/v1/openapi.json"
LONGEST_WAIT_S = 60.0
MOST_EVENTS = 10_000

_Values = dict[str, Any]
_ABOUT = (
    "Every agent answers on its control socket, without authentication, and on its node's address, "
    "where nothing can be changed."
)
_SOCKET = {
    "url": "http://localhost",
    "description": "the control socket, in the node-local directory of the run",
}
_NETWORK = {
    "url": "http://{address}:{port}",
    "description": "an agent, from other nodes",
    "variables": {"address": {"default": "127.0.0.1"}, "port": {"default": "9440"}},
}
_SIGNED: _Values = {"signature": []}
# Additional ways in for clients that only read: Prometheus, and a browser.
_VIEWS: tuple[_Values, ...] = ({"viewToken": []}, {"ticket": []})


def document(commands: Iterable[str]) -> dict[str, Any]:
    """The whole document; ``commands``: the commands for units, apart from signals."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "pd-supervisor agent", "version": __version__, "description": _ABOUT},
        "servers": [_SOCKET, _NETWORK],
        "paths": {**_looking(), **_for_local(list(commands))},
        "components": {"schemas": schemas.all_schemas(), "securitySchemes": _schemes()},
    }


def _schemes() -> _Values:
    signed = (
        "HMAC-SHA256 with the run's token over method, path with query, the name of the node that "
        f"is asked, `{signatures.TIME}` (seconds since 1970) and `{signatures.NONCE}`, one per "
        f"line; in hexadecimal. The answer has `{signatures.SIGNATURE}` as well: over `answer`, "
        "the node, the nonce, the status and the Content-Type, one per line, and the body."
    )
    return {
        "signature": _key("header", signatures.SIGNATURE, signed),
        "viewToken": {"type": "http", "scheme": "bearer", "description": "The run's view token."},
        "ticket": _key("cookie", signatures.COOKIE, "Set by opening a link of `pdsup web`."),
    }


def _key(where: str, name: str, about: str) -> _Values:
    return {"type": "apiKey", "in": where, "name": name, "description": about}


# -- reading: both listeners ----------------------------------------------------------------------


def _looking() -> _Values:
    poll = {"304": _plain("Nothing is new."), "400": _plain("The wait is too long.")}
    newer = (
        _since(),
        _query(
            "wait",
            NUMBER,
            "How many seconds to wait for a newer version, at most 60.",
            0,
            LONGEST_WAIT_S,
        ),
    )
    every = _query("all", {"enum": ["1"]}, "1 for all nodes, not only this one.")
    beats = _query(
        "beats",
        {"enum": ["1"]},
        "1 for a line feed each second while it waits, before the report; its signature is then "
        "at the end.",
    )
    count = _query("n", INTEGER, "How many; default 50.", 1, MOST_EVENTS)
    only = _query("unit", TEXT, "Only the events of this unit.")
    lines = {"400": _plain("`n` is not valid."), "503": _plain("The journals can't be read.")}
    missing = {"404": _plain("There is no such unit.")}
    ready = {"503": _plain("Some units are not ready; the body names them.")}
    elsewhere = {"403": _plain("The page of another site asks, or the host's name is unknown.")}
    entered = {"303": _plain("The link of `pdsup web` is valid; the response sets the ticket.")}
    many = {"503": _plain("Too many pages are open.")}
    html, stream = "text/html", "text/event-stream"
    return {
        "/v1/report": _get(
            "report",
            "The report of this node, as other agents read it.",
            schemas.schema(Report),
            (*newer, beats),
            poll,
        ),
        "/v1/status": _get(
            "status", "The status JSON.", schemas.schema(Status), (every, *newer), poll
        ),
        "/v1/events": _get(
            "events",
            "The newest journal lines of all nodes, in order of time; those in the last 1 KiB per "
            "event asked for, at least 1 MiB, of each journal.",
            ref("Events"),
            (count, only),
            lines,
        ),
        "/v1/explain/{unit}": _get(
            "explain",
            "A unit as in the status JSON, each condition of its gate and whether it holds (null: "
            "this agent does not know), what happens next and when, and its log file.",
            schemas.schema(Explanation),
            (_unit(),),
            missing,
        ),
        "/v1/checks": _get(
            "checks",
            "Asks the probes of all RUNNING units of this node once more and waits for questions "
            "under way, up to a minute: the units that did not answer well.",
            schemas.schema(FreshChecks),
            (every,),
        ),
        PATH: _get("openapi", "This document.", {"type": "object"}),
        "/metrics": _get(
            "metrics", "Metrics of this node for Prometheus.", kind=PLAIN, views=_VIEWS
        ),
        "/": _get(
            "page",
            "The live page.",
            (),
            (_link_key(),),
            entered | elsewhere,
            kind=html,
            views=_VIEWS,
        ),
        "/v1/stream": _get(
            "stream",
            "Server-sent events that feed the live page: the status "
            "JSON of all nodes whenever it changes, and new events.",
            others=many | elsewhere,
            kind=stream,
            views=_VIEWS,
        ),
        "/livez": _get("livez", "Always 200: the agent is alive.", kind=PLAIN),
        "/readyz": _get(
            "readyz", "Whether all units of this node are ready.", others=ready, kind=PLAIN
        ),
    }


def _get(
    name: str,
    about: str,
    answer: Schema | tuple[()] = (),
    parameters: Iterable[_Values] = (),
    others: Mapping[str, _Values] | None = None,
    *,
    kind: str = JSON,
    views: Iterable[_Values] = (),
) -> _Values:
    refused = {"401": _plain("The request is not authenticated.")}
    return {
        "get": {
            "operationId": name,
            "summary": about,
            "security": [_SIGNED, *views],
            "parameters": list(parameters),
            "responses": {"200": _answer(about, answer or TEXT, kind), **(others or {}), **refused},
        }
    }


def _answer(about: str, schema: Schema, kind: str = JSON) -> _Values:
    return {"description": about, "content": {kind: {"schema": schema}}}


def _plain(about: str) -> _Values:
    return _answer(about, TEXT, PLAIN)


def _query(
    name: str, schema: Schema, about: str, least: float | None = None, most: float | None = None
) -> _Values:
    bounds = {} if least is None else {"minimum": least, "maximum": most}
    return {"name": name, "in": "query", "description": about, "schema": {**schema, **bounds}}


def _since() -> _Values:
    return _query(
        "since",
        TEXT,
        "The version that the client has; the response comes when there is a newer one.",
    )


def _link_key() -> _Values:
    return _query("key", TEXT, "The key in a link of `pdsup web`, good for one visit.")


def _unit() -> _Values:
    return {"name": "unit", "in": "path", "required": True, "schema": TEXT}


# -- the control socket ---------------------------------------------------------------------------


def _for_local(commands: list[str]) -> _Values:
    missing = {"404": _plain("There is no such unit.")}
    refused = {
        "409": _plain("Refused; the body says why."),
        "400": _plain("The request's body is not valid."),
    }
    log = _get(
        "log",
        "The path of a unit's log file, for a unit of any node.",
        schemas.schema(LogFile),
        (_unit(),),
        missing,
    )["get"]
    logs = _get("logs", "The log files of all units.", schemas.schema(LogFiles))["get"]
    for one in (log, logs):
        del one["responses"]["401"]
        one["security"] = []
    link = schemas.schema(PageLink)
    ending = table(ending={"const": True})
    return {
        "/v1/logs": {"servers": [_SOCKET], "get": logs},
        "/v1/logs/{unit}": {"servers": [_SOCKET], "get": log},
        "/v1/units": _post(
            "command",
            "Starts, stops, restarts or signals units of this node. The response "
            "has each unit's state, run and since from just before (for a "
            "signal: whether it had a process); the status shows the outcome.",
            _told(),
            _orders(commands),
            {**missing, **refused},
        ),
        "/v1/evidence": _post(
            "evidence",
            "Collects evidence of units of this node now, as before a hung unit is stopped; the "
            "response comes when it is there, after at most half a minute.",
            schemas.by_name(schemas.schema(EvidenceTaken)),
            table(units=schemas.rows(TEXT)),
            {**missing, "400": refused["400"]},
        ),
        "/v1/reload": _post(
            "reload",
            "Replaces the agent with a new one that takes over its units; or reads "
            "the plan again (null: the file of the run) and applies the "
            "changes on all nodes. `dry_run`: only reports what would change.",
            _reloaded(),
            _reload(),
            refused,
        ),
        "/v1/link": _post(
            "link", "A link to the live page, good for one visit within ten minutes.", link
        ),
        "/v1/shutdown": _post(
            "shutdown",
            "Begins to stop this node, or with `all` the cluster.",
            ending,
            table(all=TRUTH),
            {"400": refused["400"]},
        ),
    }


def _orders(commands: list[str]) -> Schema:
    units = schemas.rows(TEXT)
    return {
        "oneOf": [
            table(command={"enum": commands}, units=units),
            table(command={"const": "signal"}, signal=INTEGER, units=units),
        ]
    }


def _reload() -> Schema:
    return {"oneOf": [table(agent={"const": True}), table(plan=maybe(TEXT), dry_run=TRUTH)]}


def _reloaded() -> Schema:
    """Either the incarnation of the agent being replaced, or the plan's digest and its changes."""
    return {"anyOf": [schemas.schema(Replacing), schemas.schema(Reloading)]}


def _told() -> Schema:
    """The units as they were just before the command; for a signal, whether a process got it."""
    return {"anyOf": [by_name(schemas.schema(UnitBefore)), by_name(TRUTH)]}


def _post(
    name: str,
    about: str,
    answer: Schema,
    body: Schema | None = None,
    others: Mapping[str, _Values] | None = None,
) -> _Values:
    wanted = {"requestBody": {"required": True, "content": {JSON: {"schema": body}}}}
    return {
        "servers": [_SOCKET],
        "post": {
            "operationId": name,
            "summary": about,
            "security": [],
            **(wanted if body else {}),
            "responses": {"200": _answer(about, answer), **(others or {})},
        },
    }
