"""Whether a signal that somebody sent explains the end of a run."""

import pytest

from pdsup.units.cause import AFTER_S, Diagnosis, SentSignal, explained
from pdsup.units.process.exit import ExitStatus

BY = "by root with pdsup signal (pid 7, node0)"
UNKNOWN = Diagnosis("", last_words="GET / 200")
OUT_OF_MEMORY = Diagnosis("CUDA out of memory", hopeless=True)


def kill(name="SIGKILL", run=3):
    return SentSignal(run, name, BY, 100.0)


@pytest.mark.parametrize(
    ("found", "status", "sent", "known"),
    [
        (UNKNOWN, ExitStatus(None, "SIGKILL"), kill(), Diagnosis(f"sent {BY}")),
        (UNKNOWN, ExitStatus(None, "SIGKILL"), None, UNKNOWN),
        (UNKNOWN, ExitStatus(None, "SIGKILL"), kill(run=2), UNKNOWN),
        (UNKNOWN, ExitStatus(None, "SIGSEGV"), kill("SIGHUP"), UNKNOWN),
        (UNKNOWN, ExitStatus(0), kill("SIGTERM"), Diagnosis(f"after SIGTERM sent {BY}")),
        (OUT_OF_MEMORY, ExitStatus(1), kill("SIGHUP"),
         Diagnosis(f"CUDA out of memory; after SIGHUP sent {BY}")),
    ],
)  # fmt: skip
def test_it_explains_the_end_of_its_run_if_it_can_have_caused_it(found, status, sent, known):
    assert explained(found, status, 3, sent, 101.0) == known


def test_an_end_long_after_it_is_not_explained_by_it():
    status = ExitStatus(None, "SIGTERM")
    assert explained(UNKNOWN, status, 3, kill("SIGTERM"), 100.0 + AFTER_S).cause
    assert explained(UNKNOWN, status, 3, kill("SIGTERM"), 101.0 + AFTER_S) == UNKNOWN
