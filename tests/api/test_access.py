"""Who is let in over the network, and to what."""

import pytest

from pdsup import clock
from pdsup.api import access
from pdsup.node import tokens

TOKEN = "t" * 64
BEARER = {"Authorization": f"Bearer {tokens.view_token(TOKEN)}"}
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
