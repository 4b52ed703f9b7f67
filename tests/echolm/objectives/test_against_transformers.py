"""The masked autoencoder equals ``VideoMAEForPreTraining`` of the package transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from echolm.encoders import ENCODERS
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.objectives import OBJECTIVES
from echolm.objectives.masked_network import MaskedNetwork
from echolm.randomness import sample_keys, to_tensor
from echolm.tasks import Batch
from echolm.training.keyed_dropout import Keys

PUBLISHED = 94_209_408
"""Parameters of the pretraining network with ViT-B, without a last LayerNorm of the encoder."""


def renamed(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors, or gradients of them, by our names."""
    named = {}
    for name, tensor in theirs.items():
        if ".attention.attention." in name:
            continue
        for old, new in (
            ("videomae.embeddings.patch_embeddings.projection", "encoder.stem.cubes"),
            ("videomae.encoder.layer", "encoder.blocks"),
            ("videomae.layernorm", "encoder.readout.norm"),
            ("encoder_to_decoder", "decoder.project"),
            ("decoder.decoder_layers", "decoder.blocks"),
            ("decoder.head", "decoder.last"),
            ("attention.output.dense", "attention.output"),
            ("intermediate.dense", "feed_forward.0"),
            ("output.dense", "feed_forward.2"),
            ("layernorm_before", "attention_norm"),
            ("layernorm_after", "feed_norm"),
        ):
            name = name.replace(old, new)
        named["decoder.mask_token" if name == "mask_token" else name] = tensor
    for name in theirs:
        if not name.endswith("attention.attention.query.weight"):
            continue
        place = name.removesuffix("attention.query.weight")
        parts = [theirs[f"{place}attention.{part}.weight"] for part in ("query", "key", "value")]
        joined = {
            f"{place}qkv.weight": torch.cat(parts),
            f"{place}q_bias": theirs[f"{place}attention.query.bias"],
            f"{place}v_bias": theirs[f"{place}attention.value.bias"],
        }
        named |= renamed(joined)
    return named


def theirs_of(encoder: Any, objective: Any) -> Any:
    """Their network of the same shape, with weights of its own."""
    import_torchvision()
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    cube = encoder.cube
    width = objective.decoder_width
    config = VideoMAEConfig(
        image_size=encoder.size,
        patch_size=cube[1],
        num_frames=encoder.frames,
        tubelet_size=cube[0],
        hidden_size=encoder.width,
        num_hidden_layers=encoder.blocks,
        num_attention_heads=encoder.heads,
        intermediate_size=encoder.hidden,
        decoder_hidden_size=width,
        decoder_num_hidden_layers=objective.decoder_depth,
        decoder_num_attention_heads=objective.decoder_heads,
        decoder_intermediate_size=4 * width,
        norm_pix_loss=objective.target == "normalised",
        use_mean_pooling=encoder.final_norm == "none",
    )
    torch.manual_seed(0)
    return VideoMAEForPreTraining(config).eval()


def relative(own: Tensor, theirs: Tensor) -> float:
    """The largest difference beside the largest value."""
    return float((own - theirs).detach().abs().max() / theirs.detach().abs().max())


@dataclass(frozen=True)
class Pair:
    """Their network and ours with its weights, and what each has made of the same clips."""

    theirs: Any
    ours: MaskedNetwork
    expected: Any
    outputs: Any
    loss: Tensor


def compare_forward(encoder: Any, objective: Any, clips: int) -> Pair:
    """Compare the loss and the predictions."""
    theirs = theirs_of(encoder, objective)
    keys = Keys()
    keys.current = to_tensor(sample_keys([f"clip {number}" for number in range(clips)]))
    keys.step = keys.current[:1]
    network = encoder.build(None)
    ours = objective.build_for(encoder, network, keys)
    assert isinstance(ours, MaskedNetwork)
    ours.load_state_dict(renamed(theirs.state_dict()))

    generator = torch.Generator().manual_seed(1)
    shape = (clips, 1, encoder.frames, encoder.size, encoder.size)
    gray = torch.rand(shape, generator=generator).expand(-1, 3, -1, -1, -1)
    batch_clips = (gray - ours.mean) / ours.std
    outputs = ours(batch_clips)
    batch = Batch([], batch_clips, torch.zeros(clips, 0, 2), {})
    loss = objective.loss(outputs, batch)["loss"].mean()

    is_masked = torch.zeros(clips, int(np.prod(encoder.token_grid)), dtype=torch.bool)
    is_masked.scatter_(1, outputs.masked, True)
    expected = theirs(batch_clips.transpose(1, 2), bool_masked_pos=is_masked)
    assert relative(outputs.predicted, expected.logits) < 1e-6
    assert relative(loss, expected.loss) < 1e-6
    return Pair(theirs, ours, expected, outputs, loss)


def compare_gradients(pair: Pair) -> None:
    """Compare the gradients of all parameters.

    A gradient that is next to nothing beside the others is compared beside them.
    """
    pair.loss.backward()
    pair.expected.loss.backward()
    gradients = renamed({name: p.grad for name, p in pair.theirs.named_parameters()})
    own = dict(pair.ours.named_parameters())
    assert own.keys() == gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        found = own[name].grad
        assert found is not None
        size = gradient.norm().clamp_min(1e-3 * largest)
        assert float((found - gradient).norm() / size) < 1e-6, name


@pytest.mark.parametrize("final_norm", ["tokens", "none"])
@pytest.mark.parametrize("recipe", ["paper", "released"])
@pytest.mark.parametrize("mask", ["random", "tube", "batch-shared"])
def test_a_tiny_one(final_norm: str, recipe: str, mask: str) -> None:
    encoder = ENCODERS.parse({"name": "tiny-videomae", "final_norm": final_norm})
    objective = OBJECTIVES.parse(
        {
            "name": "masked-autoencoder",
            "recipe": recipe,
            "mask": mask,
            "decoder_width": 128,
            "decoder_depth": 2,
        }
    )
    compare_gradients(compare_forward(encoder, objective, clips=3))


@torch.no_grad()
def test_with_vit_b_at_85_percent() -> None:
    """The network of the paper, one clip forward."""
    encoder = ENCODERS.parse({"name": "videomae-b", "final_norm": "none"})
    objective = OBJECTIVES.parse({"name": "masked-autoencoder", "recipe": "paper"})
    pair = compare_forward(encoder, objective, clips=1)
    assert sum(parameter.numel() for parameter in pair.ours.parameters()) == PUBLISHED
    assert pair.outputs.masked.shape[1] == 1_332
