"""The output of each run in a log."""

from pdsup.units.logs import runs

LOG = """\
before any mark
=== 2026-11-24T07:47:28Z decode-0 run 1 begins
one
two
=== 2026-11-24T07:47:34Z decode-0 run 2 begins, after: killed by SIGKILL
=== 2026-11-24T07:47:34Z decode-00 run 9 begins
three
[stamp] === 2026-11-24T07:48:00Z decode-0 run 1 begins
four
""".splitlines()


def test_a_log_is_divided_at_the_marks_of_the_unit():
    assert runs.sections(LOG, "decode-0") == [
        (1, ["one", "two"]),
        (2, ["=== 2026-11-24T07:47:34Z decode-00 run 9 begins", "three"]),
        (1, ["four"]),
    ]


def test_each_of_the_last_runs_gets_the_end_of_its_own_output():
    assert runs.tails(LOG, "decode-0", [1, 2, 1], 1) == [["two"], ["three"], ["four"]]


def test_a_number_that_came_again_means_the_later_run():
    assert runs.tails(LOG, "decode-0", [1], 5) == [["four"]]


def test_a_run_that_wrote_nothing_or_is_too_far_back_has_no_output():
    assert runs.tails(LOG, "decode-0", [None, 2, 3, 1], 5) == [[], LOG[5:7], [], ["four"]]
    assert runs.tails([], "decode-0", [1], 5) == [[]]
