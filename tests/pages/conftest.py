"""Real agents for the pages of this directory."""

from tests.bed.agents import _wait_for, agents
