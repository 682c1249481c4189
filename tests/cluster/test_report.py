"""What agents tell each other survives the wire, and nothing else is taken for it."""

import dataclasses
import json

import pytest

from pdsup.cluster.report import Peer, from_json, to_json


@pytest.fixture
def wire(report):
    """A report as it goes over the wire, with changes at a path."""

    def make(*path, value=None):
        whole = json.loads(to_json(report(units=("prefill-1", "decode-0"))))
        place = whole
        for key in path[:-1]:
            place = place[key]
        if path:
            place[path[-1]] = value
        return json.dumps(whole)

    return make


def test_a_report_is_the_same_after_the_wire(report):
    sent = report(
        units=("prefill-1", "decode-0"), ending="told so", ends_cluster=True, sequence=2**40
    )
    assert from_json(to_json(sent)) == sent


def test_an_agent_of_0_1_0_can_read_the_report_of_its_successor(wire):
    unit = json.loads(wire())["units"][0]
    assert set(unit) == {
        "name", "kind", "role", "node", "rank", "gang", "state", "ready", "pid", "run", "restarts",
        "since", "started", "ports", "gpus", "reason", "last_exit", "upstreams", "standing",
        "order", "examination", "made",
    }  # fmt: skip


def test_a_unit_that_never_ran_is_the_same_after_the_wire(report, unit_report):
    never = unit_report(
        "benchmark", "WAITING", pid=None, run=0, restarts=0, started=None, last_exit=None, gpus=()
    )
    sent = dataclasses.replace(report(node="node3"), units=(never,))
    assert from_json(to_json(sent)) == sent


@pytest.mark.parametrize("text", ["naïve 推論", 'quote " backslash \\', "🚀"])
def test_reasons_in_any_script_are_the_same_after_the_wire(report, text):
    sent = report(ending=text)
    assert from_json(to_json(sent)).ending == text


@pytest.mark.parametrize("text", ["one\ntwo", "one\x1b[2Jtwo", "one\x00two", "one\x9btwo"])
def test_control_characters_of_a_peer_reach_no_terminal(report, text):
    found = from_json(to_json(report(ending=text)))
    assert found.ending in ("one two", "onetwo")


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '"report"', "42", "{", "<html>", "NaN", "[" * 100_000, b"\xff"],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_no_report_is_refused_as_a_value_error(text):
    with pytest.raises(ValueError, match="not a report of this version"):
        from_json(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("later",), 1),
        (("agent", "later"), 1),
        (("units", 0, "later"), 1),
        (("units",), {"prefill-1": {}}),
        (("units",), None),
        (("units", 0), None),
        (("units", 0, "ports"), None),
        (("units", 0, "ports"), {"http": "30000"}),
        (("units", 0, "state"), 1),
        (("units", 0, "state"), "LIMPING"),
        (("units", 0, "state"), "running"),
        (("units", 0, "kind"), "sidecar"),
        (("units", 0, "role"), "encode"),
        (("units", 0, "started"), "soon"),
        (("units", 0, "last_exit"), {"code": 1}),
        (("units", 0, "gpus"), 8),
        (("sequence",), "1"),
        (("at",), None),
        (("at",), float("nan")),
        (("at",), float("inf")),
        (("at",), 10**400),
        (("units", 0, "run"), True),
        (("units", 0, "run"), 1.0),
        (("units", 0, "reason"), "\ud800"),
        (("agent",), None),
        (("ends_cluster",), "no"),
    ],
    ids=str,
)
def test_a_report_of_a_foreign_shape_is_refused_and_the_place_is_named(wire, path, value):
    with pytest.raises(ValueError, match=f"version: {path[0]}"):
        from_json(wire(*path, value=value))


@pytest.mark.parametrize("key", ["later\n", "\ud800", "\x9b31m", "x" * 10_000])
def test_the_refusal_is_one_short_printable_line_whatever_the_report_holds(wire, key):
    with pytest.raises(ValueError, match="not a report of this version") as caught:
        from_json(wire(key, value=1))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_report_that_lacks_something_is_refused(wire):
    whole = json.loads(wire())
    for key in whole.keys() - {"former", "level", "turn"}:  # which only a changed plan needs
        with pytest.raises(ValueError, match=f"version: {key}"):
            from_json(json.dumps({k: v for k, v in whole.items() if k != key}))


def test_versions_differ_between_incarnations_and_between_changes(report):
    versions = {report(incarnation=i, sequence=n).version for i in ("aa", "bb") for n in (1, 2)}
    assert len(versions) == 4


def test_a_unit_is_found_in_the_report_of_its_node_only(report):
    assert report(units=("prefill-1",)).unit("prefill-1").name == "prefill-1"
    assert report(units=("prefill-1",)).unit("decode-0") is None


def test_a_peer_has_been_asked_once_it_answered_or_failed_to(report):
    assert not Peer("node1").asked
    assert Peer("node1", report(), received=1.0, heard=1.0, problem=None).asked
    assert Peer("node1", failing=1.0, problem="not asked yet").asked


def test_a_peer_can_be_relied_on_only_without_a_problem(report):
    assert Peer("node1").usable is None
    assert Peer("node1", report(), problem=None).usable == report()
    assert Peer("node1", report(), problem="it is gone").usable is None
