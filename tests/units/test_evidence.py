"""How evidence reads."""

from __future__ import annotations

from pdsup.units import evidence
from pdsup.units.evidence import Part
from pdsup.units.process.tree import Process

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0101007F:7530 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 11 1 0
   1: 0101007F:7530 0201007F:D431 08 00000010:00000100 00:00000000 00000000     0        0 12 1 0
   2: 0101007F:7531 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A \
00000000:00000000 00:00000000 00000000 0 0 14 1
"""


def test_each_run_has_a_directory_of_its_own():
    assert evidence.directory("prefill-0.1", 3) == "evidence/prefill-0.1-3"


def test_the_first_page_says_why_and_what_is_missing():
    parts = [Part("stacks.txt", "py-spy is not installed"), Part("log.txt")]
    assert evidence.why("decode-0", 2, "2026-01-01", "no answer", parts).splitlines() == [
        *("decode-0 run 2, 2026-01-01", "", "no answer", ""),
        *("stacks.txt: py-spy is not installed", "log.txt: taken"),
    ]


def test_threads_that_do_the_same_are_told_once_and_the_most_first():
    process = Process(
        pid=5, parent=1, name="python3", state="S", command="python3 -m engine",
        threads=("state S in futex_wait", "state R", "state S in futex_wait"), stack="[<0>] x\n",
    )  # fmt: skip
    assert evidence.processes([process]).splitlines() == [
        "5 (parent 1) python3, state S",
        "  python3 -m engine",
        "  2 x state S in futex_wait",
        "  1 x state R",
        "  [<0>] x",
    ]
    assert evidence.processes([]) == "no process is left\n"


def test_sockets_are_those_of_the_unit_with_what_waits_in_them():
    told = evidence.sockets(TCP, {11: 5, 12: 6}).splitlines()
    assert told == [
        "pid 5 LISTEN 127.0.1.1:30000 -> 0.0.0.0:0, 3 bytes not read, 0 not sent",
        "pid 6 CLOSE_WAIT 127.0.1.1:30000 -> 127.0.1.2:54321, 256 bytes not read, 16 not sent",
    ]
    assert evidence.sockets(TCP6, {14: 7}) == (
        "pid 7 LISTEN [0000:0000:0000:0000:0000:0000:0000:0001]:8000 ->"
        " [0000:0000:0000:0000:0000:0000:0000:0000]:0, 0 bytes not read, 0 not sent\n"
    )


def test_a_table_that_can_not_be_read_has_no_sockets():
    assert evidence.sockets("", {11: 5}) == ""
    assert evidence.sockets("head\nshort line\n", {11: 5}) == ""
