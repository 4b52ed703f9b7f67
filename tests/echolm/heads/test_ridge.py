"""Ridge regression in closed form: scikit-learn's, from sums over batches and ranks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor

from echolm.errors import EchoLMError
from echolm.heads import HEADS
from echolm.heads.least_squares import LeastSquares, Moments
from echolm.heads.ridge import RidgeHead


def fitted(x: np.ndarray, y: np.ndarray, alpha: float, sizes: list[int]) -> LeastSquares:
    """The head, fitted to batches of these sizes in turn."""
    moments = Moments(x.shape[1], y.shape[1])
    start = 0
    while start < len(x):
        size = sizes[start % len(sizes)]
        moments.add(torch.as_tensor(x[start : start + size]), torch.as_tensor(y[start:][:size]))
        start += size
    head = RidgeHead(alpha=alpha).build(x.shape[1], (y.shape[1],))
    assert isinstance(head, LeastSquares)
    head.fit(moments)
    return head


@given(
    seed=st.integers(0, 99),
    samples=st.integers(2, 60),
    inputs=st.integers(1, 20),
    outputs=st.integers(1, 4),
    alpha=st.sampled_from([1e-2, 1.0, 300.0]),
    far=st.sampled_from([0.0, 1e4]),
)
@settings(max_examples=60)
def test_it_is_scikit_learn_s(
    seed: int, samples: int, inputs: int, outputs: int, alpha: float, far: float
) -> None:
    """However samples are cut into batches, with more features than samples, far from zero."""
    rng = np.random.default_rng(seed)
    x = far + rng.standard_normal((samples, inputs))
    y = 50 + rng.standard_normal((samples, outputs))
    head = fitted(x, y, alpha, rng.integers(1, 9, 5).tolist())
    reference = Ridge(alpha=alpha, solver="svd").fit(x, y)
    coefficients = reference.coef_.reshape(outputs, inputs)
    np.testing.assert_allclose(head.weight.T.numpy(), coefficients, atol=1e-8)
    predicted = reference.predict(x).reshape(samples, outputs)
    np.testing.assert_allclose(head(torch.as_tensor(x)).numpy(), predicted, atol=1e-8)


def on_ranks(parts: list[Moments]) -> list[Callable[[Tensor], Tensor]]:
    """Sums over ranks for moments that are asked in turn: two sums a rank."""
    first = torch.zeros(1 + len(parts[0].mean), dtype=torch.float64)
    for part in parts:
        first += torch.cat([torch.tensor([float(part.count)]), part.count * part.mean])
    mean = first[1:] / first[0]
    second = torch.zeros_like(parts[0].products)
    for part in parts:
        shift = part.mean - mean
        second += part.products + part.count * torch.outer(shift[: part.inputs], shift)

    def summed(tensor: Tensor) -> Tensor:
        return first if tensor.dim() == 1 else second

    return [summed] * len(parts)


@pytest.mark.parametrize("shares", [[7, 13], [0, 20], [20, 0], [5, 5, 10]])
def test_sums_over_ranks_are_those_of_all_samples(shares: list[int]) -> None:
    """A rank may have no sample."""
    x, y = torch.randn(20, 6) + 100, torch.randn(20, 2)
    whole = Moments(6, 2)
    whole.add(x, y)
    parts = []
    for own_x, own_y in zip(x.split(shares), y.split(shares), strict=True):
        parts.append(Moments(6, 2))
        parts[-1].add(own_x, own_y)
    for part, add_up in zip(parts, on_ranks(parts), strict=True):
        part.over_ranks(add_up)
        assert part.count == 20
        torch.testing.assert_close(part.mean, whole.mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(part.products, whole.products, rtol=0, atol=1e-8)


def test_nothing_trains_and_the_fit_travels_with_the_checkpoint() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 30, 3))
    head = fitted(x, y, 1.0, [8])
    other = RidgeHead().build(3, (3,))
    assert list(head.parameters()) == [] and other(torch.ones(1, 3)).isnan().all()
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(torch.ones(1, 3)), head(torch.ones(1, 3)))


def test_outputs_have_the_shape_that_the_task_asks_for() -> None:
    assert HEADS.parse("ridge").build(4, (2, 40, 2))(torch.randn(3, 4)).shape == (3, 2, 40, 2)


def test_what_cannot_be_solved_is_said() -> None:
    moments = Moments(2, 1)
    moments.add(torch.tensor([[1.0, torch.inf]]), torch.ones(1, 1))
    with pytest.raises(EchoLMError, match="not finite"):
        RidgeHead().build(2, (1,)).fit(moments)  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(20))
def test_a_penalty_below_the_rounding_of_the_features_is_said(seed: int) -> None:
    """Also where rounding leaves a system that can be solved, with digits that mean nothing."""
    x = 1e9 * np.random.default_rng(seed).standard_normal((9, 1)).repeat(30, axis=1)
    moments = Moments(30, 1)
    moments.add(torch.from_numpy(x), torch.ones(9, 1))
    with pytest.raises(EchoLMError, match="alpha 1e-09 is too small"):
        RidgeHead(alpha=1e-9).build(30, (1,)).fit(moments)  # type: ignore[operator]


@pytest.mark.parametrize("alpha", [0, -1, float("nan")])
def test_an_impossible_penalty_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        RidgeHead(alpha=alpha)
