"""What several GPUs have in use together."""

from __future__ import annotations

import pytest

from pdsup.units.process.gpu import Gpu, Use, use

NODE = (Gpu(0, True, 5, 80, 0.5), Gpu(1, True, 7, 80, 0.999), Gpu(2, False), Gpu(3, True, 1, 80))


@pytest.mark.parametrize(
    ("indexes", "found"),
    [
        ((0,), Use(5, 80, 0.5)),
        ((0, 1), Use(12, 160, 0.75)),
        ((0, 2), Use(5, 80, 0.5)),
        ((3,), Use(1, 80, None)),
        ((0, 3), Use(6, 160, 0.5)),
        ((2,), None),
        ((7,), None),
        ((), None),
    ],
)
def test_memory_is_summed_and_utilization_is_the_mean_of_those_that_can_tell(
    indexes: tuple[int, ...], found: Use | None
) -> None:
    assert use(NODE, indexes) == found
