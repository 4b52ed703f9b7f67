"""STF-Net is its formulas, in the layout of the text and in that of the released code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from positional_encodings.torch_encodings import PositionalEncoding1D, PositionalEncoding3D
from torch import Tensor, nn
from torch.nn import functional

from echolm.config import parse_config, whole_batch_reason
from echolm.encoders import ENCODERS, Encoder
from echolm.encoders.base import Features
from echolm.encoders.families.positions import grid_sinusoids, sinusoids_at
from echolm.errors import EchoLMError
from echolm.fusion import FUSIONS

LAYOUTS = ("paper", "released")
TINY = ENCODERS.parse("tiny-videomae")
"""Tokens 8 x 4 x 4 of width 64, of 16 frames."""


def build(**fields: Any) -> nn.Module:
    torch.manual_seed(0)
    module = FUSIONS.parse({"name": "stf-net", "hidden": 24, **fields}).build(TINY)
    for parameter in module.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return module.double()


def features(batch: int = 3) -> Features:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(batch, 8, 4, 4, 64, generator=generator, dtype=torch.float64)
    numbers = torch.randint(0, 200, (batch, 16), generator=generator).sort(dim=1).values
    return Features(tokens[:, 0, 0, 0], tokens=tokens, context={"frames": numbers})


def attended(tokens: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """Equation of gated attention, a clip at a time."""
    vectors = []
    for clip in tokens:
        content = torch.tanh(clip @ weights[f"{name}.content.weight"].T)
        gate = torch.sigmoid(clip @ weights[f"{name}.gate.weight"].T)
        scores = ((content * gate) @ weights[f"{name}.score.weight"].T)[:, 0]
        shares = scores.exp() / scores.exp().sum()
        vectors.append((shares[:, None] * clip).sum(0))
    return torch.stack(vectors)


def residual(maps: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """One bottleneck in training: statistics over the batch and all places."""
    convolve = functional.conv3d if maps.ndim == 5 else functional.conv2d
    inner = maps
    for place, padding in ((0, 0), (3, 1), (6, 0)):
        inner = convolve(inner, weights[f"{name}.block.{place}.weight"], padding=padding)
        axes = [axis for axis in range(inner.ndim) if axis != 1]
        mean = inner.mean(axes, keepdim=True)
        variance = inner.var(axes, correction=0, keepdim=True)
        shape = [1, -1] + [1] * (inner.ndim - 2)
        scale = weights[f"{name}.block.{place + 1}.weight"].view(shape)
        shift = weights[f"{name}.block.{place + 1}.bias"].view(shape)
        inner = (inner - mean) / (variance + 1e-5).sqrt() * scale + shift
        if place < 6:
            inner = inner.clamp(min=0)
    return (maps + inner).clamp(min=0)


def reread(tensor: Tensor, *shape: int) -> Tensor:
    """Give the memory of a tensor another shape."""
    return torch.from_numpy(tensor.detach().numpy().ravel().reshape(shape))


def by_the_formulas(layout: str, given: Features, weights: dict[str, Tensor]) -> Tensor:
    tokens, numbers = given.tokens, given.context["frames"]
    assert tokens is not None
    batch, width = len(tokens), tokens.shape[4]

    encoded = tokens + PositionalEncoding3D(width)(tokens.float())
    maps = residual(torch.einsum("bthwd->bdthw", encoded), weights, "paths.0.block")
    if layout == "paper":
        mixed = torch.einsum("bdthw->bthwd", maps).reshape(batch, 128, width)
    else:
        mixed = reread(maps, batch, 128, width)
    joint = attended(mixed, weights, "paths.0.pooling")

    if layout == "paper":
        pictures = torch.einsum("bthwd->btdhw", tokens).reshape(batch * 8, width, 4, 4)
    else:
        pictures = reread(tokens, batch * 8, width, 4, 4)
    pictures = residual(pictures, weights, "paths.1.block")
    kernel = weights["paths.1.pool_places.weight"]
    places = torch.einsum("ndhw,edhw->ne", pictures, kernel) + weights["paths.1.pool_places.bias"]
    table = PositionalEncoding1D(width)(torch.zeros(1, 200, width))[0].double()
    pairs = (table[numbers[:, 0::2]] + table[numbers[:, 1::2]]) / 2
    inner = pairs @ weights["paths.1.encode.0.weight"].T + weights["paths.1.encode.0.bias"]
    inner = inner.clamp(min=0) @ weights["paths.1.encode.2.weight"].T
    vectors = places.view(batch, 8, width) + inner + weights["paths.1.encode.2.bias"]
    disjoint = attended(vectors, weights, "paths.1.pooling")
    return torch.cat([joint, disjoint], dim=1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_its_formulas(layout: str) -> None:
    module, given = build(layout=layout), features()
    weights = dict(module.named_parameters())
    with torch.no_grad():
        expected = by_the_formulas(layout, given, weights)
        vectors = module(given)
    assert vectors.shape == (3, FUSIONS.parse("stf-net").width(TINY)) == (3, 128)
    # The encodings are float32, in the package and here.
    torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-5)


def test_the_layouts_differ_and_have_equal_parameters() -> None:
    given = features()
    paper, released = (build(layout=layout) for layout in LAYOUTS)
    assert paper.state_dict().keys() == released.state_dict().keys()
    for path in (slice(0, 64), slice(64, 128)):
        assert not torch.allclose(paper(given)[:, path], released(given)[:, path], atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frame_numbers_change_the_disjoint_path_alone(layout: str) -> None:
    module, given = build(layout=layout), features()
    before = module(given)
    given.context["frames"] = given.context["frames"] + 1
    after = module(given)
    assert torch.equal(before[:, :64], after[:, :64])
    assert not torch.allclose(before[:, 64:], after[:, 64:], atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_path_may_stand_alone_and_trains(layout: str) -> None:
    for paths in ("joint", "disjoint"):
        fusion = FUSIONS.parse({"name": "stf-net", "layout": layout, "paths": paths, "hidden": 8})
        module, given = fusion.build(TINY), features()
        assert given.tokens is not None
        given.tokens = given.tokens.float()
        vectors = module(given)
        assert vectors.shape == (3, fusion.width(TINY)) == (3, 64)
        vectors.square().sum().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name


def test_text_does_not_depend_on_how_tokens_lie_in_memory() -> None:
    """R3D-18 gives tokens as a view of its maps."""
    for layout in LAYOUTS:
        module, given = build(layout=layout), features()
        expected = module.eval()(given)
        assert given.tokens is not None
        given.tokens = given.tokens.permute(0, 4, 1, 2, 3).contiguous().permute(0, 2, 3, 4, 1)
        torch.testing.assert_close(module(given), expected)


def test_parameters_behind_vit_b() -> None:
    with torch.device("meta"):
        module = FUSIONS.parse("stf-net").build(ENCODERS.parse("echo-vision-fm"))
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in module.named_modules()
    }
    assert counts["paths.1.block"] == 1_920_000
    assert counts["paths.0.block"] == 4_574_208
    assert counts["paths.1.pool_places"] == 115_606_272
    assert counts["paths.0.pooling"] == counts["paths.1.pooling"] == 1_573_888
    assert counts["paths.1.encode"] == 1_181_184
    assert counts[""] == 126_429_440


@pytest.mark.parametrize("name", ["echo-vision-fm", "vit-b-16", "mvit-v2-s", "r3d-18", "tiny-mvit"])
def test_it_stands_behind_any_encoder_that_gives_tokens(name: str) -> None:
    encoder = ENCODERS.parse(name)
    assert encoder.token_grid is not None
    with torch.device("meta"):
        module = FUSIONS.parse("stf-net").build(encoder)
        tokens = torch.zeros(2, *encoder.token_grid, encoder.token_width or encoder.width)
        numbers = torch.zeros(2, encoder.frames, dtype=torch.int64)
        vectors = module(Features(tokens[:, 0, 0, 0], tokens=tokens, context={"frames": numbers}))
    assert vectors.shape == (2, 2 * encoder.width)


@pytest.mark.parametrize(("grid", "width"), [((8, 14, 14), 768), ((3, 5, 2), 64), ((2, 3, 4), 10)])
def test_encodings_of_the_grid_are_those_of_the_package(
    grid: tuple[int, int, int], width: int
) -> None:
    expected = PositionalEncoding3D(width)(torch.zeros(1, *grid, width))[0]
    torch.testing.assert_close(grid_sinusoids(grid, width), expected, rtol=0, atol=2e-6)


def test_encodings_of_frame_numbers_are_those_of_the_package() -> None:
    numbers = torch.tensor([[0, 13, 15], [199, 40, 41]])
    table = PositionalEncoding1D(768)(torch.zeros(1, 200, 768))[0]
    # The package's angles are float32: 199 is known to 1.5e-5.
    torch.testing.assert_close(sinusoids_at(numbers, 768), table[numbers], rtol=0, atol=2e-5)
    columns = np.arange(768)
    angles = numbers.numpy()[..., None] / 10_000 ** (2 * (columns // 2) / 768)
    exact = np.where(columns % 2 == 0, np.sin(angles), np.cos(angles))
    assert np.abs(sinusoids_at(numbers, 768).numpy() - exact).max() < 1e-7


def test_without_frame_numbers_it_says_so() -> None:
    given = features()
    given.context = {}
    with pytest.raises(EchoLMError, match="stf-net needs the original numbers of the frames"):
        build()(given)


RUN = {
    "data": "d",
    "task": "landmarks",
    "encoder": "tiny-videomae",
    "trainable": "k0",
    "head": "linear",
}


def test_what_it_cannot_stand_behind_is_refused_when_a_run_is_read() -> None:
    with pytest.raises(EchoLMError, match="stf-net needs tokens, which encoder panecho does not"):
        parse_config({**RUN, "encoder": "panecho", "fusion": "stf-net"})


def test_times_of_unequally_many_frames_are_refused() -> None:
    class Odd(Encoder):
        frames = 16
        token_grid = (6, 4, 4)
        gives = ("pooled", "tokens")

    with pytest.raises(ValueError, match="encoder odd makes 6 times of 16 frames; valid: "):
        FUSIONS.parse("stf-net").check_encoder(Odd(name="odd"))


def test_it_needs_its_whole_batch_and_other_fusions_do_not() -> None:
    for name in FUSIONS.names():
        reason = whole_batch_reason(parse_config({**RUN, "fusion": name}))
        expected = "fusion stf-net with statistics over the batch" if name == "stf-net" else ""
        assert reason == expected
