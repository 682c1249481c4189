"""This node's part of the front: its nginx, its routers, and draining them before a stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from pdsup.front.drain import Drains
from pdsup.front.nginx_conf import Reloads
from pdsup.front.router import RouterRepair
from pdsup.front.upstreams import Upstreams


class Front:
    """The front of one node. Every method accepts any unit of the node, also one not of the front.

    ``units``: those whose report may change when another unit of the front changes.
    """

    def __init__(
        self, nginx: Mapping[str, Upstreams], routers: Sequence[RouterRepair], drains: Drains
    ) -> None:
        self._nginx = nginx
        self._routers = routers
        self.drains = drains
        self.units = (*nginx, *drains.routers)

    def work(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        """What reloads nginx and repairs routers, by name; each runs until cancelled."""
        yield from ((f"reloads of {name}", nginx.run) for name, nginx in self._nginx.items())
        yield from (("repair of a router", router.run) for router in self._routers)

    def restore(self) -> None:
        """Writes again what was removed of nginx's files."""
        for nginx in self._nginx.values():
            nginx.restore()

    def react(self) -> None:
        """Updates nginx's list of routers."""
        for nginx in self._nginx.values():
            nginx.react()

    def repair(self) -> None:
        """Lets the routers know of workers that are gone or back."""
        for router in self._routers:
            router.react()

    def unusable(self, unit: str) -> str | None:
        """Why a unit that is RUNNING can't serve as it should, or None."""
        nginx = self._nginx.get(unit)
        return nginx.unusable() if nginx else self.drains.unlisted(unit)

    def upstreams(self, unit: str) -> tuple[str, ...] | None:
        """The routers that an nginx passes requests to; None while unknown, or for other units."""
        nginx = self._nginx.get(unit)
        return nginx.upstreams() if nginx else None

    def prepare(self, unit: str) -> None:
        """Before a start of nginx: writes its configuration and directories.

        Raises SupervisorError and OSError.
        """
        if unit in self._nginx:
            self._nginx[unit].prepare()

    def reloads(self) -> dict[str, Reloads]:
        """For each nginx, how its reloads went."""
        return {name: nginx.reloads for name, nginx in self._nginx.items()}
