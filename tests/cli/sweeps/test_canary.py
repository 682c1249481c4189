"""One tiny generation before anything is measured."""

import http.server
import json
import threading

import pytest

from pdsup.cli.sweeps import canary

MODELS = {"data": [{"id": "tiny"}]}
GOOD = {"choices": [{"message": {"content": "yes"}}]}


@pytest.fixture
def front():
    """A front that answers what it is told to, and what it was asked."""
    answers, asked = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(200, MODELS)

        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(*(answers.pop(0) if len(answers) > 1 else answers[0]))

        def answer(self, status, value):
            body = json.dumps(value).encode() if not isinstance(value, bytes) else value
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers, asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("answer", [
    GOOD,
    {"choices": [{"message": {"content": "", "reasoning_content": "hm"}}]},
    {"choices": [{"message": {"content": None}}], "usage": {"completion_tokens": 2}},
])  # fmt: skip
def test_a_token_of_any_kind_is_enough(front, answer):
    url, answers, asked = front
    answers.append((200, answer))
    assert canary.asked(url) == ""
    assert (asked[0]["model"], asked[0]["max_tokens"]) == ("tiny", 2)


@pytest.mark.parametrize(("status", "answer", "why"), [
    (503, b"no worker", "HTTP 503: no worker"),
    (200, {"choices": [{"message": {"content": ""}}]}, "an answer without a token: "),
    (200, b"<html>", "not an answer of an engine"),
    (200, [], "not an answer of an engine"),
    (200, {"choices": []}, "not an answer of an engine"),
])  # fmt: skip
def test_anything_else_is_said(front, status, answer, why):
    url, answers, _ = front
    answers.append((status, answer))
    assert canary.asked(url).startswith(why)


def test_a_front_that_is_not_there_is_said():
    assert canary.asked("http://127.0.0.1:1") == "[Errno 111] Connection refused"


def test_it_asks_until_a_token_comes(front, monkeypatch):
    monkeypatch.setattr(canary, "PAUSE_S", 0.0)
    url, answers, asked = front
    answers += [(503, b""), (503, b""), (200, GOOD)]
    assert canary.waited(url) == ""
    assert len(asked) == 3


def test_it_gives_up_when_the_time_is_over(front):
    url, answers, _ = front
    answers.append((503, b"all circuits open"))
    assert canary.waited(url, lambda: True).endswith(": HTTP 503: all circuits open")
