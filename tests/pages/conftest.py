"""Real agents for the pages of this directory."""

import runpy
from pathlib import Path

values = runpy.run_path(str(Path(__file__).parents[1] / "agent" / "conftest.py"))
agents, wait_for = values["agents"], values["_wait_for"]
