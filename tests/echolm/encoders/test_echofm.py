"""EchoFM's encoder: its size, its layers, and the authors' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from echolm.clips import CLIPS
from echolm.encoders import ENCODERS
from echolm.encoders.base import State, keep_tokens, normalise
from echolm.encoders.families.echofm import EchoFMLayer
from echolm.encoders.families.echofm_files import own_names
from echolm.errors import EchoLMError

TINY = {"width": 64, "blocks": 4, "places": 16, "cube": (4, 8, 8)}
LARGE = {"width": 1024, "blocks": 24, "places": 196, "cube": (4, 16, 16)}
DECODER = {
    "decoder_cls_token": (1, 1, 512),
    "decoder_prj_cls_token": (1, 1, 1024),
    "decoder_block.attn.q.weight": (1024, 1024),
    "prj_norm.weight": (1024,),
    "decoder_embed.weight": (512, 1024),
    "mask_token": (1, 1, 512),
    "decoder_pos_embed_spatial": (1, 196, 512),
    "decoder_blocks.7.attn.v.bias": (512,),
    "decoder_norm.bias": (512,),
    "decoder_pred.weight": (768, 512),
}
"""Some of a file's further keys."""


def layout(width: int, blocks: int, places: int, cube: tuple[int, ...]) -> dict[str, Any]:
    """Every key and shape of the encoder in a published file."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed_spatial": (1, places, width),
        "pos_embed_temporal": (1, 8, width),
        "pos_embed_class": (1, 1, width),
        "patch_embed.proj.weight": (width, 3, *cube),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    layers = {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
    for part in ("q", "k", "v", "proj"):
        layers[f"attn.{part}"] = (width, width)
    for block in range(blocks):
        for norm in ("norm1", "norm2"):
            shapes[f"blocks.{block}.{norm}.weight"] = (width,)
            shapes[f"blocks.{block}.{norm}.bias"] = (width,)
        for name, shape in layers.items():
            shapes[f"blocks.{block}.{name}.weight"] = shape
            shapes[f"blocks.{block}.{name}.bias"] = shape[:1]
    return shapes


def drawn_file(path: Path) -> dict[str, Tensor]:
    """Write a file for the small encoder, and return its tensors."""
    state = {name: torch.randn(shape) / 8 for name, shape in layout(**TINY).items()}
    torch.save({"model": state, "model_args": {"num_frames": 32, "cls_embed": True}}, path)
    return state


def clip() -> Tensor:
    return torch.rand(2, 3, 32, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_large_one_has_the_size_of_the_authors() -> None:
    with torch.device("meta"):
        network = ENCODERS.parse("echofm-l").build(None)
    assert sum(parameter.numel() for parameter in network.parameters()) == 305_669_120


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
@pytest.mark.parametrize("further", [{}, DECODER], ids=["encoder", "whole"])
def test_a_file_of_the_true_keys_loads_with_and_without_those_of_the_decoder(
    tmp_path: Path, further: dict[str, Any]
) -> None:
    """Tensors of one number each, so that the file is small. The network is one of shapes."""
    state = {}
    for name, shape in {**layout(**LARGE), **further}.items():
        state[name] = torch.zeros(()).expand(shape)
    path = tmp_path / "echofm_vitl.pth"
    torch.save({"model": state, "model_args": {"num_frames": 32}}, path)
    assert path.stat().st_size < 1_000_000
    encoder = ENCODERS.parse("echofm-l")
    with torch.device("meta"):
        encoder.build(path)
    torch.save({"model": {**state, "norm.weight": torch.ones(512)}}, path)
    with pytest.raises(
        EchoLMError, match=r"readout\.norm\.weight \(512,\) for \(1024,\).*CC BY-NC"
    ):
        with torch.device("meta"):
            encoder.build(path)


def test_what_lacks_a_tensor_or_has_one_more_is_refused(tmp_path: Path) -> None:
    state = drawn_file(tmp_path / "whole.pth")
    encoder = ENCODERS.parse("tiny-echofm")
    for key in state:
        cut = {name: tensor for name, tensor in state.items() if name != key}
        torch.save({"model": cut}, tmp_path / "cut.pth")
        with pytest.raises(EchoLMError, match="not weights of encoder tiny-echofm: missing: "):
            encoder.build(tmp_path / "cut.pth")
    torch.save({"model": {**state, "pos_embed": torch.ones(1)}}, tmp_path / "more.pth")
    with pytest.raises(EchoLMError, match=r"unexpected: pos_embed\."):
        encoder.build(tmp_path / "more.pth")


def test_its_own_state_dict_loads(tmp_path: Path) -> None:
    encoder = ENCODERS.parse("tiny-echofm")
    state = encoder.build(None).state_dict()
    torch.save(state, tmp_path / "own.pt")
    again = encoder.build(tmp_path / "own.pt").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())
    assert own_names(dict(state)).keys() == state.keys()


def test_a_layer_equals_torchs_own() -> None:
    own = EchoFMLayer(64, 4, 256).double()
    reference = nn.TransformerEncoderLayer(
        64, 4, 256, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    for parameter in own.parameters():
        nn.init.normal_(parameter, std=0.2)
    names = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.output.",
        "linear1.": "feed_forward.0.",
        "linear2.": "feed_forward.2.",
        "norm1.": "attention_norm.",
        "norm2.": "feed_norm.",
    }
    state = own.state_dict()
    for theirs, ours in names.items():
        for kind in ("weight", "bias"):
            reference.get_parameter(theirs + kind).data = state[ours + kind]
    reference.norm1.eps = reference.norm2.eps = 1e-6
    tokens = torch.randn(2, 9, 64, dtype=torch.float64)
    torch.testing.assert_close(own(tokens), reference(tokens), rtol=1e-12, atol=1e-12)


def test_a_file_gives_the_features_of_the_published_network(tmp_path: Path) -> None:
    """By torch's functions alone, in the words of the file."""
    state = drawn_file(tmp_path / "tiny.pth")
    network = ENCODERS.parse("tiny-echofm").build(tmp_path / "tiny.pth").eval()
    cubes = nn.functional.conv3d(
        clip(), state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=(4, 8, 8)
    )
    tokens = cubes.flatten(2).transpose(1, 2)
    for place in range(128):
        time, space = divmod(place, 16)
        tokens[:, place] += state["pos_embed_spatial"][0, space]
        tokens[:, place] += state["pos_embed_temporal"][0, time]
    first = (state["cls_token"] + state["pos_embed_class"]).expand(2, 1, 64)
    every = torch.cat([first, tokens], dim=1)

    def linear(name: str, values: Tensor) -> Tensor:
        return nn.functional.linear(values, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name: str, values: Tensor) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return nn.functional.layer_norm(values, (64,), weight, bias, 1e-6)

    for block in range(4):
        name = f"blocks.{block}"
        inputs = norm(f"{name}.norm1", every)
        heads = [linear(f"{name}.attn.{part}", inputs).unflatten(2, (4, 16)) for part in "qkv"]
        query, key, value = (head.transpose(1, 2) for head in heads)
        scores = (query @ key.transpose(2, 3) / 4).softmax(dim=3)
        mixed = (scores @ value).transpose(1, 2).flatten(2)
        every = every + linear(f"{name}.attn.proj", mixed)
        inputs = norm(f"{name}.norm2", every)
        hidden = nn.functional.gelu(linear(f"{name}.mlp.fc1", inputs))
        every = every + linear(f"{name}.mlp.fc2", hidden)
    expected = norm("norm", every)[:, 1:]
    features = network(clip())
    torch.testing.assert_close(features.tokens.flatten(1, 3), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.pooled, expected.mean(dim=1), rtol=1e-4, atol=1e-4)


def test_all_tokens_kept_in_another_order_give_the_same() -> None:
    network = ENCODERS.parse("tiny-echofm").build(None).eval()
    order = torch.randperm(128).expand(2, -1)
    state = network.run(State({"clip": clip()}), 0, 1)
    kept = network.run(keep_tokens(state, order), 1, 6)  # type: ignore[arg-type]
    whole = network(clip())
    torch.testing.assert_close(kept.tokens, whole.tokens.flatten(1, 3)[:, order[0]])
    assert kept.frames is None


def test_attention_maps_lead_to_the_same_features_with_the_class_token_first() -> None:
    network = ENCODERS.parse("tiny-echofm").build(None).eval()
    maps = list(network.attentions(clip()))
    assert [tuple(block.shape) for block in maps] == [(2, 4, 129, 129)] * 4
    torch.testing.assert_close(maps[0].sum(dim=3), torch.ones(2, 4, 129))
    state = network.stem(State({"clip": clip()}))
    for block in network.blocks:
        explained, _ = block.explain(state)
        state = block(state)
        for name, tensor in state.tensors.items():
            torch.testing.assert_close(explained.tensors[name], tensor)


def test_pixels_are_in_0_to_1() -> None:
    grays = torch.tensor([0.0, 255.0]).view(1, 2, 1, 1)
    assert normalise(grays, ENCODERS.parse("echofm-l")).unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("clip_name", "values"), [("ed-to-es", {"ed": 0, "es": 30}), ("uniform", {})]
)
def test_sixteen_frames_are_repeated_evenly(clip_name: str, values: dict[str, int]) -> None:
    held = np.arange(0, 32, 2)
    chosen = CLIPS.parse(clip_name).choose(held, values, 32, None, None)
    assert chosen.tolist() == np.repeat(held, 2).tolist()
