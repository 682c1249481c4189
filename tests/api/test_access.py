"""Who is let in over the network, and to what."""

import pytest

from pdsup import clock
from pdsup.api import access
from pdsup.node import signatures
from tests.bed.network import TOKEN

BEARER = {"Authorization": f"Bearer {signatures.view_token(TOKEN)}"}
VIEWS = ["/", "/metrics"]
OTHERS = ["/v1/report", "/v1/status", "/v1/events", "/v1/explain/router-0", "/livez"]


async def opened(serving_one):
    """The path behind a new link."""
    url = (await serving_one.local("/v1/link", "POST", json={})).json()["url"]
    return "/?" + url.partition("?")[2]


async def entered(serving_one):
    """The cookie that a browser gets for a link."""
    answer = await serving_one.unsigned(await opened(serving_one), allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


async def test_a_link_lets_one_browser_look_and_is_used_up(serving):
    async with serving() as s:
        path = await opened(s)
        assert (await s.unsigned(path, allow_redirects=False)).status == 303
        again = await s.unsigned(path, allow_redirects=False)
        assert (again.status, b"has been used" in again.body) == (401, True)


@pytest.mark.parametrize("path", VIEWS)
async def test_a_ticket_and_the_view_token_open_what_can_be_looked_at(serving, path):
    async with serving() as s:
        for headers in (await entered(s), BEARER):
            assert (await s.unsigned(path, headers=headers)).status == 200


@pytest.mark.parametrize("path", OTHERS)
async def test_they_open_nothing_else(serving, path):
    async with serving() as s:
        for headers in (await entered(s), BEARER):
            assert (await s.unsigned(path, headers=headers)).status == 401


@pytest.mark.parametrize("path", ["/v1/link", "/v1/shutdown", "/v1/units", "/"])
async def test_nothing_can_be_changed_over_the_network_with_them(serving, path):
    async with serving() as s:
        for headers in (await entered(s), BEARER):
            answer = await s.unsigned(path, "POST", headers=headers, json={})
            assert answer.status in (401, 404, 405)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {TOKEN}"},
     {"Authorization": "Basic eDp4"}, {"Cookie": "pdsup-view=9999999999.00"}],
    ids=str,
)  # fmt: skip
async def test_others_are_told_how_to_get_in(serving, headers):
    async with serving() as s:
        answer = await s.unsigned("/", headers=headers)
        assert (answer.status, b"pdsup web" in answer.body) == (401, True)
        assert (await s.unsigned("/metrics", headers=headers)).status == 401
        assert b"view-token" in (await s.unsigned("/metrics")).body
        assert (await s.unsigned("/?key=guessed", headers=headers)).status == 401


async def test_a_link_that_nobody_opened_in_time_is_good_no_more(serving, monkeypatch):
    async with serving() as s:
        path = await opened(s)
        late = clock.monotonic() + access.LINK_S + 1
        monkeypatch.setattr(clock, "monotonic", lambda: late)
        assert (await s.unsigned(path, allow_redirects=False)).status == 401


async def test_only_so_many_links_are_open_at_once(serving):
    async with serving() as s:
        first = await opened(s)
        for _ in range(access.MOST_LINKS):
            last = await opened(s)
        assert (await s.unsigned(first, allow_redirects=False)).status == 401
        assert (await s.unsigned(last, allow_redirects=False)).status == 303


# -- what a browser may be made to ask by another site ---------------------------------------------


def addressed(plan):
    """Host headers of links that lead to a node, and of some that only another site has."""
    port = plan.control_port
    good = [f"{plan.address['node3']}:{port}", f"node3:{port}", f"NODE0:{port}", "localhost:1",
            f"[::1]:{port}", "127.0.0.1"]  # fmt: skip
    return good, ["evil.example", f"node3.evil.example:{port}", "", "[evil]:1", "1.2.3.4.evil"]


@pytest.mark.parametrize("path", VIEWS)
async def test_a_browser_is_answered_only_under_a_name_of_the_cluster(serving, plan, path):
    good, bad = addressed(plan)
    async with serving() as s:
        ticket = await entered(s)
        for host in good:
            assert (await s.unsigned(path, headers=ticket | {"Host": host})).status == 200
        for host in bad:
            assert (await s.unsigned(path, headers=ticket | {"Host": host})).status == 403
            link = await opened(s)
            answer = await s.unsigned(link, headers={"Host": host}, allow_redirects=False)
            assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
            assert (await s.unsigned(path, headers=BEARER | {"Host": host})).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://node0"])
async def test_a_page_of_another_site_is_not_answered(serving, origin):
    async with serving() as s:
        ticket = await entered(s)
        own = {"Host": "node3:9440"}
        for path in ("/", await opened(s)):
            answer = await s.unsigned(path, headers=ticket | own | {"Origin": origin})
            assert answer.status == 403
        same = {"Origin": "http://node3:9440"}
        assert (await s.unsigned("/", headers=ticket | own | same)).status == 200


# -- signed requests ------------------------------------------------------------------------------


def signed(path, node="node3", nonce="n", now=0.0, token=TOKEN):
    return signatures.headers(token, "GET", path, node, now or clock.wall(), nonce)


def proof(answer, nonce="n"):
    """The signature that an answer should have."""
    kind = answer.headers.get("Content-Type", "")
    return signatures.sign_answer(TOKEN, "node3", nonce, answer.status, kind, answer.body)


@pytest.mark.parametrize("path", [*OTHERS, "/metrics", "/v1/status?all=1", "/v1/nothing"])
async def test_every_answer_to_a_signed_request_is_signed_and_each_is_answered_once(serving, path):
    async with serving() as s:
        once = signed(path)
        first, again = [await s.unsigned(path, headers=once) for _ in range(2)]
        assert first.status != 401
        assert first.headers[signatures.SIGNATURE] == proof(first)
        assert (again.status, b"before" in again.body) == (401, True)
        old = await s.unsigned("/livez", headers=signed("/livez", now=1.0))
        assert (old.status, old.headers[signatures.SIGNATURE]) == (401, proof(old))


async def test_a_request_that_another_node_was_asked_is_refused_without_a_signature(serving):
    async with serving() as s:
        for given in (signed("/livez", "node1"), signed("/livez", token="t" * 64), {}):
            answer = await s.unsigned("/livez", headers=given)
            assert (answer.status, signatures.SIGNATURE in answer.headers) == (401, False)


async def test_a_signed_request_has_no_body(serving):
    async with serving() as s:
        answer = await s.unsigned("/livez", headers=signed("/livez"), data=b"x")
        assert answer.status == 400


def remembered(*times, now=1e9):
    """What becomes of requests with these times, each with a signature of its own."""
    seen = access.Requests()
    return seen, [seen.refusal(f"{n:064x}", now + time, now) for n, time in enumerate(times)]


def test_only_so_many_requests_are_remembered_and_older_ones_are_refused(monkeypatch):
    monkeypatch.setattr(access, "MOST_REQUESTS", 10)
    seen, refusals = remembered(*range(-20, 0))
    assert refusals == [None] * 20
    assert sum(map(len, seen._seen.values())) == 10
    for n in range(20):
        assert seen.refusal(f"{n:064x}", 1e9 - 20 + n, 1e9) is not None
    assert seen.refusal("f" * 64, 1e9, 1e9) is None


def test_requests_are_forgotten_when_their_time_is_refused_anyway():
    seen, _ = remembered(*range(-600, 600))
    later = 1e9 + 600 + signatures.TOLERANCE_S + 2
    assert seen.refusal("f" * 64, later, later) is None
    assert len(seen._seen) == 1
