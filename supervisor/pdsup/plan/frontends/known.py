"""The supported frontends, and what they can tell about a router's command. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from pdsup.plan.engines.known import ENGINES
from pdsup.plan.frontends import sglang_router, smg
from pdsup.plan.frontends.frontend import Frontend, Launcher, Route

FRONTENDS: Mapping[Launcher, Frontend] = {
    frontend.launcher: frontend for frontend in (sglang_router.FRONTEND, smg.FRONTEND)
}


def routes(command: Sequence[str]) -> tuple[Route, ...]:
    """The workers that a router's command names.

    A script may hide which frontend it starts, so each frontend looks for its own flags.
    """
    by_frontend = (frontend.routes(command) for frontend in FRONTENDS.values())
    return next(filter(None, by_frontend), ())


def admin_paths() -> tuple[str, ...]:
    """What no client may ask of a router, which passes some requests on to engines.

    All that is known, since a script may hide which programs it starts.
    """
    lists = [frontend.admin_paths for frontend in FRONTENDS.values()]
    lists += [engine.admin_paths for engine in ENGINES.values()]
    return tuple(sorted(set(chain.from_iterable(lists))))
