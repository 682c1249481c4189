"""Says what happens to a cluster while its ``pdsup up`` stays in the foreground."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pdsup.cli import client
from pdsup.cli.screens import events
from pdsup.errors import SupervisorError
from pdsup.journal.file import Journals


@contextlib.contextmanager
def told(run_dir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Inside ``with``, says in a thread what happens from now on that people want to know."""
    over = threading.Event()
    journals = Journals(run_dir)
    with contextlib.suppress(SupervisorError):
        journals.news()  # all of this was told while the cluster came up
    thread = threading.Thread(target=_tell, args=(run_dir, journals, say, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _tell(
    run_dir: Path, journals: Journals, say: Callable[[str], None], over: threading.Event
) -> None:
    """Reads the journals whenever an agent has news, and each second."""

    def agent() -> Path:
        return client.first_agent(client.cluster(str(run_dir), returns_in=0.0))

    for _ in client.follow(agent, every=True):
        with contextlib.suppress(SupervisorError):  # a journal that can't be read now
            lines = events.told(journals.news())
            if lines and not over.is_set():
                say("\n".join(lines))
        if over.is_set():
            return
