"""Video transformers are VideoMAE as transformers has it, whole or on some of the tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from videomae_references import (
    TINY,
    by_frame,
    check_gradients,
    on_kept,
    position_table,
    reference,
)

from echolm.encoders import ENCODERS
from echolm.encoders.base import EncoderNetwork, TokenStem
from echolm.encoders.families.positions import sinusoids
from echolm.encoders.families.video_transformer import video_transformer
from echolm.encoders.families.video_transformer_files import own_names
from echolm.errors import EchoLMError

TOKENS = 128


def pair(kind: str, mean_pooling: bool, **fields: Any) -> tuple[nn.Module, EncoderNetwork]:
    """Return a tiny model of transformers, and an encoder with its weights."""
    theirs = reference(kind, mean_pooling, TINY)
    ours = ENCODERS.parse({"name": "tiny-videomae", **fields}).build(None)
    state = own_names(dict(theirs.state_dict()))
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    return theirs, ours


def clips(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 16, 32, 32, generator=torch.Generator().manual_seed(1))


def masks(batch: int, masked: int) -> tuple[Tensor, Tensor]:
    """Draw which tokens are masked (B x N, True), and the places of the others (B x M)."""
    order = torch.rand(batch, TOKENS, generator=torch.Generator().manual_seed(2)).argsort(1)
    kept = order[:, masked:].sort(dim=1).values
    return torch.ones(batch, TOKENS, dtype=torch.bool).scatter(1, kept, False), kept


@pytest.mark.parametrize("mean_pooling", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_and_gradients_are_those_of_transformers(
    mean_pooling: bool, dtype: torch.dtype
) -> None:
    theirs, ours = pair("Model", mean_pooling, final_norm="none" if mean_pooling else "tokens")
    theirs, ours, clip = theirs.to(dtype), ours.to(dtype), clips().to(dtype)
    expected = theirs(by_frame(clip)).last_hidden_state
    features = ours(clip)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    scale = expected.detach().abs().max()
    difference = features.tokens.flatten(1, 3) - expected
    assert difference.abs().max() <= tolerance * scale
    weights = torch.randn(expected.shape).to(dtype)
    (expected * weights).sum().backward()
    (features.tokens.flatten(1, 3) * weights).sum().backward()
    check_gradients(theirs, ours, tolerance=tolerance)


def test_pooled_is_what_the_classifier_of_transformers_reads() -> None:
    theirs, ours = pair("ForVideoClassification", True, final_norm="pooled")
    theirs.classifier = nn.Identity()
    theirs, ours, clip = theirs.double(), ours.double(), clips().double()
    torch.testing.assert_close(
        ours(clip).pooled, theirs(by_frame(clip)).logits, rtol=1e-9, atol=1e-9
    )


def test_pooled_is_the_mean_or_the_maximum_of_tokens() -> None:
    for pooling in ("mean", "max"):
        _, ours = pair("Model", True, final_norm="none", pooling=pooling)
        features = ours(clips())
        tokens = features.tokens.flatten(1, 3)
        expected = tokens.mean(1) if pooling == "mean" else tokens.max(1).values
        torch.testing.assert_close(features.pooled, expected)


@pytest.mark.parametrize("masked", [1, 109, 120])
def test_some_tokens_pass_as_in_transformers(masked: int) -> None:
    """Of the masked pretraining's encoder: features and gradients."""
    theirs, ours = pair("Model", False)
    mask, kept = masks(2, masked)
    expected = theirs(by_frame(clips()), bool_masked_pos=mask).last_hidden_state
    features = on_kept(ours, clips(), kept)
    assert features.frames is None and features.tokens is not None
    assert features.tokens.shape == (2, TOKENS - masked, 64)
    difference = (features.tokens - expected).abs().max()
    assert difference <= 1e-6 * expected.detach().abs().max()
    torch.testing.assert_close(features.pooled, features.tokens.mean(1))
    expected.square().sum().backward()
    features.tokens.square().sum().backward()
    check_gradients(theirs, ours, tolerance=1e-6, each=1e-5)


def test_kept_tokens_may_stand_in_any_order() -> None:
    """Their positions are theirs. All of them in order are the whole clip."""
    _, ours = pair("Model", False)
    _, kept = masks(2, 100)
    turned = kept.flip(1)
    features = on_kept(ours, clips(), turned)
    straight = on_kept(ours, clips(), kept)
    torch.testing.assert_close(features.tokens.flip(1), straight.tokens)
    everything = torch.arange(TOKENS).expand(2, -1)
    whole = ours(clips())
    torch.testing.assert_close(
        on_kept(ours, clips(), everything).tokens, whole.tokens.flatten(1, 3)
    )


def test_a_dropped_token_is_not_read() -> None:
    """Pixels of its cube change nothing, which also says where a token's cube lies."""
    _, ours = pair("Model", False)
    stem = ours.stem
    assert isinstance(stem, TokenStem) and stem.grid == (8, 4, 4) and stem.cube == (2, 8, 8)
    mask, kept = masks(1, 64)
    dropped = mask.nonzero()[0, 1]
    time, row, column = (int(place) for place in torch.unravel_index(dropped, stem.grid))
    clip = clips(1)
    other = clip.clone()
    other[:, :, 2 * time : 2 * time + 2, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 9
    before, after = on_kept(ours, clip, kept), on_kept(ours, other, kept)
    assert torch.equal(before.tokens, after.tokens)
    assert not torch.equal(ours(clip).pooled, ours(other).pooled)


def test_maps_of_attention_are_those_of_transformers() -> None:
    theirs, ours = pair("Model", False)
    theirs.set_attn_implementation("eager")
    expected = theirs(by_frame(clips()), output_attentions=True).attentions
    maps = list(ours.attentions(clips()))
    assert len(maps) == len(expected) == 4
    for mine, other in zip(maps, expected, strict=True):
        assert mine.shape == (2, 4, TOKENS, TOKENS) and not mine.requires_grad
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(mine.sum(-1), torch.ones(2, 4, TOKENS))


def test_what_has_no_maps_says_so() -> None:
    network = ENCODERS.parse("tiny-r3d").build(None).eval()
    with pytest.raises(EchoLMError, match="ResNet3DBlock: its attention maps cannot be asked for"):
        next(network.attentions(clips(1)))


@pytest.mark.parametrize(("length", "width"), [(128, 64), (300, 50)])
def test_positions_are_those_of_transformers(length: int, width: int) -> None:
    table = position_table(length, width)
    torch.testing.assert_close(sinusoids(length, width), table, rtol=0, atol=6e-8)


def test_learned_positions_train_and_fixed_ones_are_in_no_file() -> None:
    learned = ENCODERS.parse({"name": "tiny-videomae", "positions": "learned"}).build(None)
    fixed = ENCODERS.parse("tiny-videomae").build(None)
    assert set(learned.state_dict()) - set(fixed.state_dict()) == {"stem.positions"}
    learned(clips()).pooled.square().sum().backward()
    gradient = learned.get_parameter("stem.positions").grad
    assert gradient is not None and (gradient.abs().sum(2) > 0).all()


def test_queries_and_values_may_have_no_biases() -> None:
    """As transformers without ``qv_bias``."""
    theirs = reference("Model", True, {**TINY, "qv_bias": False})
    ours = video_transformer(
        (8, 4, 4), (2, 8, 8), 64, 4, 256, blocks=4, biases=False, final_norm="none"
    )
    ours.load_state_dict(own_names(dict(theirs.state_dict())))
    expected = theirs(by_frame(clips())).last_hidden_state
    difference = (ours(clips()).tokens.flatten(1, 3) - expected).abs().max()
    assert difference <= 1e-6 * expected.detach().abs().max()
