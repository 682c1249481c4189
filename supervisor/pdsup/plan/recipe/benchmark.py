"""A recipe's benchmark: the user's own command, or a sweep with a well-known load tool. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pdsup.errors import Problem
from pdsup.plan.engines.engine import Engine, EngineSettings
from pdsup.plan.model import Sweep
from pdsup.plan.recipe.words import words
from pdsup.typed import show

# srtctl's names of benchmarks. Random prompts, with the engine's load tool:
LOADS = ("sa-bench", "sglang-bench")
# Random prompts, and a trace, with NVIDIA AIPerf:
AIPERF, TRACE, SCHEDULE = "aiperf", "trace-replay", "mooncake-router"
# What each must have.
LENGTHS = ("isl", "osl", "concurrencies")
NEEDED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*LOADS, AIPERF), LENGTHS),
    TRACE: ("trace_file",),
    SCHEDULE: ("trace_file",),  # srtctl downloads it
}
# Accuracy, with SGLang's evaluations: srtctl's defaults of examples, tokens, repeats and threads.
EVALUATIONS: Mapping[str, Mapping[str, int]] = {
    "mmlu": {"num_examples": 200, "max_tokens": 2048, "repeat": 8, "num_threads": 512},
    "gpqa": {"num_examples": 198, "max_tokens": 32768, "repeat": 8, "num_threads": 128},
    "gsm8k": {"num_examples": 200, "max_tokens": 512, "num_threads": 128},
}
TYPES = (*NEEDED, *EVALUATIONS, "custom", "manual")
SETTINGS = frozenset(
    {
        "type", "command", "env", "tool", "isl", "osl", "concurrencies", "req_rate", "trace_file",
        "random_range_ratio", "num_prompts_mult", "num_warmup_mult", "use_chat_template",
        "ttft_threshold_ms", "itl_threshold_ms", "num_examples", "max_tokens", "repeat",
        "num_threads",
    }
)  # fmt: skip
# srtctl's defaults of the others.
RANGE_RATIO = 0.8
PROMPTS, WARMUP = 10, 2
TRACE_POINTS = (1, 5, 25, 50)
TTFT_MS, ITL_MS = 2000.0, 25.0
# What only a shell understands.
_SHELL = re.compile(r"[$`|&;<>()*?~#\n]")


def command(given: Any, problems: list[Problem]) -> tuple[str, ...]:
    """The words of the user's own command; empty if there is none.

    As with srtctl, a text that is more than words runs in ``bash -lc``.
    """
    if given is not None and not isinstance(given, dict):
        problems.append(Problem("benchmark", f"must be a table of settings, not {show(given)}"))
    table = given if isinstance(given, dict) else {}
    own = table.get("command")
    if isinstance(own, str) and _SHELL.search(own):
        own = ["bash", "-lc", own]
    return words(own, "benchmark.command", problems)


def sweep(
    given: Any, engine: Engine, worker: EngineSettings, problems: list[Problem]
) -> Sweep | None:
    """The sweep of a benchmark; None if it is none.

    ``worker``: the settings of one that answers clients.
    """
    if not isinstance(given, dict) or lacking(given):
        return None
    before, kind = len(problems), str(given["type"])
    number = _Numbers(given, problems)
    points: Sequence[object] = (kind,)
    if kind in EVALUATIONS:
        tool = _evaluation(kind, worker, number)
    else:
        if kind != SCHEDULE:
            points = _concurrencies(given.get("concurrencies") or TRACE_POINTS, problems)
        if kind in LOADS and given.get("tool") != AIPERF:
            tool = (*engine.load_tool, *_bench_serving(given, worker, number))
        else:
            tool = (AIPERF, "profile", *_aiperf(given, kind, worker, number))
    found = Sweep(points=tuple(map(str, points)), command=tool)
    return None if len(problems) > before else found


def lacking(given: Mapping[str, Any]) -> str:
    """Why a benchmark is no sweep; "" if it is one."""
    kind = given.get("type")
    if kind in EVALUATIONS:
        return ""
    if not isinstance(kind, str) or kind not in NEEDED:
        return "it is none that is run here"
    missing = [name for name in NEEDED[kind] if given.get(name) in (None, "", [], ())]
    return f"it lacks {' and '.join(missing)}" if missing else ""


def _bench_serving(
    given: Mapping[str, Any], worker: EngineSettings, number: _Numbers
) -> tuple[str, ...]:
    """The flags of SGLang's ``bench_serving``."""
    chat = given.get("use_chat_template") is not False
    flags = {
        "--backend": "sglang-oai-chat" if chat else "sglang-oai",
        "--base-url": "{url}",
        "--model": worker.served_model_name,
        "--tokenizer": worker.model_path,
        "--dataset-name": "random",
        "--random-input-len": number.whole("isl"),
        "--random-output-len": number.whole("osl"),
        "--random-range-ratio": number.share("random_range_ratio", RANGE_RATIO),
        "--request-rate": number.positive("req_rate", math.inf),
        "--max-concurrency": "{}",
        "--num-prompts": f"{{*{number.whole('num_prompts_mult', PROMPTS)}}}",
        "--warmup-requests": f"{{*{number.whole('num_warmup_mult', WARMUP)}}}",
        "--output-file": "{results}/bench.jsonl",
    }
    return (*_words(flags), "--output-details", "--disable-tqdm")


def _aiperf(
    given: Mapping[str, Any], kind: str, worker: EngineSettings, number: _Numbers
) -> tuple[str, ...]:
    """The flags of NVIDIA's ``aiperf profile``."""
    flags = {
        "--url": "{url}",
        "--model": worker.served_model_name,
        "--tokenizer": worker.model_path,
        "--endpoint-type": "chat",
        "--artifact-dir": "{results}",
        "--ui": "none",
    }
    if kind != SCHEDULE:
        flags["--concurrency"] = "{}"
    if kind in (TRACE, SCHEDULE):
        ttft = number.positive("ttft_threshold_ms", TTFT_MS)
        itl = number.positive("itl_threshold_ms", ITL_MS)
        flags |= {
            "--input-file": str(given["trace_file"]),
            "--custom-dataset-type": "mooncake_trace",
            "--goodput": f"time_to_first_token:{ttft} inter_token_latency:{itl}",
        }
    else:
        rate = number.positive("req_rate", math.inf)
        flags |= {
            "--synthetic-input-tokens-mean": number.whole("isl"),
            "--output-tokens-mean": number.whole("osl"),
            "--request-count": f"{{*{number.whole('num_prompts_mult', PROMPTS)}}}",
            "--warmup-request-count": f"{{*{number.whole('num_warmup_mult', WARMUP)}}}",
            **({} if rate == "inf" else {"--request-rate": rate}),
        }
    schedule = ("--fixed-schedule",) if kind == SCHEDULE else ()
    return (*_words(flags), *schedule, "--streaming", "--use-server-token-count")


def _evaluation(kind: str, worker: EngineSettings, number: _Numbers) -> tuple[str, ...]:
    """SGLang's own evaluation, with its flags."""
    flags = {"--base-url": "{url}", "--model": worker.served_model_name, "--eval-name": "{}"}
    for name, default in EVALUATIONS[kind].items():
        flags[f"--{name.replace('_', '-')}"] = number.whole(name, default)
    return ("python3", "-m", "sglang.test.run_eval", *_words(flags))


def _words(flags: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for flag in flags.items() for word in flag)


def _concurrencies(given: Any, problems: list[Problem]) -> list[int]:
    """The concurrencies of a list, of text such as ``4x8x16``, or of one number."""
    texts = given if isinstance(given, list | tuple) else re.split(r"[x, ]+", str(given).strip())
    points = [int(str(one)) for one in texts if re.fullmatch(r"[1-9]\d{0,6}", str(one))]
    if len(points) < len(texts):
        wanted = "must be numbers of requests at once, such as [4, 8, 16] or 4x8x16"
        problems.append(Problem("benchmark.concurrencies", f"{wanted}, not {show(given)}"))
    return list(dict.fromkeys(points))


class _Numbers:
    """Reads the numbers of a benchmark's table, as text for a command line."""

    def __init__(self, given: Mapping[str, Any], problems: list[Problem]) -> None:
        self._given = given
        self._problems = problems

    def whole(self, name: str, default: int = 1) -> str:
        """A whole number above 0."""
        value = self._given.get(name)
        if value is None:
            return str(default)
        if isinstance(value, bool) or not re.fullmatch(r"[1-9]\d{0,8}", str(value)):
            self._refuse(name, "must be a whole number above 0", value)
        return str(value)

    def share(self, name: str, default: float) -> str:
        """A number from 0 to 1."""
        value = self._number(name, default)
        if not 0 <= value <= 1:
            self._refuse(name, "must be from 0 to 1", self._given.get(name))
        return f"{value:g}"

    def positive(self, name: str, default: float) -> str:
        """A number above 0, or ``inf``."""
        value = self._number(name, default)
        if not value > 0:
            self._refuse(name, 'must be above 0, or "inf"', self._given.get(name))
        return f"{value:g}"

    def _number(self, name: str, default: float) -> float:
        value = self._given.get(name)
        if value is None:
            return default
        try:
            return math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            return math.nan

    def _refuse(self, name: str, wanted: str, value: Any) -> None:
        self._problems.append(Problem(f"benchmark.{name}", f"{wanted}, not {show(value)}"))
