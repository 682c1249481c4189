"""The mock engine, a stand-in for SGLang without GPUs, with the same flags and API. Pure."""

from __future__ import annotations

from dataclasses import replace

from pdsup.plan import defaults
from pdsup.plan.engines import sglang
from pdsup.plan.engines.engine import Engine, EngineSettings, Rank

MODULE = "pdsup.mock.worker"
LOAD_TOOL = "pdsup.mock.bench"


def command(settings: EngineSettings, rank: Rank) -> tuple[str, ...]:
    """The command line of one rank."""
    return ("python3", "-m", MODULE, *sglang.arguments(settings, rank))


ENGINE: Engine = replace(
    sglang.ENGINE,
    name="mock",
    command=command,
    # Its decodes notice the loss of a prefill at once, so a prefill needs no longer delay.
    restart=dict.fromkeys(sglang.ENGINE.restart, defaults.WORKER_RESTART),
    load_tool=("python3", "-m", LOAD_TOOL),
    needs_gpus=False,
)
