"""What generating requests mean and what their answers look like."""

import json

import pytest

from pdsup.mock import wire
from pdsup.mock.wire import Api, BadRequest, Bootstrap

HEAD = {"id": "1", "created": 0, "model": "tiny"}
CHAT = {"messages": [{"role": "user", "content": "why is the sky blue"}], "max_tokens": 5}


def events(job):
    """What a client of a stream reads, ``[DONE]`` included."""
    steps = [b"".join(wire.step(job, HEAD, i)) for i in range(job.tokens)]
    lines = b"".join([*steps, *wire.tail(job, HEAD)]).decode().split("\n\n")
    *events, done, nothing = [line.removeprefix("data: ") for line in lines]
    assert (done, nothing) == ("[DONE]", "")
    return [json.loads(event) for event in events]


def test_the_text_depends_on_the_prompt_and_the_length_only():
    assert wire.text("a", 6) == wire.text("a", 6)
    assert wire.text("a", 6).startswith(wire.text("a", 5))
    assert wire.text("a", 6) != wire.text("b", 6)
    assert len(wire.text("a", 6).split()) == 6


def test_a_streamed_chat_adds_up_to_the_plain_one():
    job = wire.read(Api.CHAT, CHAT)
    plain = wire.whole(job, HEAD)["choices"][0]
    chunks = [event["choices"][0] for event in events(job)]
    assert "".join(c["delta"]["content"] or "" for c in chunks) == plain["message"]["content"]
    assert chunks[0]["delta"]["role"] == "assistant"
    assert [c["finish_reason"] for c in chunks] == [None] * 5 + ["length"]


def test_a_streamed_completion_adds_up_for_every_prompt_of_the_batch():
    job = wire.read(Api.COMPLETION, {"prompt": ["a", "b"], "max_tokens": 3, "n": 2})
    texts = {}
    for event in events(job):
        choice = event["choices"][0]
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    assert list(texts.values()) == [choice["text"] for choice in wire.whole(job, HEAD)["choices"]]
    assert texts[0] == texts[1] != texts[2]


def test_every_event_of_generate_repeats_the_text_from_its_start():
    body = {"text": "a", "sampling_params": {"max_new_tokens": 3}}
    job = wire.read(Api.GENERATE, body)
    seen = events(job)
    assert [event["text"] for event in seen] == [wire.text("a", n) for n in (1, 2, 3)]
    assert [bool(e["meta_info"]["finish_reason"]) for e in seen] == [False, False, True]
    assert wire.whole(job, HEAD) == seen[-1]


def test_a_batch_of_generate_is_answered_by_a_list():
    job = wire.read(Api.GENERATE, {"input_ids": [[1, 2], [3]]})
    assert [answer["meta_info"]["prompt_tokens"] for answer in wire.whole(job, HEAD)] == [2, 1]


def test_usage_comes_last_in_a_stream_that_asks_for_it():
    job = wire.read(Api.CHAT, {**CHAT, "stream_options": {"include_usage": True}})
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    assert events(job)[-1]["usage"].items() >= usage.items()


def test_an_answer_without_a_limit_ends_by_itself():
    job = wire.read(Api.COMPLETION, {"prompt": "a"})
    assert wire.whole(job, HEAD)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit_are_obeyed(name):
    assert wire.read(Api.CHAT, {"messages": CHAT["messages"], name: 7}).tokens == 7


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (Api.CHAT, []),
        (Api.CHAT, {}),
        (Api.CHAT, {"messages": ["hello"]}),
        (Api.CHAT, {**CHAT, "max_tokens": 0}),
        (Api.CHAT, {**CHAT, "n": "two"}),
        (Api.CHAT, {**CHAT, "stream_options": 1}),
        (Api.COMPLETION, {"prompt": [{}]}),
        (Api.GENERATE, {"text": "a", "sampling_params": {"max_new_tokens": "5"}}),
        (
            Api.GENERATE,
            {
                "text": "a",
                "bootstrap_room": [1, 2],
                "bootstrap_host": ["p", "q"],
                "bootstrap_port": [1, 2, 3],
            },
        ),
    ],
    ids=str,
)
def test_nonsense_is_refused(api, body):
    with pytest.raises(BadRequest):
        wire.read(api, body)


def test_bootstrap_fields_come_single_or_in_lists():
    single = {"bootstrap_host": "p", "bootstrap_port": 30001, "bootstrap_room": 7}
    assert wire.read(Api.CHAT, {**CHAT, **single}).bootstraps == (Bootstrap("p", 30001),)
    lists = {"bootstrap_host": ["p", "q"], "bootstrap_port": [1, None], "bootstrap_room": [7, 8]}
    batch = wire.read(Api.COMPLETION, {"prompt": ["a", "b"], **lists})
    assert batch.bootstraps == (Bootstrap("p", 1), Bootstrap("q", None))


def test_a_request_without_a_room_is_not_disaggregated():
    null = {"bootstrap_host": None, "bootstrap_port": None, "bootstrap_room": None}
    assert wire.read(Api.CHAT, {**CHAT, **null}).bootstraps == ()
