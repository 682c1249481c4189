"""Who may ask an agent over the network."""

import hmac

import pytest

from pdsup.node import signatures

TOKEN = signatures.made_of("0" * 64)
OF_BEFORE = "0" * 64
NOW = 1_700_000_000.0
WRONG = "the signature is wrong: another run's token, or meant for another node?"
PATH = "/v1/report?since=a.1&wait=20"


def signed(token=TOKEN, method="GET", path=PATH, node="node1", now=NOW):
    return signatures.headers(token, method, path, node, now, "nonce")


def refusal(given, method="GET", path=PATH, now=NOW):
    return signatures.refusal(TOKEN, method, path, "node1", given) or signatures.lateness(
        given, now
    )


def test_a_request_signed_with_the_token_of_the_run_is_answered():
    assert refusal(signed()) is None


@pytest.mark.parametrize(
    "given",
    [
        signed(token=signatures.made_of("1" * 64)),
        signed(token=OF_BEFORE),
        signed(node="node2"),
        signed(method="POST"),
        signed(path="/v1/report?since=a.1&wait=21"),
        signed() | {signatures.NONCE: "another"},
        signed() | {signatures.TIME: "1700000001.000"},
        signed() | {signatures.SIGNATURE: "0" * 64},
    ],
    ids=["token", "token of before", "node", "method", "path", "nonce", "time", "signature"],
)
def test_a_signature_covers_token_node_method_path_nonce_and_time(given):
    assert refusal(given) == WRONG


@pytest.mark.parametrize("name", [signatures.TIME, signatures.NONCE, signatures.SIGNATURE])
@pytest.mark.parametrize("value", [None, ""])
def test_a_request_that_lacks_a_header_is_not_signed(name, value):
    given = {key: text for key, text in signed().items() if key != name}
    given |= {} if value is None else {name: value}
    assert refusal(given) == "the request is not signed"


@pytest.mark.parametrize("late", [-599.0, 599.0])
def test_a_clock_that_is_minutes_off_is_forgiven(late):
    assert refusal(signed(now=NOW - late)) is None


@pytest.mark.parametrize(
    ("late", "words"),
    [(-601.0, "10 min 1 s ahead of"), (601.0, "10 min 1 s behind"), (float("inf"), "d behind")],
)
def test_an_old_or_future_request_is_refused_with_the_difference(late, words):
    assert refusal(signed(now=NOW - late)).endswith(f"{words} this node's")


@pytest.mark.parametrize("time", ["yesterday", "nan", "0x10", "\udcff"])
def test_a_time_that_is_no_number_is_refused_although_it_is_signed(time):
    good = signatures.sign(TOKEN, "GET", PATH, "node1", time, "nonce")
    given = {signatures.TIME: time, signatures.NONCE: "nonce", signatures.SIGNATURE: good}
    assert refusal(given) == "the request's time is not a number"


@pytest.mark.parametrize(
    "text", ["über", "\udcff\udc80", "\N{MATHEMATICAL BOLD DIGIT ZERO}", "\N{KELVIN SIGN}"]
)
@pytest.mark.parametrize("name", [signatures.TIME, signatures.NONCE, signatures.SIGNATURE])
def test_headers_of_any_bytes_are_refused_and_break_nothing(name, text):
    assert refusal(signed() | {name: text}) == WRONG


def test_a_path_of_any_bytes_can_be_signed():
    assert refusal(signed(path="/\udcff"), path="/\udcff") is None


def test_fields_can_not_be_shifted_into_one_another():
    for token, node in ((TOKEN, "n"), (OF_BEFORE, "")):
        parts = ("GET", "/a", node, "1", "2")
        assert signatures.sign(token, *parts) != signatures.sign(
            token, "GET", f"/a{node}1", "", "", "2"
        )


def test_a_run_that_the_version_before_began_has_its_form_of_requests():
    right = hmac.new(OF_BEFORE.encode(), b"GET\n/livez\n1.000\nn", "sha256").hexdigest()
    assert signatures.sign(OF_BEFORE, "GET", "/livez", "node1", "1.000", "n") == right


ANSWER = ("node1", "nonce", 200, "text/plain", b"body")


@pytest.mark.parametrize(
    "other",
    [("node2", *ANSWER[1:]), ("node1", "other", *ANSWER[2:]), (*ANSWER[:2], 304, *ANSWER[3:]),
     (*ANSWER[:3], "", b"body"), (*ANSWER[:4], b"bodi")],
    ids=["node", "nonce", "status", "type", "body"],
)  # fmt: skip
def test_the_signature_of_an_answer_covers_node_request_status_type_and_body(other):
    right = signatures.sign_answer(TOKEN, *ANSWER)
    assert signatures.is_same(right, signatures.sign_answer(TOKEN, *ANSWER))
    for given in (
        signatures.sign_answer(TOKEN, *other),
        signatures.sign_answer(signatures.made_of("1" * 64), *ANSWER),
        signatures.sign_head(TOKEN, *ANSWER[:4]),
        "",
        "\udcff",
    ):
        assert not signatures.is_same(right, given)
    assert len(right) == signatures.SIGNATURE_CHARACTERS
