"""A recipe's benchmark: the user's own command, or a sweep with the engine's load tool. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pdsup.errors import Problem
from pdsup.plan.engines.engine import Engine, EngineSettings
from pdsup.plan.model import Sweep
from pdsup.plan.recipe.words import words
from pdsup.typed import show

# srtctl's names of the benchmarks that send random prompts, one concurrency after another.
SWEEPS = ("sa-bench", "sglang-bench")
NEEDED = ("isl", "osl", "concurrencies")
# srtctl's defaults.
RANGE_RATIO = 0.8
PROMPTS, WARMUP = 10, 2


def command(given: Any, problems: list[Problem]) -> tuple[str, ...]:
    """The words of the user's own command; empty if there is none."""
    if given is not None and not isinstance(given, dict):
        problems.append(Problem("benchmark", f"must be a table of settings, not {show(given)}"))
    table = given if isinstance(given, dict) else {}
    return words(table.get("command"), "benchmark.command", problems)


def sweep(
    given: Any, engine: Engine, worker: EngineSettings, problems: list[Problem]
) -> Sweep | None:
    """The sweep of a benchmark; None if it is none.

    ``worker``: the settings of one that answers clients.
    """
    if not isinstance(given, dict) or lacking(given):
        return None
    before = len(problems)
    found = Sweep(
        points=tuple(map(str, _concurrencies(given["concurrencies"], problems))),
        command=(*engine.load_tool, *_flags(given, worker, problems)),
    )
    return None if len(problems) > before else found


def lacking(given: Mapping[str, Any]) -> str:
    """Why a benchmark is no sweep; "" if it is one."""
    if given.get("type") not in SWEEPS:
        return "it is no sweep of concurrencies"
    missing = [name for name in NEEDED if given.get(name) in (None, "", [], ())]
    return f"it lacks {' and '.join(missing)}" if missing else ""


def _flags(
    given: Mapping[str, Any], worker: EngineSettings, problems: list[Problem]
) -> tuple[str, ...]:
    """The load tool's flags, which are those of SGLang's ``bench_serving``."""
    number = _Numbers(given, problems)
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
        "--request-rate": number.rate("req_rate"),
        "--max-concurrency": "{}",
        "--num-prompts": f"{{*{number.whole('num_prompts_mult', PROMPTS)}}}",
        "--warmup-requests": f"{{*{number.whole('num_warmup_mult', WARMUP)}}}",
        "--output-file": "{results}/bench.jsonl",
    }
    words = (word for flag in flags.items() for word in flag)
    return (*words, "--output-details", "--disable-tqdm")


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

    def rate(self, name: str) -> str:
        """A number above 0, or ``inf``."""
        value = self._number(name, math.inf)
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
