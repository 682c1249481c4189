"""The front as far as it is on this node: nginx, the routers, and the way requests take to them."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any

from pdsup.front.drain import Drains
from pdsup.front.nginx_conf import Reloads
from pdsup.front.router import RouterRepair
from pdsup.front.upstreams import Upstreams


class Front:
    """Asked for any unit of this node; those that do not belong to the front are no special case.

    ``units``: what is shown of them changes with others of the front, not only with themselves.
    """

    def __init__(
        self, nginx: Mapping[str, Upstreams], routers: Sequence[RouterRepair], drains: Drains
    ) -> None:
        self._nginx = nginx
        self._routers = routers
        self.drains = drains
        self.units = (*nginx, *drains.routers)

    def work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What nginx and the routers have to be done for them, each until cancelled."""
        yield from (nginx.run() for nginx in self._nginx.values())
        yield from (router.run() for router in self._routers)

    def react(self) -> None:
        """Has nginx's list follow the routers."""
        for nginx in self._nginx.values():
            nginx.react()

    def repair(self) -> None:
        """Has the routers told of workers that are gone or back."""
        for router in self._routers:
            router.react()

    def unusable(self, unit: str) -> str | None:
        """Why a unit that is RUNNING can't be used as it should, or None."""
        nginx = self._nginx.get(unit)
        return nginx.unusable() if nginx else self.drains.unlisted(unit)

    def upstreams(self, unit: str) -> tuple[str, ...] | None:
        """The routers that an nginx passes requests to; None: it has not told, or is no nginx."""
        nginx = self._nginx.get(unit)
        return nginx.upstreams() if nginx else None

    def prepare(self, unit: str) -> None:
        """nginx finds its configuration and directories ready. Raises SupervisorError, OSError."""
        if unit in self._nginx:
            self._nginx[unit].prepare()

    def reloads(self) -> dict[str, Reloads]:
        """For each nginx, how it has taken its configurations."""
        return {name: nginx.reloads for name, nginx in self._nginx.items()}
