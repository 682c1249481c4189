"""Real agents, and reports, for the tests of this directory."""

from tests.bed.agents import _wait_for, agents, assignment, shared_agents
from tests.bed.reports import digest, plan, report, unit_report, until
