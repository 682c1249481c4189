"""What a check wants of an HTTP reply."""

from __future__ import annotations

import pytest

from pdsup.plan.model import Check
from pdsup.units.probes.health import No, Yes
from pdsup.units.probes.http import Reply, judge, wants_body

HEALTHY = b'{"health": "true", "nodes": [{"id": "a"}, {"id": ""}], "count": 0, "up": false}'


def check(**wants) -> Check:
    return Check(port="http", path="/health", **wants)


@pytest.mark.parametrize("status", [200, 204, 299])
def test_any_2xx_is_a_yes(status):
    assert judge(check(), Reply(status)) == Yes()


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_any_other_status_is_a_no_that_names_it(status):
    assert judge(check(), Reply(status)) == No(f"HTTP {status}")


def test_the_statuses_that_are_wanted_are_the_only_good_ones():
    assert judge(check(status=(401, 403)), Reply(403)) == Yes()
    assert judge(check(status=(401, 403)), Reply(200)) == No("HTTP 200")


def test_a_program_that_knows_no_such_question_is_not_asked_it():
    assert judge(check(skip=(404,), body="x"), Reply(404)) == Yes()
    assert judge(check(skip=(404,)), Reply(503)) == No("HTTP 503")


def test_a_body_must_hold_what_is_wanted():
    assert judge(check(body="tr.e"), Reply(200, HEALTHY)) == Yes()
    assert judge(check(body="^true$"), Reply(200, HEALTHY)) == No(
        "no match for ^true$ in the reply"
    )


@pytest.mark.parametrize(
    ("field", "equals", "answer"),
    [
        ("health", None, Yes()),
        ("health", "true", Yes()),
        ("health", "false", No("health is true, not false")),
        ("nodes.0.id", "a", Yes()),
        ("nodes.1.id", None, No("nodes.1.id is empty")),
        ("nodes.2.id", None, No("no nodes.2.id in the reply")),
        ("nodes.x", None, No("no nodes.x in the reply")),
        ("health.deeper", None, No("no health.deeper in the reply")),
        ("count", "0", Yes()),
        ("count", None, No("count is empty")),
        ("up", "false", Yes()),
        ("up", None, No("up is empty")),
    ],
)
def test_a_field_must_be_there_and_be_what_is_wanted(field, equals, answer):
    assert judge(check(field=field, equals=equals), Reply(200, HEALTHY)) == answer


def test_a_body_that_is_no_json_has_no_fields():
    for body in (b"OK", b"", b"\xff\xfe"):
        assert judge(check(field="health"), Reply(200, body)) == No("the reply is not JSON")


def test_a_body_is_read_only_where_it_counts():
    assert not wants_body(check(status=(200,)))
    assert wants_body(check(body="x"))
    assert wants_body(check(field="x"))
