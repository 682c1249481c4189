"""Asks for one tiny generation through the front, as a client would.

Workers that are ready and can't generate, since KV transfers fail or every breaker is open, are the
commonest false success of a benchmark.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from pdsup import clock
from pdsup.cli.screens.waiting import Silence
from pdsup.cli.terminal.say import say
from pdsup.printable import printable
from pdsup.times import duration

MODELS, CHAT = "/v1/models", "/v1/chat/completions"
ANSWER_S = 30.0
# How long, and how often, to ask before it is given up: routers take a while to use a worker again.
PATIENCE_S, PAUSE_S = 120.0, 1.0
SHOWN = 200
MOST_BYTES = 1 << 20


def waited(url: str, over: Callable[[], bool] = lambda: False) -> str:
    """Waits until the front at a URL generates; "" then, else why it does not.

    ``over``: whether there is no time left.
    """
    until, silence = clock.monotonic() + PATIENCE_S, Silence(say)
    while why := asked(url):
        if over() or clock.monotonic() > until:
            return f"no generation through {url} within {duration(PATIENCE_S)}: {why}"
        silence.explain([f"a generation through {url}: {why}"])
        time.sleep(PAUSE_S)
    return ""


def asked(url: str) -> str:
    """Asks once; "" if a token came, else what was answered."""
    try:
        models = _json(url + MODELS)
        name = models["data"][0]["id"]
        body = {
            "model": name,
            "max_tokens": 2,
            "messages": [{"role": "user", "content": "Say yes."}],
        }
        answer = _json(url + CHAT, json.dumps(body).encode())
        return "" if _has_token(answer) else f"an answer without a token: {_shown(answer)}"
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code}: {_read(error)}"
    except OSError as error:
        return str(getattr(error, "reason", error))
    except (ValueError, LookupError, TypeError) as error:
        return f"not an answer of an engine ({type(error).__name__})"


def _json(url: str, body: bytes | None = None) -> Any:
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, head)  # noqa: S310 (the plan's own)
    # The front is on this network, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=ANSWER_S) as answer:
        return json.loads(answer.read(MOST_BYTES))


def _has_token(answer: Any) -> bool:
    """Whether an answer has text, also text of reasoning, or counts a token."""
    message = answer["choices"][0]["message"]
    counted = (answer.get("usage") or {}).get("completion_tokens")
    return bool(message.get("content") or message.get("reasoning_content") or counted)


def _shown(value: Any) -> str:
    return printable(json.dumps(value))[:SHOWN]


def _read(error: urllib.error.HTTPError) -> str:
    with contextlib.suppress(OSError, ValueError):
        return printable(error.read(SHOWN).decode(errors="replace")).strip()
    return ""
