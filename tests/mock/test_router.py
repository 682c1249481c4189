"""The real router in front of a prefill and a decode."""

import json

import pytest

from pdsup.mock import wire

pytest.importorskip("sglang_router", reason="sglang-router is not installed")

CHAT = "/v1/chat/completions"


def question(prompt):
    return {"model": "x", "messages": [{"role": "user", "content": prompt}], "max_tokens": 6}


def test_the_real_router_serves_chats_through_both(crew, router, until):
    prefill, decode = crew.prefill(), crew.decode()
    front = router(prefill, decode)
    until(lambda: front.status("/readiness") == 200, "readiness")

    workers = json.loads(front.get("/workers")[1])["workers"]
    assert {(w["worker_type"], w.get("bootstrap_port")) for w in workers} == {
        ("prefill", 30001),
        ("decode", None),
    }
    status, plain = front.post(CHAT, question("hello"))
    assert status == 200
    assert plain["choices"][0]["message"]["content"] == wire.text("hello", 6)

    with front.stream(CHAT, question("hello")) as events:
        *chunks, done = events
    pieces = [json.loads(chunk)["choices"][0]["delta"]["content"] or "" for chunk in chunks]
    assert ("".join(pieces), done) == (wire.text("hello", 6), "[DONE]")

    completion = {"model": "x", "prompt": ["a", "b"], "max_tokens": 3}
    assert [c["text"] for c in front.post("/v1/completions", completion)[1]["choices"]] == [
        wire.text("a", 3),
        wire.text("b", 3),
    ]

    prefill.end()
    assert front.ask("POST", CHAT, question("hello"))[0] >= 500
