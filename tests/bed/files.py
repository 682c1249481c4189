"""Rules that hold for every file of the package or of its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path


def for_each(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Makes a test of a rule about one file a test of all files, which tells of each that breaks
    it. A test for each file and rule would be thousands, and take longer to list than to run.
    """
    files = tuple(paths)

    def decorate(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            broken = {}
            for path in files:
                try:
                    rule(path)
                except AssertionError as error:
                    broken[str(path)] = str(error)
            assert broken == {}, "\n".join(f"{path}: {what}" for path, what in broken.items())

        test.__name__, test.__doc__, test.__module__ = rule.__name__, rule.__doc__, rule.__module__
        return test

    return decorate
