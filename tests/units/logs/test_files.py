"""Names, rotation and last lines as values."""

from hypothesis import given
from hypothesis import strategies as st

from pdsup.units.logs import files


def rotate(parts, keep):
    """What a log directory, part by age, holds after a rotation and the next file's beginning."""
    parts = dict(parts)
    for age in files.surplus(parts, keep):
        del parts[age]
    for age, older in files.shifts(parts, keep):
        assert older not in parts, "nothing is overwritten"
        parts[older] = parts.pop(age)
    return parts


def test_a_rotation_moves_every_part_one_age_up_and_deletes_the_oldest():
    assert rotate({0: "d", 1: "c", 2: "b", 3: "a"}, 3) == {1: "d", 2: "c", 3: "b"}


def test_a_gap_that_a_killed_agent_left_is_closed_and_nothing_deleted():
    assert rotate({0: "d", 1: "c", 3: "a"}, 3) == {1: "d", 2: "c", 3: "a"}
    assert rotate({0: "d", 2: "c", 3: "a"}, 3) == {1: "d", 2: "c", 3: "a"}


def test_parts_beyond_a_number_that_was_lowered_are_deleted():
    assert rotate(dict(enumerate("fedcba")), 2) == {1: "f", 2: "e"}


@given(st.sets(st.integers(1, 12)), st.integers(1, 9))
def test_a_rotation_frees_age_0_keeps_the_order_and_the_newest(ages, keep):
    before = {0: 0} | {age: age for age in ages}
    after = rotate(before, keep)
    assert 0 not in after
    assert max(after) <= keep
    assert [after[age] for age in sorted(after)] == sorted(after.values())
    wanted = [age for age in sorted(before) if age <= keep]
    assert sorted(after.values()) == wanted[:keep]


@given(st.sets(st.integers(1, 6)), st.integers(1, 6), st.integers(0, 8))
def test_a_rotation_that_is_cut_short_and_done_again_loses_nothing_more(ages, keep, cut):
    before = {0: 0} | {age: age for age in ages if age <= keep}
    parts = dict(before)
    for age in files.surplus(parts, keep):
        del parts[age]
    for age, older in files.shifts(parts, keep)[:cut]:
        parts[older] = parts.pop(age)
    if 0 in parts:
        parts = rotate(parts, keep)
    assert sorted(parts.values()) == sorted(rotate(before, keep).values())


def test_parts_of_other_logs_and_times_are_no_parts():
    names = [
        "a.out",
        "a.out.1",
        "a.out.12",
        "a.out.1.times",
        "a.out.01",
        "a.out.0",
        "ba.out.3",
        "a1out",
    ]
    assert files.ages("a.out", names) == {0, 1, 12}


# -- times -------------------------------------------------------------------------------------


def test_a_byte_arrived_at_the_last_time_that_was_noted_before_it():
    records = [(10, 1_000_000_000), (20, 2_000_000_000), (20, 3_000_000_000), (30, 4_000_000_000)]
    assert [files.arrived(records, at) for at in (9, 10, 19, 20, 29, 30, 99)] == [
        None, 1.0, 1.0, 3.0, 3.0, 4.0, 4.0,
    ]  # fmt: skip


def test_stamps_are_utc():
    assert files.stamp(0.9) == "1970-01-01T00:00:00Z"
    assert files.precise_stamp(0.0625) == "1970-01-01T00:00:00.062Z"
    assert files.precise_stamp(5.0) == "1970-01-01T00:00:05.000Z"
