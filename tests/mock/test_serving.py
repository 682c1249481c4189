"""Requests to workers: answers, prefill/decode transfer, and what is shown about them."""

import asyncio
import json
import socket

import pytest
from aiohttp import web

from pdsup.mock import wire
from pdsup.mock.faults import Faults
from pdsup.mock.knobs import Knobs
from pdsup.mock.peers import RUN_HEADER, KvReceiver, KvTransferFailed
from pdsup.mock.server import open_server

BOOTSTRAP = 30001
CHAT = "/v1/chat/completions"


def question(tokens=4, **more):
    return {"messages": [{"role": "user", "content": "why"}], "max_tokens": tokens, **more}


def by_way_of(host, port=BOOTSTRAP):
    """What a router adds to a request for its transfer."""
    return {"bootstrap_host": host, "bootstrap_port": port, "bootstrap_room": 7}


def test_a_worker_of_its_own_answers_plain_and_streamed(aggregated):
    status, answer = aggregated.post(CHAT, question())
    assert status == 200
    content = answer["choices"][0]["message"]["content"]
    assert (content, answer["model"]) == (wire.text("why", 4), "tiny")
    with aggregated.stream(CHAT, question()) as events:
        *chunks, done = events
    pieces = [json.loads(chunk)["choices"][0]["delta"]["content"] or "" for chunk in chunks]
    assert ("".join(pieces), done) == (content, "[DONE]")


def test_a_worker_describes_itself_to_routers(aggregated):
    info = json.loads(aggregated.get("/server_info")[1])
    assert json.loads(aggregated.get("/get_server_info")[1]) == info
    assert (info["served_model_name"], info["model_path"]) == ("tiny", "/models/tiny")
    assert (info["tp_size"], info["dp_size"], info["disaggregation_mode"]) == (2, 2, "null")
    for path in ("/model_info", "/get_model_info", "/v1/models", "/flush_cache"):
        assert aggregated.status(path) == 200
    for path in ("/get_load", "/v1/loads"):
        assert [load["num_reqs"] for load in json.loads(aggregated.get(path)[1])] == [0, 0]
    assert aggregated.ask("POST", "/flush_cache")[0] == 200


def test_without_its_flag_a_worker_has_no_metrics(aggregated):
    assert aggregated.status("/metrics") == 404


def test_what_is_no_http_does_no_harm(aggregated):
    with socket.create_connection((aggregated.host, 30000), timeout=60) as probe:
        probe.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert probe.recv(100).startswith((b"HTTP/1", b""))
    assert aggregated.status("/health") == 200


@pytest.mark.parametrize("body", [{}, {"messages": []}, [1]], ids=str)
def test_nonsense_gets_a_400(aggregated, body):
    assert aggregated.post(CHAT, body)[0] == 400


def test_a_body_that_is_no_json_gets_a_400(aggregated):
    assert aggregated.ask("POST", CHAT)[0] == 400


def test_the_prefill_makes_one_token_and_the_decode_all(pair):
    prefill, decode = pair
    body = question(9, **by_way_of(prefill.host))
    assert prefill.post(CHAT, body)[1]["usage"]["completion_tokens"] == 1
    assert decode.post(CHAT, body)[1]["usage"]["completion_tokens"] == 9


def test_generate_and_completions_pass_the_transfer_too(pair):
    prefill, decode = pair
    way = by_way_of(prefill.host)
    many = {name: [value, value] for name, value in way.items()}
    completion = decode.post("/v1/completions", {"prompt": ["a", "b"], "max_tokens": 2, **many})
    assert len(completion[1]["choices"]) == 2
    limit = {"sampling_params": {"max_new_tokens": 3}}
    assert decode.post("/generate", {"text": "a", **limit, **way})[1]["text"] == wire.text("a", 3)


def test_a_request_without_a_room_is_refused_by_both_kinds(pair):
    assert [worker.post(CHAT, question())[0] for worker in pair] == [400, 400]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_decode_answers_500_when_the_prefill_cannot_be_reached(pair, address, stream):
    status, answer = pair[1].post(CHAT, question(**by_way_of(address()), stream=stream))
    assert (status, answer["object"]) == (500, "error")


def test_a_decode_answers_500_when_the_wrong_bootstrap_port_was_given(pair):
    prefill, decode = pair
    assert decode.post(CHAT, question(**by_way_of(prefill.host, 7200)))[0] == 500
    null = question(**by_way_of(prefill.host, None))  # means the decode's own flag, 8998 here
    assert decode.post(CHAT, null)[0] == 500


def test_a_decode_waits_a_bounded_time_for_a_prefill_that_hangs(pair, address, listener):
    host = address()
    listener(host, BOOTSTRAP)
    pair[1].fault(kv_timeout_seconds=0.2)
    assert pair[1].post(CHAT, question(**by_way_of(host)))[0] == 500
    pair[1].fault(kv_timeout_seconds=None)


def test_a_pretended_transfer_needs_no_prefill(pair):
    assert pair[1].post(CHAT, question(**by_way_of("2.2.2.2")))[0] == 200


def test_a_prefill_that_died_fails_requests_until_it_is_back(crew, pair, until):
    decode, first = pair[1], crew.prefill().until_up()
    body = question(**by_way_of(first.host))
    assert decode.post(CHAT, body)[0] == 200
    first.end()
    assert decode.post(CHAT, body)[0] == 500
    crew.prefill(host=first.host).until_up()
    assert decode.post(CHAT, body)[0] == 200


def test_a_prefill_back_before_two_missed_heartbeats_is_a_stranger(crew):
    decode, first = crew.decode(heartbeat_seconds=60), crew.prefill()
    body = question(**by_way_of(first.until_up().host))
    assert decode.until_up().post(CHAT, body)[0] == 200
    first.end()
    crew.prefill(host=first.host).until_up()
    assert decode.post(CHAT, body)[0] == 500


async def test_a_prefill_that_answers_every_heartbeat_is_not_forgotten(address):
    asked, often = [], asyncio.Event()

    async def health(_):
        asked.append(1)
        if len(asked) == 10:
            often.set()
        return web.Response(text="OK", headers={RUN_HEADER: "first" if len(asked) < 2 else "new"})

    app = web.Application()
    app.add_routes([web.get("/health", health)])
    host = address()
    job = wire.read(wire.Api.CHAT, question(**by_way_of(host)))
    runner = await open_server(app, host, BOOTSTRAP)
    decode = KvReceiver(8998, Faults(Knobs(heartbeat_seconds=0.001), None))
    try:
        async with asyncio.timeout(60):
            await decode.fetch(job)
            await often.wait()
        with pytest.raises(KvTransferFailed):
            await decode.fetch(job)
    finally:
        await decode.close()
        await runner.cleanup()


def test_a_prefill_back_after_two_missed_heartbeats_is_met_anew(crew, until):
    decode, first = crew.decode(heartbeat_seconds=0.02), crew.prefill()
    body = question(**by_way_of(first.until_up().host))
    assert decode.until_up().post(CHAT, body)[0] == 200
    first.end()
    crew.prefill(host=first.host).until_up()
    until(lambda: decode.post(CHAT, body)[0] == 200)


def test_the_metrics_count_tokens_and_running_requests(pair):
    prefill, decode = pair

    def figures():
        lines = decode.get("/metrics")[1].splitlines()
        rows = (line.split() for line in lines if not line.startswith("#"))
        return {name.partition("{")[0]: float(value) for name, value in rows}

    before = figures()
    decode.fault(token_seconds=0.02)
    with decode.stream(CHAT, question(5, **by_way_of(prefill.host))) as events:
        next(events)
        assert figures()["sglang:num_running_reqs"] == 1
        assert len(list(events)) == 6
    decode.fault(token_seconds=None)
    after = figures()
    grown = {name: after[name] - before[name] for name in after}
    assert grown == {
        "sglang:prompt_tokens_total": 1,
        "sglang:generation_tokens_total": 5,
        "sglang:num_running_reqs": 0,
    }


def test_a_client_that_goes_away_ends_its_request(aggregated, until):
    aggregated.fault(token_seconds=60)
    connection = socket.create_connection((aggregated.host, 30000), timeout=60)
    body = json.dumps(question()).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body)}\r\n\r\n"
    with connection:
        connection.sendall(head.encode() + body)
        until(lambda: json.loads(aggregated.get("/get_load")[1])[0]["num_reqs"] == 1)
    until(lambda: json.loads(aggregated.get("/get_load")[1])[0]["num_reqs"] == 0)
    aggregated.fault(token_seconds=None)
