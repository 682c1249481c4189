"""The stand-in for an engine: it takes SGLang's flags and answers as SGLang does, without GPUs.

Pure.
"""

from __future__ import annotations

from dataclasses import replace

from pdsup.plan import defaults
from pdsup.plan.engines import sglang
from pdsup.plan.engines.engine import Engine, EngineSettings, Rank

MODULE = "pdsup.mock.worker"


def command(settings: EngineSettings, rank: Rank) -> tuple[str, ...]:
    """The command line of one rank."""
    return ("python3", "-m", MODULE, *sglang.arguments(settings, rank))


ENGINE: Engine = replace(
    sglang.ENGINE,
    name="mock",
    command=command,
    # Its decodes notice at once that a prefill is gone.
    restart=dict.fromkeys(sglang.ENGINE.restart, defaults.WORKER_RESTART),
    needs_gpus=False,
)
