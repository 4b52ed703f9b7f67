"""Each encoder gets pixels in the scale and with the statistics it was trained with.

Clips have its length.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echolm.encoders import ENCODERS
from echolm.encoders.base import normalise
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.stores.sampling import ed_to_es

models = import_torchvision().models
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PUBLISHED = {
    "echoprime": (1, (29.110628, 28.076836, 29.096405), (47.989223, 46.456997, 47.20083)),
    "mvit-v2-s": (255, (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
    "r3d-18": (255, (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    "panecho": (255, *IMAGENET),
    "resnet18-2d": (255, *IMAGENET),
    "vit-b-16": (255, *IMAGENET),
    "videomae-b": (255, *IMAGENET),
    "videomae-l": (255, *IMAGENET),
    "vivit-b": (255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "echofm-l": (255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "echo-vision-fm": (255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""What pixels of 0-255 are divided by, then mean and standard deviation of the channels."""

PRESETS = {
    "r3d-18": models.video.R3D_18_Weights.KINETICS400_V1,
    "mvit-v2-s": models.video.MViT_V2_S_Weights.KINETICS400_V1,
    "resnet18-2d": models.ResNet18_Weights.IMAGENET1K_V1,
    "vit-b-16": models.ViT_B_16_Weights.IMAGENET1K_V1,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_pixels_become_what_the_published_encoder_reads(name: str) -> None:
    divisor, mean, std = PUBLISHED[name]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5))
    clip = normalise(torch.from_numpy(pixels).float(), ENCODERS.parse(name)).numpy()
    assert clip.shape == (2, 3, 3, 4, 5) and clip.dtype == np.float32
    for channel in range(3):
        expected = (pixels / divisor - mean[channel]) / std[channel]
        assert np.abs(clip[:, channel] - expected).max() < 1e-5


def test_every_encoder_with_published_weights_is_listed_here() -> None:
    assert {name for name in ENCODERS.names() if ENCODERS.parse(name).published} == set(PUBLISHED)


@pytest.mark.parametrize("name", PRESETS)
def test_statistics_are_those_of_torchvisions_preset(name: str) -> None:
    encoder = ENCODERS.parse(name)
    preset = PRESETS[name].transforms()
    assert tuple(preset.mean) == encoder.mean
    assert tuple(preset.std) == encoder.std
    assert encoder.scale == "0-1"


@given(st.sampled_from(sorted(PUBLISHED)), st.integers(0, 300), st.integers(0, 300))
def test_a_landmark_clip_is_as_long_as_the_encoder_reads(name: str, ed: int, es: int) -> None:
    """However short the beat. So no encoder's rule for padding short clips is ever needed."""
    length = ENCODERS.parse(name).frames
    assert len(ed_to_es(ed, es, length)) == length
    assert length == (32 if name == "echofm-l" else 16)


@pytest.mark.parametrize("name", ["r3d-18", "echoprime"])
def test_a_kept_buffer_holds_the_same_bits_as_a_subtraction_and_a_division(name: str) -> None:
    encoder = ENCODERS.parse(name)
    clips = 255 * torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    scale = 1.0 if encoder.scale == "0-255" else 255.0
    mean, std = (torch.tensor(values) * scale for values in (encoder.mean, encoder.std))
    shape = (1, 3, 1, 1, 1)
    expected = (clips.unsqueeze(1) - mean.view(shape)) / std.view(shape)
    buffer = torch.full((2, 3, 3, 4, 5), torch.nan)
    last = torch.empty_like(buffer, memory_format=torch.channels_last_3d)
    assert torch.equal(normalise(clips, encoder), expected)
    for into in (buffer, last):
        assert normalise(clips, encoder, into) is into and torch.equal(into, expected)
    assert last.is_contiguous(memory_format=torch.channels_last_3d)
