"""``python -m pdsup.mock.bench``: stands in for ``python -m sglang.bench_serving``.

It has the flags and the result file that a sweep needs and really sends its requests, but only so
many and so long ones as a stand-in for an engine answers in a moment; all other flags are accepted
and ignored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# More is sent only if these variables say so.
MOST_PROMPTS = ("MOCK_BENCH_PROMPTS", 64)
MOST_TOKENS = ("MOCK_BENCH_TOKENS", 16)
REQUEST_S = 60.0
PATHS = {"sglang-oai": "/v1/completions", "sglang-oai-chat": "/v1/chat/completions"}


@dataclass(slots=True)
class Request:
    """One request: ``times`` of its tokens and of its beginning, in monotonic seconds."""

    began: float
    times: list[float] = field(default_factory=list)
    error: str = ""


def main(argv: Sequence[str]) -> int:
    """Sends the load, writes the result file and prints a summary; returns the exit status."""
    args, _ = _parser().parse_known_args(argv)
    prompts, tokens = _most(MOST_PROMPTS, args.num_prompts), _most(MOST_TOKENS, args.output_len)
    print(
        f"stand-in: {prompts} of {args.num_prompts} prompts, {tokens} of {args.output_len} tokens"
    )
    began = time.monotonic()
    sent = asyncio.run(_load(args, prompts, tokens))
    found = _summary(args, sent, time.monotonic() - began)
    if args.output_file:
        with open(args.output_file, "a", encoding="utf-8") as file:  # noqa: PTH123 (as given)
            file.write(json.dumps(found) + "\n")
    print(f"completed {found['completed']} of {prompts} requests")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pdsup.mock.bench")
    parser.add_argument("--backend", choices=PATHS, default="sglang-oai")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default="mock")
    parser.add_argument("--random-output-len", dest="output_len", type=int, default=16)
    parser.add_argument("--max-concurrency", type=int, default=1)
    parser.add_argument("--num-prompts", type=int, default=10)
    parser.add_argument("--output-file")
    return parser


def _most(limit: tuple[str, int], wanted: int) -> int:
    variable, default = limit
    return min(wanted, int(os.environ.get(variable, default)))


async def _load(args: argparse.Namespace, prompts: int, tokens: int) -> list[Request]:
    import aiohttp

    left = iter(range(prompts))
    sent: list[Request] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for number in left:
            request = Request(time.monotonic())
            sent.append(request)
            try:
                await _send(session, args, number, tokens, request)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                request.error = f"{type(error).__name__}: {error}"

    timeout = aiohttp.ClientTimeout(total=REQUEST_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(*(client(session) for _ in range(args.max_concurrency)))
    return sent


async def _send(
    session: Any, args: argparse.Namespace, number: int, tokens: int, request: Request
) -> None:
    text = f"prompt {number} of many words"
    prompt: dict[str, Any] = {"prompt": text}
    if args.backend.endswith("chat"):
        prompt = {"messages": [{"role": "user", "content": text}]}
    body = {"model": args.model, "max_tokens": tokens, "stream": True, **prompt}
    async with session.post(args.base_url + PATHS[args.backend], json=body) as answer:
        if answer.status != 200:
            request.error = f"HTTP {answer.status}"
        async for line in answer.content:
            if line.startswith(b"data: {") and _has_token(json.loads(line[6:])):
                request.times.append(time.monotonic())


def _has_token(chunk: dict[str, Any]) -> bool:
    choice = (chunk.get("choices") or [{}])[0]
    return bool(choice.get("text") or (choice.get("delta") or {}).get("content"))


def _summary(args: argparse.Namespace, sent: Sequence[Request], seconds: float) -> dict[str, Any]:
    good = [one for one in sent if not one.error]
    tokens = sum(len(one.times) for one in good)
    answered = [one for one in good if one.times]
    itl = [b - a for one in good for a, b in zip(one.times, one.times[1:], strict=False)]
    tpot = [(one.times[-1] - one.times[0]) / (len(one.times) - 1) for one in good if one.times[1:]]
    return {
        "backend": args.backend,
        "max_concurrency": args.max_concurrency,
        "duration": seconds,
        "completed": len(good),
        "total_output_tokens": tokens,
        "request_throughput": len(good) / seconds,
        "output_throughput": tokens / seconds,
        **_statistics("ttft", [one.times[0] - one.began for one in answered]),
        **_statistics("itl", itl),
        **_statistics("tpot", tpot),
        **_statistics("e2e_latency", [one.times[-1] - one.began for one in answered]),
        "errors": [one.error for one in sent],
    }


def _statistics(name: str, seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {f"{what}_{name}_ms": 0.0 for what in ("mean", "median", "p90", "p99")}
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3

    return {
        f"mean_{name}_ms": statistics.fmean(seconds) * 1e3,
        f"median_{name}_ms": statistics.median(seconds) * 1e3,
        f"p90_{name}_ms": at(0.9),
        f"p99_{name}_ms": at(0.99),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
