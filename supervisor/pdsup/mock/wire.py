"""Requests and responses on the wire, for the three endpoints that generate.

The text of a response consists of fixed words and depends only on the prompt and the position, so
that a test can tell a mixed-up or truncated response from a good one. Pure.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
DEFAULT_TOKENS = 16
WORDS = ("prefill", "decode", "rank", "router", "token", "cache", "batch", "node")


class Api(Enum):
    """The endpoints that generate."""

    CHAT = "/v1/chat/completions"
    COMPLETION = "/v1/completions"
    GENERATE = "/generate"


class BadRequest(ValueError):
    """A request that no engine could answer; the response is a 400."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Where a decode fetches a request's KV cache. ``port`` None: the one of the decode's flag."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Job:
    """One request. Every prompt is answered with ``tokens`` tokens."""

    api: Api
    prompts: tuple[str, ...]
    batch: bool
    tokens: int
    finish_reason: str
    stream: bool
    usage_in_stream: bool
    bootstraps: tuple[Bootstrap, ...]

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the prompts have together, one per word."""
        return sum(_size(prompt) for prompt in self.prompts)


def read(api: Api, body: object) -> Job:
    """The job that a request's JSON describes; raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest("the request body must be a JSON object")
    prompts, batch = _prompts(api, body)
    wanted = _wanted(api, body)
    return Job(
        api=api,
        prompts=prompts,
        batch=batch,
        tokens=DEFAULT_TOKENS if wanted is None else wanted,
        finish_reason="stop" if wanted is None else "length",
        stream=bool(body.get("stream")),
        usage_in_stream=bool(_section(body, "stream_options").get("include_usage")),
        bootstraps=_bootstraps(body),
    )


def text(prompt: str, tokens: int) -> str:
    """The first ``tokens`` tokens of the response to a prompt."""
    return "".join(token(prompt, i) for i in range(tokens))


def token(prompt: str, position: int) -> str:
    """The token at a position, from 0, of the response to a prompt."""
    word = WORDS[(zlib.crc32(prompt.encode()) + position) % len(WORDS)]
    return word if position == 0 else f" {word}"


def whole(job: Job, head: Json) -> Json | list[Json]:
    """The response to a job that does not stream. ``head`` has its id, time and model."""
    if job.api is Api.GENERATE:
        results = [_generated(job, head, i, job.tokens) for i in range(len(job.prompts))]
        return results if job.batch else results[0]
    kind = "chat.completion" if job.api is Api.CHAT else "text_completion"
    choices = [_choice(job, i, prompt) for i, prompt in enumerate(job.prompts)]
    return {**head, "object": kind, "choices": choices, "usage": _usage(job)}


def step(job: Job, head: Json, position: int) -> Iterator[bytes]:
    """The stream events for one token of every prompt."""
    for index, prompt in enumerate(job.prompts):
        if job.api is Api.GENERATE:
            place = {"index": index} if job.batch else {}
            yield event({**_generated(job, head, index, position + 1), **place})
        else:
            role = {"role": "assistant"} if position == 0 else {}
            yield event(_chunk(job, head, index, token(prompt, position), role, None))


def tail(job: Job, head: Json) -> Iterator[bytes]:
    """The stream events after the last token."""
    if job.api is not Api.GENERATE:
        for index in range(len(job.prompts)):
            yield event(_chunk(job, head, index, "", {}, job.finish_reason))
        if job.usage_in_stream:
            yield event({**head, "object": _chunk_kind(job), "choices": [], "usage": _usage(job)})
    yield DONE


def event(value: Json) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def error(status: int, message: str) -> Json:
    """The body of a response that is not a 2xx."""
    kind = "BadRequest" if status == 400 else "InternalServerError"
    return {"object": "error", "message": message, "type": kind, "param": None, "code": status}


def _prompts(api: Api, body: Json) -> tuple[tuple[str, ...], bool]:
    prompts, batch = _prompts_of(api, body)
    count = body.get("n") or 1
    if not isinstance(count, int) or count < 1:
        raise BadRequest(f"n must be a whole number >= 1, not {count!r}")
    return tuple(prompt for prompt in prompts for _ in range(count)), batch


def _prompts_of(api: Api, body: Json) -> tuple[tuple[str, ...], bool]:
    match api:
        case Api.CHAT:
            return (_conversation(body.get("messages")),), False
        case Api.COMPLETION:
            return _texts(body.get("prompt"), "prompt")
        case Api.GENERATE:
            text = body.get("text")
            return _texts(body.get("input_ids") if text is None else text, "text")
        case _:
            assert_never(api)


def _conversation(messages: object) -> str:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a non-empty list")
    if not all(isinstance(message, dict) for message in messages):
        raise BadRequest("every message must be an object with role and content")
    return "\n".join(str(message.get("content")) for message in messages)


def _texts(given: object, name: str) -> tuple[tuple[str, ...], bool]:
    """The prompts in one of the four forms that SGLang takes: text, token ids, a list of either."""
    if isinstance(given, str):
        return (given,), False
    if isinstance(given, list) and given:
        if all(isinstance(item, int) for item in given):
            return (_spell(given),), False
        return tuple(item if isinstance(item, str) else _spell(item) for item in given), True
    raise BadRequest(f"{name} must be text, a list of token ids, or a list of these")


def _spell(numbers: object) -> str:
    if not isinstance(numbers, list):
        raise BadRequest(f"{numbers!r} is neither text nor a list of token ids")
    return " ".join(str(number) for number in numbers)


def _wanted(api: Api, body: Json) -> int | None:
    if api is Api.GENERATE:
        value = _section(body, "sampling_params").get("max_new_tokens")
    else:
        value = body.get("max_completion_tokens", body.get("max_tokens"))
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise BadRequest(f"the number of tokens must be a whole number >= 1, not {value!r}")
    return value


def _section(body: Json, name: str) -> Json:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise BadRequest(f"{name} must be an object")
    return value


def _bootstraps(body: Json) -> tuple[Bootstrap, ...]:
    """The bootstrap addresses from the router: single values, or lists as long as the batch."""
    if body.get("bootstrap_room") is None:
        return ()
    hosts, ports = (_listed(body.get(f"bootstrap_{name}")) for name in ("host", "port"))
    if len(ports) not in (1, len(hosts)):
        raise BadRequest("bootstrap_host and bootstrap_port differ in length")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return tuple({Bootstrap(str(h), p): None for h, p in zip(hosts, ports, strict=True)})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _size(prompt: str) -> int:
    return max(1, len(prompt.split()))


def _usage(job: Job) -> Json:
    made = job.tokens * len(job.prompts)
    return {
        "prompt_tokens": job.prompt_tokens,
        "total_tokens": job.prompt_tokens + made,
        "completion_tokens": made,
        "prompt_tokens_details": None,
    }


def _choice(job: Job, index: int, prompt: str) -> Json:
    content = text(prompt, job.tokens)
    chat = {"message": {"role": "assistant", "content": content, "tool_calls": None}}
    rest = {"logprobs": None, "finish_reason": job.finish_reason, "matched_stop": None}
    return {"index": index, **(chat if job.api is Api.CHAT else {"text": content}), **rest}


def _chunk_kind(job: Job) -> str:
    return "chat.completion.chunk" if job.api is Api.CHAT else "text_completion"


def _chunk(
    job: Job, head: Json, index: int, content: str, role: Json, finish_reason: str | None
) -> Json:
    chat = job.api is Api.CHAT
    said = {"delta": {**role, "content": content or None}} if chat else {"text": content}
    rest = {"logprobs": None, "finish_reason": finish_reason, "matched_stop": None}
    choice = {"index": index, **said, **rest}
    return {**head, "object": _chunk_kind(job), "choices": [choice], "usage": None}


def _generated(job: Job, head: Json, index: int, tokens: int) -> Json:
    """A response of /generate; each streamed event repeats the text from its start."""
    prompt = job.prompts[index]
    detail = {"length": tokens} if job.finish_reason == "length" else {"matched": None}
    reason = {"type": job.finish_reason, **detail}
    meta = {
        "id": head["id"],
        "finish_reason": reason if tokens == job.tokens else None,
        "prompt_tokens": _size(prompt),
        "completion_tokens": tokens,
        "cached_tokens": 0,
        "weight_version": "default",
    }
    return {"text": text(prompt, tokens), "meta_info": meta}
