"""How units become arrays under SLURM's limits: nothing is lost, no limit is passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.slurm.submit.arrays import Array, Room, cut

small = st.integers(1, 60)


@given(
    units=st.integers(0, 3000),
    per_job=st.integers(1, 8),
    largest=st.integers(0, 1001),
    queued=st.none() | st.integers(0, 500),
    at_once=st.integers(0, 200),
)
def test_limits_are_kept_and_nothing_is_left_without_need(
    units: int, per_job: int, largest: int, queued: int | None, at_once: int
) -> None:
    arrays = cut(units, per_job, Room(largest, queued, at_once))
    for array in arrays:
        assert 1 <= array.count <= max(1, largest)
        assert 1 <= array.at_once <= array.count
    count = sum(array.count for array in arrays)
    running = sum(array.at_once for array in arrays)
    wanted = -(-units // per_job)
    assert running <= at_once and count <= wanted
    assert queued is None or count <= queued
    has_slots = at_once and at_once * max(1, largest) >= wanted
    if has_slots and (queued is None or queued >= wanted):
        assert count == wanted, "all of it fits"
    if count and at_once >= wanted:
        assert running == count, "the throttle is used"


def test_examples() -> None:
    assert cut(10, 1, Room(1001, None, 4)) == [Array(10, 4)]
    assert cut(10, 4, Room(1001, None, 4)) == [Array(3, 3)]
    assert cut(25, 1, Room(10, None, 8)) == [Array(9, 3), Array(8, 3), Array(8, 2)]
    assert cut(25, 1, Room(10, 12, 8)) == [Array(6, 4), Array(6, 4)]
    assert cut(25, 1, Room(10, None, 2)) == [Array(9, 1), Array(8, 1)], (
        "a third array would break the throttle"
    )
    assert cut(25, 1, Room(10, 0, 2)) == []
    assert cut(3, 1, Room(0, None, 5)) == [Array(1, 1)] * 3, "a site without arrays"
