"""``python -m supervisor`` is ``pdsup``."""

from supervisor.cli.main import entry

entry()
