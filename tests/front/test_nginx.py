"""The real nginx in front of tiny routers: what clients see while routers come and go."""

import asyncio
import contextlib
import io
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from pdsup.front.nginx_conf import render
from pdsup.plan.frontends.known import admin_paths
from tests.front.test_nginx_conf import parse, skeleton

NOBODY = 65534
# 1024 by hand, which takes some seconds.
BODY_MIB = int(os.environ.get("PDSUP_TEST_BODY_MIB", "64"))


async def served_by(nginx, count=1, body=b"{}", path="/v1/chat/completions", headers=()):
    """Who answers each of ``count`` POSTs, every one on a connection of its own."""
    names = []
    for _ in range(count):
        close = {"Connection": "close", **dict(headers)}
        async with nginx.session.post(
            nginx.front + path, data=io.BytesIO(body), headers=close
        ) as response:
            assert response.status == 200
            names.append(await response.text())
    return names


async def balance_over(nginx, *routers):
    """Until nginx balances over exactly these."""
    upstreams = frozenset(getattr(router, "upstream", router) for router in routers)
    nginx.reloader.want(upstreams)
    return await nginx.until_live(*(upstream.name for upstream in upstreams))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_routers_every_request_gets_a_json_503(nginx, method):
    url, body = nginx.front + "/v1/completions", b"x" * 1_000_000 if method == "POST" else None
    async with nginx.session.request(method, url, data=body) as response:
        error = (await response.json())["error"]
    assert (response.status, response.headers["Retry-After"]) == (503, "2")
    assert error["type"] == "service_unavailable"


LONG = b"x" * 40_000
LENGTH = b"Content-Length: 99999999\r\n"
ERRORS = {  # what a client sends, and which error of nginx itself it gets
    (b"\x16\x03\x01 hello\r\n", b""): (400, "bad_request"),
    (b"GET / HTTP/1.1\r\n", b"Host: a b\r\n"): (400, "bad_request"),
    (b"GET / HTTP/1.1\r\n", b"Host: x\r\nA: " + LONG): (400, "header_too_large"),
    (b"GET /" + LONG + b" HTTP/1.1\r\n", b"Host: x\r\n"): (414, "uri_too_large"),
    (b"POST / HTTP/1.1\r\n", b"Host: x\r\n" + LENGTH): (413, "request_too_large"),
    (b"TRACE / HTTP/1.1\r\n", b"Host: x\r\n"): (405, "http_405"),
    (b"GET / HTTP/3.0\r\n", b"Host: x\r\n"): (505, "http_505"),
    (b"POST / HTTP/1.1\r\n", b"Host: x\r\nTransfer-Encoding: br\r\n"): (501, "http_501"),
    (b"POST /dies HTTP/1.1\r\n", b"Host: x\r\nContent-Length: 0\r\n"): (502, "bad_gateway"),
    (b"GET /header/40000 HTTP/1.1\r\n", b"Host: x\r\n"): (502, "bad_gateway"),
}


async def raw(nginx, data: bytes) -> tuple[int, bytes, bytes]:
    """The status, the headers and the body of what nginx answers to these bytes."""
    reader, writer = await asyncio.open_connection(nginx.settings.listen, nginx.settings.port)
    writer.write(data)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head, body


async def test_every_error_of_nginx_itself_is_json(nginx, router):
    await balance_over(nginx, await router("router-0"))
    for (line, headers), (status, code) in ERRORS.items():
        answered, head, body = await raw(nginx, line + headers + b"\r\n")
        assert (line[:20], answered) == (line[:20], status)
        assert b"Content-Type: application/json" in head
        assert json.loads(body)["error"]["code"] == code


async def test_an_error_of_a_router_passes_as_it_is(nginx, router):
    await balance_over(nginx, await router("router-0"))
    async with nginx.session.get(nginx.front + "/refuses") as response:
        assert (response.status, await response.text()) == (502, "this is the router's own text")


async def test_the_pages_of_errors_cannot_be_asked_for(nginx, router):
    await balance_over(nginx, await router("router-0"))
    async with nginx.session.get(nginx.front + "/.pdsup/503") as response:
        assert response.status == 404


async def test_headers_of_20_kb_pass_both_ways_and_so_do_underscores(nginx, router):
    await balance_over(nginx, await router("router-0"))
    sent = {"Authorization": "Bearer " + "a" * 20_000, "session_id": "abc"}
    async with nginx.session.get(nginx.front + "/headers", headers=sent) as response:
        received = await response.json()
    assert received["authorization"] == sent["Authorization"]
    assert received["session_id"] == "abc"
    line = b"GET /header/20000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    _, head, _ = await raw(nginx, line)
    assert b"\r\nX-Long: " + b"x" * 20_000 in head


async def test_a_session_may_be_named_by_a_header_with_an_underscore(
    tmp_path, session, run_bench, make_settings, router
):
    settings = make_settings(tmp_path, session_header="session_id")
    async with run_bench(tmp_path, session, settings) as nginx:
        nginx.start()
        await balance_over(nginx, *[await router(f"router-{i}") for i in range(3)])
        for number in range(4):
            names = await served_by(nginx, 6, headers={"session_id": f"session {number}"})
            assert len(set(names)) == 1


async def test_a_websocket_passes_and_no_other_upgrade(nginx, router):
    await balance_over(nginx, await router("router-0"))
    async with nginx.session.ws_connect(nginx.front + "/v1/realtime") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "router-0 heard hello"
    other = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAM"}
    async with nginx.session.get(nginx.front + "/headers", headers=other) as response:
        assert "upgrade" not in await response.json()


@pytest.mark.parametrize(
    "path",
    [
        *("/workers", "/workers/", "/workers/7?a=b", "/workers?url=x", "//workers"),
        *("/x/../workers", "/%77orkers", "/workers%2f7", "/./workers", "/workers%3fx"),
        *("/WORKERS", "/Workers/1", "/workers;a=b", "/workers/.", "/x/%2e%2e/workers"),
        *("/x/..//workers", "/%2fworkers", "http://x/workers", "HTTP://x:8000//workers/7"),
    ],
)
async def test_paths_of_administration_do_not_pass(nginx, router, path):
    await balance_over(nginx, await router("router-0"))
    line = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    status, _, body = await raw(nginx, line)
    assert (status, json.loads(body)["error"]["code"]) == (403, "not_for_clients")
    assert await served_by(nginx, path="/v1/workers") == ["router-0"]


async def test_all_paths_of_administration_are_refused_and_those_of_clients_pass(
    tmp_path, session, run_bench, make_settings, router
):
    settings = make_settings(tmp_path, refused_paths=admin_paths())
    async with run_bench(tmp_path, session, settings) as nginx:
        nginx.start()
        await balance_over(nginx, await router("router-0"))
        for path in admin_paths():
            for spelled in (path, f"/{path}", path.upper(), f"{path}/", f"/a/..{path}?b"):
                where = URL(nginx.front + spelled, encoded=True)
                async with nginx.session.get(where) as answer:
                    assert answer.status == 403
        clients = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/generate", "/health")
        more = ("/v1/embeddings", "/v1/responses", "/v1/rerank", "/v1/workers", "/")
        for path in (*clients, *more):
            assert await served_by(nginx, path=path) == ["router-0"]


async def test_requests_go_round_robin_whichever_worker_takes_them(nginx, router):
    await balance_over(nginx, await router("router-0"), await router("router-1"))
    names = await served_by(nginx, 20)
    assert sorted(names) == ["router-0"] * 10 + ["router-1"] * 10


async def test_requests_of_a_session_go_to_one_router_and_others_in_turn(
    tmp_path, session, run_bench, make_settings, router
):
    settings = make_settings(tmp_path, session_header="X-Session-ID")
    async with run_bench(tmp_path, session, settings) as nginx:
        nginx.start()
        routers = [await router(f"router-{i}") for i in range(3)]
        await balance_over(nginx, *routers)
        owners = {}
        for key in range(12):
            names = await served_by(nginx, 4, headers={"X-Session-ID": f"s{key}"})
            assert len(set(names)) == 1
            owners[key] = names[0]
        assert len(set(owners.values())) > 1
        assert sorted(await served_by(nginx, 6)) == sorted(f"router-{i % 3}" for i in range(6))
        gone = owners[0]
        await balance_over(nginx, *(r for r in routers if r.upstream.name != gone))
        for key, owner in owners.items():
            (now,) = await served_by(nginx, headers={"X-Session-ID": f"s{key}"})
            assert now != gone and (owner == gone or now == owner)


async def test_with_least_conn_a_busy_router_gets_no_new_requests(
    tmp_path, session, run_bench, make_settings, router
):
    settings = make_settings(tmp_path, balance="least-conn")
    async with run_bench(tmp_path, session, settings) as nginx:
        nginx.start()
        busy = await router("router-0")
        await balance_over(nginx, busy)
        async with session.get(nginx.front + "/stream") as response:
            await response.content.readexactly(6)
            await balance_over(nginx, busy, await router("router-1"))
            # The stream is on a worker of before, which the new ones know nothing of.
            async with session.get(nginx.front + "/stream") as first:
                await first.content.readexactly(6)
                assert set(await served_by(nginx, 6)) == {"router-1"}
                busy.released.set()


async def test_no_request_is_lost_by_reloads_also_not_on_connections_that_are_used_again(
    nginx, router
):
    routers = [await router(f"router-{i}") for i in range(2)]
    await balance_over(nginx, *routers)
    answered, over = 0, asyncio.Event()

    async def ask(client) -> None:
        nonlocal answered
        while not over.is_set():
            async with client.post(nginx.front, data=b"{}") as response:
                assert response.status == 200
                await response.read()
            answered += 1

    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as clients:
        for _ in range(8):
            clients.create_task(ask(client))
        for _ in range(5):
            await balance_over(nginx, routers[0])
            await balance_over(nginx, *routers)
        over.set()
    assert nginx.reloads == 11
    assert answered > 100


async def test_a_stream_outlives_the_reloads_that_add_and_remove_routers(nginx, router):
    mine, other = await router("router-0"), await router("router-1")
    await balance_over(nginx, mine)
    async with nginx.session.get(nginx.front + "/stream") as response:
        assert await response.content.readexactly(6) == b"first "
        await balance_over(nginx, mine, other)
        await balance_over(nginx, other)
        mine.released.set()
        assert await response.read() == b"last"


async def test_chunks_of_a_stream_arrive_while_it_runs_on(nginx, router):
    slow = await router("router-0")
    await balance_over(nginx, slow)
    async with nginx.session.get(nginx.front + "/stream") as response:
        assert await response.content.readany() == b"first "
        assert not slow.released.is_set()
        slow.released.set()


async def test_a_router_that_left_gets_no_request_once_that_is_said(nginx, router):
    leaving, staying = await router("router-0"), await router("router-1")
    for _ in range(2):
        await balance_over(nginx, leaving, staying)
        await balance_over(nginx, staying)
        assert set(await served_by(nginx, 20)) == {"router-1"}


@pytest.mark.parametrize("size", [2, 3_000_000])
async def test_a_post_to_a_dead_router_goes_to_a_living_one(nginx, router, size):
    dead, living = await router("router-0", dead=True), await router("router-1")
    await balance_over(nginx, dead, living)
    assert set(await served_by(nginx, 6, body=b"x" * size)) == {"router-1"}
    assert living.bodies == [size] * 6


async def test_a_router_that_returns_is_served_again_at_once(nginx, router):
    returning, staying = await router("router-0", dead=True), await router("router-1")
    await balance_over(nginx, returning, staying)
    assert set(await served_by(nginx, 6)) == {"router-1"}
    await returning.serve()
    assert sorted(await served_by(nginx, 6)) == ["router-0"] * 3 + ["router-1"] * 3
    assert nginx.reloads == 1


async def test_a_post_that_a_router_has_begun_is_never_sent_to_another(nginx, router):
    dying, other = await router("router-0"), await router("router-1")
    await balance_over(nginx, dying)
    async with nginx.session.post(nginx.front + "/dies", data=b"{}") as response:
        assert response.status == 502
    await balance_over(nginx, dying, other)
    statuses = []
    for _ in range(2):
        async with nginx.session.post(nginx.front + "/dies", data=b"{}") as response:
            statuses.append(response.status)
    assert statuses == [502, 502]
    assert len(dying.bodies) + len(other.bodies) == 3


async def test_a_prompt_over_the_limit_gets_413_and_one_below_passes(
    tmp_path, session, run_bench, make_settings, router
):
    settings = make_settings(tmp_path, client_max_body_size="200k")
    async with run_bench(tmp_path, session, settings) as nginx:
        nginx.start()
        await balance_over(nginx, await router("router-0"))
        assert await served_by(nginx, body=b"x" * 200_000) == ["router-0"]
        async with session.post(nginx.front, data=io.BytesIO(b"x" * 400_000)) as response:
            assert response.status == 413


async def test_a_large_answer_streams_through_and_touches_no_disk(nginx, router):
    await balance_over(nginx, await router("router-0"))
    received = 0
    async with nginx.session.get(f"{nginx.front}/big/{BODY_MIB}") as response:
        async for part in response.content.iter_any():
            received += len(part)
    assert received == BODY_MIB << 20
    assert list(Path(nginx.settings.prefix, "proxy").iterdir()) == []


async def test_a_large_request_streams_through_and_touches_no_disk(
    tmp_path, session, run_bench, make_settings, router
):
    async def much():
        for _ in range(BODY_MIB):
            yield bytes(1 << 20)

    settings = make_settings(tmp_path, client_max_body_size="2g")
    async with run_bench(tmp_path, session, settings) as nginx:
        nginx.start()
        await balance_over(nginx, await router("router-0"))
        async with session.post(nginx.front + "/count", data=much()) as response:
            assert int(await response.text()) == BODY_MIB << 20
        assert list(Path(settings.prefix, "client_body").iterdir()) == []


async def test_a_prompt_of_45_mb_passes_and_one_of_twice_that_gets_413(nginx, router):
    await balance_over(nginx, await router("router-0"))
    prompt = 45 * 1000 * 1000
    async with nginx.session.post(nginx.front + "/count", data=io.BytesIO(bytes(prompt))) as found:
        assert (found.status, await found.text()) == (200, str(prompt))
    twice = io.BytesIO(bytes(2 * prompt))
    async with nginx.session.post(nginx.front + "/count", data=twice) as refused:
        assert refused.status == 413


async def test_a_stream_may_stand_still_for_as_long_as_its_timeout(
    tmp_path, session, run_bench, make_settings, router
):
    async def start(limit):
        (tmp_path / limit).mkdir()
        settings = make_settings(tmp_path / limit, stream_timeout=limit)
        nginx = await stack.enter_async_context(run_bench(tmp_path / limit, session, settings))
        nginx.start()
        await balance_over(nginx, idle)
        response = await stack.enter_async_context(session.get(nginx.front + "/stream"))
        assert await response.content.readexactly(6) == b"first "
        return response

    async with contextlib.AsyncExitStack() as stack:
        idle = await router("router-0")
        patient, impatient = await start("600s"), await start("1s")
        with pytest.raises(aiohttp.ClientPayloadError):
            await impatient.read()
        idle.released.set()
        assert await patient.read() == b"last"


async def test_the_status_server_tells_health_generation_and_counters(nginx, router):
    live = await balance_over(nginx, await router("router-0"))
    texts = {}
    for path in ("/healthz", "/generation", "/stub_status", "/other"):
        async with nginx.session.get(nginx.status + path) as response:
            texts[path] = (response.status, await response.text())
    assert texts["/healthz"] == (200, "ok")
    assert texts["/generation"] == (200, live.generation)
    assert texts["/stub_status"][1].startswith("Active connections: ")
    assert texts["/other"][0] == 404


async def test_the_front_passes_the_paths_of_the_status_server_to_the_routers(nginx, router):
    await balance_over(nginx, await router("router-0"))
    assert await served_by(nginx, path="/generation") == ["router-0"]


async def test_after_kill_9_of_the_master_and_a_restart_clients_are_served_again(nginx, router):
    await balance_over(nginx, await router("router-0"))
    nginx.kill()
    with pytest.raises(aiohttp.ClientConnectorError):
        await served_by(nginx)
    nginx.start()
    await nginx.until_live("router-0")
    assert await served_by(nginx) == ["router-0"]


async def test_a_graceful_stop_leaves_no_process_no_listener_and_no_pid_file(nginx, router):
    await balance_over(nginx, await router("router-0"))
    await served_by(nginx, 3)
    assert nginx.master.members()
    assert await nginx.master.quit() == 0
    assert nginx.master.members() == []
    for url in (nginx.front, nginx.status):
        with pytest.raises(aiohttp.ClientConnectorError):
            await nginx.session.get(url)
    assert not Path(nginx.settings.prefix, "nginx.pid").exists()
    assert [path.name for path in nginx.conf.parent.iterdir()] == ["nginx.conf"]


async def test_nginx_writes_only_below_its_prefix(nginx, router):
    await balance_over(nginx, await router("router-0"))
    await served_by(nginx, body=b"x" * 3_000_000)
    assert {path.name for path in Path(nginx.settings.prefix).iterdir()} == {
        *("nginx.pid", "client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    }
    assert nginx.master.log.read_text() == ""


@pytest.fixture
def homeless():
    """A directory of nobody, outside the private one of this test run."""
    directory = Path(tempfile.mkdtemp(prefix="pdsup-nginx-"))
    yield directory
    shutil.rmtree(directory)


async def test_no_root_is_needed(homeless, session, run_bench, make_settings, router):
    settings = make_settings(homeless, user=None)
    as_nobody = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    async with run_bench(homeless, session, settings, **as_nobody) as nginx:
        nginx.reloader.prepare()
        for path in (homeless, *homeless.rglob("*")):
            os.chown(path, as_nobody.get("user", -1), as_nobody.get("group", -1))
        nginx.start()
        await balance_over(nginx, await router("router-0"))
        assert await served_by(nginx) == ["router-0"]


async def test_braces_and_semicolons_in_a_path_stay_in_the_path(
    tmp_path, session, run_bench, make_settings
):
    directory = tmp_path / "a; } location ; { return 200 'x'; #"
    directory.mkdir()
    async with run_bench(directory, session, make_settings(directory)) as nginx:
        nginx.start()
        await nginx.until_live()
        command = [nginx.master.binary, "-p", nginx.settings.prefix, "-c", nginx.conf, "-T", "-q"]
        dump = await asyncio.to_thread(subprocess.check_output, command, text=True)
        assert render(nginx.reloader._settings, []).text in dump
        plain = render(
            make_settings(tmp_path, spares_idle=nginx.reloader._settings.spares_idle), []
        ).text
        assert skeleton(parse(dump)) == skeleton(parse(plain))
        async with session.get(nginx.front) as response:
            assert response.status == 503
