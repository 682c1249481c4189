import pytest
from hypothesis import HealthCheck, settings

from tests.plan.recipes import Desk

# Other tests may keep both cores busy; an example that is slow then proves nothing.
settings.register_profile(
    "steady",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("steady")


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)
