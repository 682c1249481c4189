"""Which GPUs are throttled, lost or back, from one reading to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pdsup.journal.entry import Event
from pdsup.units.process.gpu import Gpu, Trouble

# A GPU is lost only after this many failed readings: the driver may hiccup.
LOST_LOOKS = 2
# A GPU at its limit is throttled on and off: calm readings until that counts as over.
CALM_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """One GPU over several readings.

    ``missed``: failed readings in a row; ``calm``: readings in a row without throttling. A GPU that
    was never there (``known``) can't be lost.
    """

    known: bool = False
    missed: int = 0
    throttled: bool = False
    calm: int = 0

    @property
    def lost(self) -> bool:
        """Whether it was there once and is no longer."""
        return self.known and self.missed >= LOST_LOOKS


def look(seen: Mapping[int, Seen], gpus: Sequence[Gpu], wanted: Sequence[int]) -> dict[int, Seen]:
    """What is known of the GPUs with indexes ``wanted`` after a reading that found ``gpus``."""
    found = {gpu.index: gpu for gpu in gpus}
    return {index: _after(seen.get(index, Seen()), found.get(index)) for index in wanted}


def _after(seen: Seen, gpu: Gpu | None) -> Seen:
    if gpu is None or not gpu.up:
        return replace(seen, missed=seen.missed + 1)
    calm = 0 if gpu.throttled else seen.calm + 1
    throttled = bool(gpu.throttled) or (seen.throttled and calm < CALM_LOOKS)
    return Seen(known=True, throttled=throttled, calm=calm)


def trouble(seen: Mapping[int, Seen], gpus: Sequence[int]) -> Trouble:
    """The trouble of a unit with these GPUs."""
    return Trouble(
        throttled=tuple(i for i in gpus if seen[i].throttled and not seen[i].lost),
        lost=tuple(i for i in gpus if seen[i].lost),
    )


def restored(troubles: Iterable[Trouble]) -> dict[int, Seen]:
    """What an earlier agent knew, as far as it follows from the troubles that it reported."""
    slow = {i: Seen(known=True, throttled=True) for one in troubles for i in one.throttled}
    lost = {i: Seen(known=True, missed=LOST_LOOKS) for one in troubles for i in one.lost}
    return slow | lost


def events(before: Trouble, after: Trouble) -> Iterator[tuple[Event, str, tuple[int, ...]]]:
    """The events to report for a unit: type, reason, and the GPUs affected now."""
    if after.lost != before.lost:
        yield (
            ("GpusLost", f"the driver has lost {_named(after.lost)}", after.lost)
            if after.lost
            else ("GpusBack", f"{_named(before.lost)} back", ())
        )
    if after.throttled != before.throttled:
        yield (
            ("GpusThrottled", f"the hardware slows {_named(after.throttled)}", after.throttled)
            if after.throttled
            else ("GpusUnthrottled", f"{_named(before.throttled)} at full speed", ())
        )


def _named(gpus: Sequence[int]) -> str:
    return f"GPU{'' if len(gpus) == 1 else 's'} {', '.join(map(str, gpus))}"
