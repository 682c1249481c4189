"""What a unit puts in the place of files that its agent writes and reads leads nowhere."""

import inspect
import re

import pytest

from pdsup.journal import file, own_journal
from pdsup.units import evidence
from pdsup.units.logs import read, rotate

# What handles files that lie where units can write.
PLACES = (rotate, read, evidence, own_journal, file)


@pytest.mark.parametrize("module", PLACES, ids=lambda module: module.__name__)
def test_no_file_that_a_unit_could_replace_is_opened_through_a_link(module):
    source = inspect.getsource(module)
    calls = re.findall(r"open_regular\([^\n]*", source)
    named = re.findall(r"flags = ([^\n]*)", source)
    assert len(calls) > 0
    for call in calls:
        follows_not = "O_NOFOLLOW" in call or all("O_NOFOLLOW" in flags for flags in named)
        assert follows_not and ("flags" in call or "O_NOFOLLOW" in call), call


def test_evidence_is_not_collected_into_where_a_link_leads(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "evidence" / "a-1"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match="it is a symbolic link"):
        evidence._make(link)
    assert list(elsewhere.iterdir()) == []
