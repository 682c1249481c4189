"""Clusters for the system tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A place for a cluster; the test brings it up."""
    made = Cluster()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def demo() -> Iterator[Cluster]:
    """The demo cluster, up; one for the tests of a module that leave it as they found it."""
    made = Cluster()
    try:
        made.up()
        yield made
    finally:
        made.close()
