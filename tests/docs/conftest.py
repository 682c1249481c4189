"""A desk for the tests that run what the documentation says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.desk import Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A directory with a shell, clean again afterwards."""
    made = Desk()
    try:
        yield made
    finally:
        made.close()
