"""What becomes of GPUs from look to look."""

import pytest

from pdsup.agent import gpu_events
from pdsup.agent.gpu_events import Seen, Trouble
from pdsup.units.process.gpu import Gpu

WELL = Gpu(0, up=True, throttled=False)
SLOW = Gpu(0, up=True, throttled=True)
MUTE = Gpu(0, up=True)  # has no such sensor
DEAD = Gpu(0, up=False)


def told(*looks, gpus=(0,)):
    """The events of a unit with ``gpus`` over looks, and after how many of them each came."""
    seen, before, found = {}, Trouble(), []
    for count, look in enumerate(looks, start=1):
        seen = gpu_events.look(seen, look if isinstance(look, list) else [look], gpus)
        now = gpu_events.trouble(seen, gpus)
        found += [(count, event) for event, _, _ in gpu_events.events(before, now)]
        before = now
    return found


def test_gpus_that_are_well_are_not_told_of():
    assert told(WELL, MUTE, WELL) == []


def test_a_gpu_is_throttled_at_once_and_at_full_speed_when_it_was_so_for_three_looks():
    assert told(SLOW, WELL, WELL, SLOW, WELL, WELL, WELL, WELL) == [
        (1, "GpusThrottled"), (7, "GpusUnthrottled"),
    ]  # fmt: skip


def test_a_gpu_is_lost_when_it_could_not_be_asked_twice_and_back_when_it_can():
    assert told(WELL, DEAD, WELL, DEAD, DEAD, DEAD, WELL) == [(5, "GpusLost"), (7, "GpusBack")]


def test_a_gpu_that_is_in_no_list_any_more_is_lost_too():
    assert told(WELL, [], []) == [(3, "GpusLost")]


@pytest.mark.parametrize("never", [DEAD, []])
def test_what_was_never_there_is_not_lost(never):
    assert told(never, never, never, never) == []


def test_a_lost_gpu_is_throttled_no_more():
    assert told(SLOW, DEAD, DEAD) == [(1, "GpusThrottled"), (3, "GpusLost"), (3, "GpusUnthrottled")]


def test_gpus_of_one_unit_are_told_together():
    other = [Gpu(1, up=True, throttled=True), Gpu(5, up=True, throttled=True)]
    seen = gpu_events.look({}, [SLOW, *other], (0, 1))
    (one,) = gpu_events.events(Trouble(), gpu_events.trouble(seen, (0, 1)))
    assert one == ("GpusThrottled", "the hardware slows GPUs 0, 1", (0, 1))
    (less,) = gpu_events.events(Trouble(throttled=(0, 1)), Trouble(throttled=(1,)))
    assert less == ("GpusThrottled", "the hardware slows GPU 1", (1,))


def test_what_an_earlier_agent_knew_is_trouble_until_it_is_over():
    seen = gpu_events.restored([Trouble(throttled=(0,)), Trouble(lost=(1,))])
    assert gpu_events.trouble(seen, (0, 1)) == Trouble(throttled=(0,), lost=(1,))
    for _ in range(gpu_events.CALM_LOOKS):
        seen = gpu_events.look(seen, [WELL, Gpu(1, up=True)], (0, 1))
    assert gpu_events.trouble(seen, (0, 1)) == Trouble()
    assert gpu_events.restored([]) == {}
    assert Seen().lost is False
