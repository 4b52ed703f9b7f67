"""Randomness in modules is a function of the sample's key.

It does not depend on its batch, its neighbours or an ambient generator.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from echolm import randomness
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.tiny_mvit import TinyMViT
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.errors import EchoLMError
from echolm.randomness import fold_tensor, seeded, to_tensor, uniform
from echolm.training import coming_draws
from echolm.training.keyed_dropout import KeyedDropout, Keys, key_randomness

ops = import_torchvision().ops
BATCH = 5


def keyed(module: nn.Module, batch: int, place: str = "place") -> tuple[nn.Module, Keys]:
    """``module`` in train mode inside a container, keyed for samples 0..batch-1."""
    container = nn.Sequential(module).train()
    keys = key_randomness(container, place)
    keys.current = sample_keys(batch)
    return container, keys


def sample_keys(batch: int, first: int = 0) -> Tensor:
    return to_tensor(
        randomness.sample_keys([f"clip {number}" for number in range(first, first + batch)])
    )


@pytest.fixture(scope="module")
def network() -> tuple[EncoderNetwork, Keys, Tensor]:
    """tiny-mvit in train mode in float64, with dropout and stochastic depth that show."""
    with seeded("tiny"):
        network = TinyMViT().build(None).double()
        clip = torch.randn(BATCH, 3, 16, 32, 32, dtype=torch.float64)
    for module in network.modules():
        if isinstance(module, (nn.Dropout, ops.StochasticDepth)):
            module.p = 0.5
    return network.train(), key_randomness(network, "encoder"), clip


@settings(max_examples=10)
@given(order=st.permutations(range(BATCH)), split=st.integers(0, BATCH))
def test_a_sample_does_not_depend_on_order_or_split(
    network: tuple[EncoderNetwork, Keys, Tensor], order: list[int], split: int
) -> None:
    model, keys, clip = network
    samples = sample_keys(BATCH)
    outputs: dict[int, Tensor] = {}
    keys.current = samples
    with torch.no_grad():
        whole = model(clip).pooled
        for part in filter(None, (order[:split], order[split:])):
            keys.current = samples[part]
            outputs |= dict(zip(part, model(clip[part]).pooled, strict=True))
    torch.testing.assert_close(torch.stack([outputs[number] for number in range(BATCH)]), whole)


def test_gradients_do_not_depend_on_the_split(network: tuple[EncoderNetwork, Keys, Tensor]) -> None:
    model, keys, clip = network
    samples, gradients = sample_keys(BATCH), []
    for parts in ([range(BATCH)], [range(2), range(2, BATCH)]):
        model.zero_grad()
        for part in map(list, parts):
            keys.current = samples[part]
            model(clip[part]).pooled.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for whole, split in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, split, rtol=1e-6, atol=1e-9)


def test_other_keys_give_other_outputs_and_equal_keys_equal_ones(
    network: tuple[EncoderNetwork, Keys, Tensor],
) -> None:
    model, keys, clip = network
    outputs = []
    for samples in (sample_keys(BATCH), sample_keys(BATCH), sample_keys(BATCH, first=BATCH)):
        keys.current = samples
        with torch.no_grad():
            outputs.append(model(clip).pooled)
    assert torch.equal(outputs[0], outputs[1])
    assert (outputs[0] != outputs[2]).any(dim=1).all()


def test_the_ambient_generator_is_neither_read_nor_moved(
    network: tuple[EncoderNetwork, Keys, Tensor],
) -> None:
    model, keys, clip = network
    outputs, samples = [], sample_keys(BATCH)
    for seed in (1, 2):
        with seeded(seed), torch.no_grad():
            before = torch.get_rng_state()
            keys.current = samples
            outputs.append(model(clip).pooled)
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*outputs)


def test_eval_mode_is_the_network_without_randomness() -> None:
    with seeded("eval"):
        plain = TinyMViT().build(None).eval()
    with seeded("eval"):
        model = TinyMViT().build(None)
    key_randomness(model, "encoder")
    clip = torch.randn(2, 3, 16, 32, 32)
    assert torch.equal(model.eval()(clip).pooled, plain(clip).pooled)
    assert model.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [(nn.Dropout, ()), (nn.Dropout1d, (2,)), (nn.Dropout2d, (2, 1)), (nn.Dropout3d, (1, 2, 1))],
)
def test_rate_and_expectation(kind: type[nn.Module], shape: tuple[int, ...], p: float) -> None:
    """20,000 draws: five standard errors."""
    module, _ = keyed(kind(p), 50)
    y = module(torch.ones(50, 400, *shape))
    error = 5 * (p * (1 - p) / 20_000) ** 0.5
    assert y.unique().tolist() == [0.0, pytest.approx(1 / (1 - p))]
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=error)
    assert y.mean().item() == pytest.approx(1, abs=error / (1 - p))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(nn.Dropout1d, (3, 9, 4)), (nn.Dropout2d, (3, 9, 2, 2)), (nn.Dropout3d, (3, 9, 2, 2, 2))],
)
def test_channel_dropout_drops_whole_channels(
    kind: type[nn.Module], shape: tuple[int, ...]
) -> None:
    module, _ = keyed(kind(0.5), 3)
    channels = module(torch.ones(shape)).flatten(2)
    assert torch.equal(channels, channels[..., :1].expand_as(channels))
    assert len(channels[..., 0].unique()) == 2


def test_channel_dropout_of_another_number_of_axes_is_refused() -> None:
    module, _ = keyed(nn.Dropout2d(0.5), 3)
    with pytest.raises(
        EchoLMError, match="place.0: channel dropout of 3 axes; valid: 4, the batch first"
    ):
        module(torch.ones(3, 4, 5))


def test_stochastic_depth_drops_whole_samples_at_its_rate() -> None:
    module, _ = keyed(ops.StochasticDepth(0.25, "row"), 4_000)
    y = module(torch.ones(4_000, 2, 3)).flatten(1)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert (y[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.035)
    assert y.max().item() == pytest.approx(4 / 3)


def test_a_module_called_twice_in_a_pass_draws_twice() -> None:
    """torchvision's blocks call one StochasticDepth for attention and again for the MLP."""
    module, keys = keyed(ops.StochasticDepth(0.5, "row"), 200)
    first, second = module(torch.ones(200, 1)), module(torch.ones(200, 1))
    assert not torch.equal(first, second)
    keys.current = sample_keys(200)
    assert torch.equal(module(torch.ones(200, 1)), first)


def test_places_draw_independently() -> None:
    x = torch.ones(10, 2_000)
    drops = [(keyed(nn.Dropout(0.5), 10, place)[0](x) == 0).float() for place in ("a", "b")]
    assert drops[0].mul(drops[1]).mean().item() == pytest.approx(0.25, abs=0.02)
    twins = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Dropout(0.5)).train()
    key_randomness(twins, "twins").current = sample_keys(10)
    assert (twins(x) == 0).float().mean().item() == pytest.approx(0.75, abs=0.02)


@given(batch=st.integers(1, 4), frames=st.integers(1, 4), sample=st.integers(0, 3))
def test_rows_folded_into_the_batch_follow_their_sample(
    batch: int, frames: int, sample: int
) -> None:
    module, keys = keyed(nn.Dropout(0.5), batch)
    sample %= batch
    whole = module(torch.ones(batch * frames, 40)).view(batch, frames, 40)
    keys.current = sample_keys(1, first=sample)
    assert torch.equal(module(torch.ones(frames, 40)), whole[sample])
    assert len(whole.flatten(0, 1).unique(dim=0)) == batch * frames


def test_rows_that_belong_to_no_sample_are_refused() -> None:
    module, _ = keyed(nn.Dropout(0.5), 3)
    with pytest.raises(
        EchoLMError, match="place.0: 7 rows are not a multiple of the batch's 3 samples"
    ):
        module(torch.ones(7, 2))


def test_drawing_without_keys_is_an_error() -> None:
    module = nn.Sequential(nn.Dropout(0.5))
    key_randomness(module, "head")
    with pytest.raises(RuntimeError, match="head.0 draws before Keys.current was set"):
        module(torch.ones(1, 2))


def test_the_gradient_passes_where_the_value_did() -> None:
    module, _ = keyed(nn.Dropout(0.4), 6)
    x = torch.randn(6, 30, requires_grad=True)
    y = module(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y != 0) / 0.6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_type_and_empty_batches_are_kept(dtype: torch.dtype) -> None:
    module, keys = keyed(nn.Dropout(0.5), 2)
    assert module(torch.ones(2, 3, dtype=dtype)).dtype == dtype
    keys.current = sample_keys(0)
    assert module(torch.ones(0, 3, dtype=dtype)).shape == (0, 3)


def test_probability_one_gives_zeros() -> None:
    module, _ = keyed(nn.Dropout(1.0), 2)
    assert torch.equal(module(torch.ones(2, 3)), torch.zeros(2, 3))


def test_shared_modules_and_modes_are_replaced_in_every_place() -> None:
    shared = nn.Dropout(0.5)
    module = nn.Sequential(shared, nn.Sequential(shared, nn.Dropout(0.0))).eval()
    key_randomness(module, "m")
    modes = {
        part.place: part.training for part in module.modules() if isinstance(part, KeyedDropout)
    }
    assert modes == {"m.0": False, "m.1.0": False}
    assert type(module[1][1]) is nn.Dropout


class DropPath(nn.Module):
    """Another library's stochastic depth."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob


@pytest.mark.parametrize(
    "module",
    [
        nn.AlphaDropout(0.1),
        nn.FeatureAlphaDropout(0.1),
        nn.RReLU(),
        nn.FractionalMaxPool2d(2, output_size=2),
        nn.MultiheadAttention(4, 2, dropout=0.1),
        nn.TransformerEncoderLayer(4, 2, dropout=0.1),
        nn.GRU(2, 2, num_layers=2, dropout=0.1),
        ops.StochasticDepth(0.1, "batch"),
        ops.DropBlock3d(0.1, 3),
        DropPath(0.1),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_cannot_be_keyed_is_refused_by_name(module: nn.Module) -> None:
    name = (
        "self_attn: MultiheadAttention"
        if isinstance(module, nn.TransformerEncoderLayer)
        else type(module).__name__
    )
    with pytest.raises(
        EchoLMError, match=rf"encoder\.0[.: ]+{name} draws random numbers .* valid: Dropout"
    ):
        key_randomness(nn.Sequential(module), "encoder")


@pytest.mark.parametrize(
    "module",
    [
        nn.AlphaDropout(0),
        nn.MultiheadAttention(4, 2),
        nn.LSTM(2, 2),
        ops.StochasticDepth(0, "batch"),
        DropPath(0),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_never_draws_stays(module: nn.Module) -> None:
    container = nn.Sequential(module)
    key_randomness(container, "encoder")
    assert container[0] is module


def test_what_another_module_calls_p_is_no_probability() -> None:
    class PowerMean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.ones(4))

    model = nn.Sequential(PowerMean())
    key_randomness(model, "encoder")
    assert isinstance(model[0], PowerMean)


def test_a_dropout_alone_cannot_be_replaced() -> None:
    with pytest.raises(EchoLMError, match="head: put the Dropout into a module"):
        key_randomness(nn.Dropout(0.1), "head")


@pytest.mark.parametrize(
    "part", [nn.Dropout(0.5), nn.Dropout1d(0.5), ops.StochasticDepth(0.5, "row")]
)
def test_keying_again_replaces_keys_and_place(part: nn.Module) -> None:
    """Members of a cohort share the stages before the cut, and each keys its whole model."""
    x = torch.ones(8, 5, 3)
    once, _ = keyed(part, 8, "b")
    twice, old = keyed(part, 8, "a")
    old.current = sample_keys(8, first=8)
    key_randomness(twice, "b").current = sample_keys(8)
    assert torch.equal(twice(x), once(x))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=5), st.integers(0, 9), st.text())
def test_fold_gives_the_bits_of_the_numpy_fold(values: list[int], step: int, place: str) -> None:
    keys = np.array(values, np.uint64)
    assert torch.equal(
        fold_tensor(to_tensor(keys), step, place), to_tensor(randomness.fold(keys, step, place))
    )


@pytest.mark.parametrize(("together", "largest"), [(256, 1 << 20), (7, 1 << 20), (256, 0)])
def test_batches_that_are_drawn_together_draw_what_each_does_alone(
    together: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coming_draws, "TOGETHER", together)
    monkeypatch.setattr(coming_draws, "LARGEST_MASK", largest)
    samples = randomness.sample_keys([f"clip {number}" for number in range(12)])
    batches = [samples[:5], samples[5:10], samples[10:]]
    coming = coming_draws.ComingDraws(3, 1, batches)
    module, keys = keyed(nn.Dropout(0.3), 1)
    for batch in (*batches, batches[0]):
        x = torch.ones(2 * len(batch), 9)  # two frames a sample
        found = coming.find(batch)
        assert found is not None
        keys.take(*found, len(batch))
        ours = [module(x), module(x)]
        keys.current = to_tensor(randomness.fold(batch, "network", 3, 1))
        assert all(torch.equal(one, module(x)) for one in ours)
    assert coming.find(samples[1:4]) is None


def test_masks_are_those_of_the_documented_hash() -> None:
    module, keys = keyed(nn.Dropout(0.3), 4)
    expected = uniform(fold_tensor(sample_keys(4), "mask", "place.0", 0), 10) < 0.3
    assert torch.equal(module(torch.ones(4, 10)) == 0, expected)
