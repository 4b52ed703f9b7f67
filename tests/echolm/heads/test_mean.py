"""The constant baseline."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echolm.heads.mean import MeanHead


@given(st.lists(st.integers(1, 4), max_size=3), st.integers(0, 5))
def test_gives_the_mean_for_every_clip(outputs: list[int], batch: int) -> None:
    head, mean = MeanHead().build(3, tuple(outputs)), torch.rand(outputs)
    head.begin(mean)
    given_rows = head(torch.randn(batch, 3))
    assert given_rows.shape == (batch, *outputs)
    assert torch.equal(given_rows, mean.expand(batch, *outputs))


def test_nothing_trains_and_the_mean_travels_with_the_checkpoint() -> None:
    assert MeanHead.starts_from_mean
    head, other = MeanHead().build(3, (2, 2)), MeanHead().build(3, (2, 2))
    head.begin(torch.ones(2, 2))
    other.load_state_dict(head.state_dict())
    assert list(head.parameters()) == []
    assert torch.equal(other(torch.zeros(1, 3)), torch.ones(1, 2, 2))


def test_it_copies_the_mean() -> None:
    head, mean = MeanHead().build(3, (2,)), torch.ones(2)
    head.begin(mean)
    mean.zero_()
    assert torch.equal(head(torch.zeros(1, 3)), torch.ones(1, 2))


def test_a_mean_that_was_never_set_is_seen() -> None:
    assert MeanHead().build(3, (2,))(torch.zeros(1, 3)).isnan().all()


def test_a_mean_of_another_shape_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"shape \(1,\) for outputs of shape \(2,\)"):
        MeanHead().build(3, (2,)).begin(torch.ones(1))
