"""``python -m pdsup`` is ``pdsup``."""

from __future__ import annotations

from pdsup.cli.main import entry

entry()
