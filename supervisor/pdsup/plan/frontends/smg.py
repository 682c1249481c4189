"""SMG, the successor of SGLang's router: another program with the same arguments and API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pdsup.plan.frontends import router_flags, sglang_router
from pdsup.plan.frontends.frontend import Frontend, Route


def command(
    args: Mapping[str, Any], routes: tuple[Route, ...], host: str, port: int
) -> tuple[str, ...]:
    """The command line of one router."""
    return ("smg", "launch", *sglang_router.arguments(args, routes, host, port))


FRONTEND: Frontend = replace(
    sglang_router.FRONTEND,
    launcher="smg launch",
    module="smg.launch_router",
    known_flags=router_flags.SMG,
    command=command,
)
