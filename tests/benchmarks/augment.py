"""Augment training clips, against torchvision's transforms v2.

A clip has 16 frames, of 112 x 112 before and of 224 x 224 after. Both get a gray uint8 clip and its
80 points as a store gives them. v2 works on three equal channels, as the published pipelines do,
clip by clip as in a Dataset. echolm works on the one channel, which is repeated where frames are
normalised.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echolm.augmentation import affine
from echolm.augmentation.bhoodoo2026 import Bhoodoo2026
from echolm.encoders import ENCODERS
from echolm.encoders.base import normalise
from echolm.encoders.torchvision_compat import import_torchvision
from tests.benchmarks.measure import Comparison, Way, compare

SIZE, BATCH, TARGET = 224, 20, 4.0
Clip = tuple[Tensor, Tensor]
Transform = Callable[..., Any]


def measure(folder: Path, tiny: bool) -> list[Comparison]:
    """Measure affine and resize three ways, then the whole recipe of NLDL 2026."""
    batch, rounds = (2, 1) if tiny else (BATCH, 9)
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (batch, 16, 112, 112), dtype=torch.uint8, generator=generator)
    points = 112 * torch.rand(batch, 80, 2, generator=generator)
    return [
        one_by_one(clips, points, rounds),
        as_batch(clips, points, rounds),
        as_input(clips, points, rounds),
        whole_recipe(clips, points, rounds),
    ]


def one_by_one(clips: Tensor, points: Tensor, rounds: int) -> Comparison:
    """Measure each in its own form: v2 uint8 x 3 channels, echolm float32 x 1 channel."""
    moves = _v2_affine()

    def peer() -> None:
        for clip in zip(clips, points, strict=True):
            moves(*_v2_clip(*clip))

    def ours() -> None:
        for row in range(len(clips)):
            affine.warp(clips[row : row + 1], points[row : row + 1], _maps(1), SIZE)

    return compare(
        "Affine and resize, one clip a call",
        "clips",
        [
            Way("torchvision v2, 3 channels: RandomAffine, Resize (uint8)", len(clips), peer),
            Way("affine.warp", len(clips), ours, TARGET),
        ],
        rounds,
        ends="each in its own form: v2 in 3 uint8 channels, echolm in 1 float32 channel",
    )


def as_batch(clips: Tensor, points: Tensor, rounds: int) -> Comparison:
    """Measure both up to one float32 tensor of gray values, as ``normalise`` reads it."""
    moves = _v2_affine()
    ways = [
        Way(
            "torchvision v2, 3 channels: RandomAffine, Resize (uint8), stack, float",
            len(clips),
            lambda: torch.stack(
                [moves(*_v2_clip(*clip))[0] for clip in zip(clips, points, strict=True)]
            ).float(),
        ),
        Way(
            "affine.warp",
            len(clips),
            lambda: affine.warp(clips, points, _maps(len(clips)), SIZE),
            TARGET,
        ),
    ]
    return compare(f"Affine and resize, a float32 batch of {len(clips)}", "clips", ways, rounds)


def as_input(clips: Tensor, points: Tensor, rounds: int) -> Comparison:
    """Measure both up to what mvit-v2-s reads: B x 3 x 16 x 224 x 224, normalised."""
    encoder = ENCODERS.get("mvit-v2-s")()
    moves = _v2().Compose(
        [
            _v2_affine(),
            _v2().ToDtype(torch.float32, scale=True),
            _v2().Normalize(encoder.mean, encoder.std),
        ]
    )
    ways = [
        Way(
            "torchvision v2, 3 channels: RandomAffine, Resize, ToDtype, Normalize, stack",
            len(clips),
            lambda: torch.stack(
                [
                    moves(*_v2_clip(*clip))[0].transpose(0, 1)
                    for clip in zip(clips, points, strict=True)
                ]
            ),
        ),
        Way(
            "affine.warp, normalise",
            len(clips),
            lambda: normalise(affine.warp(clips, points, _maps(len(clips)), SIZE)[0], encoder),
        ),
    ]
    return compare(
        f"Affine, resize and normalise, a batch of {len(clips)} as the network reads it",
        "clips",
        ways,
        rounds,
    )


def whole_recipe(clips: Tensor, points: Tensor, rounds: int) -> Comparison:
    """Measure spatial, colour, blur and noise steps with the recipe's chances.

    Both end in a float32 batch of gray values.
    """
    recipe, steps = Bhoodoo2026(), _v2_recipe(Bhoodoo2026())
    keys = iter(np.random.default_rng(0).integers(0, 2**63, (10_000, len(clips)), np.uint64))
    ways = [
        Way(
            "torchvision v2, 3 channels: the same steps, stack, float",
            len(clips),
            lambda: torch.stack(
                [steps(*_v2_clip(*clip))[0].float() for clip in zip(clips, points, strict=True)]
            ),
        ),
        Way(
            "bhoodoo2026: draw and apply",
            len(clips),
            lambda: recipe.apply(clips, points, SIZE, recipe.draw(next(keys))),
        ),
    ]
    note = (
        "v2 has no median: Gaussian blur stands in for it; its noise differs from frame to frame,"
        " echolm's is one image a clip"
    )
    return compare(
        f"Whole recipe of NLDL 2026, a float32 batch of {len(clips)}",
        "clips",
        ways,
        rounds,
        note=note,
    )


def _maps(count: int) -> np.ndarray:
    """Draw shift, scale and rotation in the ranges of the recipe."""
    rng, recipe = np.random.default_rng(0), Bhoodoo2026()
    shift = rng.uniform(-recipe.shift, recipe.shift, (count, 2))
    scale = rng.uniform(1 - recipe.scale, 1 + recipe.scale, count)
    return affine.shift_scale_rotate(
        shift, scale, rng.uniform(-recipe.rotate, recipe.rotate, count)
    )


def _v2() -> Any:
    import_torchvision()
    from torchvision.transforms import v2

    return v2


def _v2_clip(clip: Tensor, points: Tensor) -> Clip:
    """Put a stored clip into v2's types. Its points count from the corner of a pixel."""
    from torchvision import tv_tensors

    video = tv_tensors.Video(clip.unsqueeze(1).expand(-1, 3, -1, -1))
    return video, tv_tensors.KeyPoints(points + 0.5, canvas_size=(clip.shape[-2], clip.shape[-1]))


def _v2_turn(recipe: Bhoodoo2026) -> Transform:
    v2 = _v2()
    scale = (1 - recipe.scale, 1 + recipe.scale)
    bilinear = v2.InterpolationMode.BILINEAR
    turn: Transform = v2.RandomAffine(
        recipe.rotate, (recipe.shift,) * 2, scale, interpolation=bilinear
    )
    return turn


def _v2_affine() -> Transform:
    v2 = _v2()
    moves: Transform = v2.Compose([_v2_turn(Bhoodoo2026()), v2.Resize((SIZE, SIZE))])
    return moves


def _v2_recipe(recipe: Bhoodoo2026) -> Transform:
    """Compose the steps of ``recipe`` of transforms of v2."""
    v2 = _v2()

    def sometimes(p: float, *choices: Transform) -> Transform:
        chosen: Transform = v2.RandomApply([v2.RandomChoice(list(choices))], p=p)
        return chosen

    def on_video(change: Callable[[Tensor], Tensor]) -> Transform:
        return v2.Lambda(change, _type("Video"))

    kernels = [
        v2.GaussianBlur(size, sigma=0.3 * (size // 2 - 1) + 0.8) for size in recipe.gaussian_kernels
    ]
    gamma, gain = (lambda low, high: float(torch.empty(()).uniform_(low, high)),) * 2
    steps: Transform = v2.Compose(
        [
            sometimes(
                recipe.p_spatial,
                v2.RandomResizedCrop((SIZE, SIZE), recipe.crop_area, recipe.crop_ratio),
                _v2_turn(recipe),
            ),
            v2.Resize((SIZE, SIZE)),
            sometimes(
                recipe.p_colour,
                v2.ColorJitter(brightness=recipe.brightness, contrast=recipe.contrast),
                v2.ColorJitter(brightness=recipe.value / 255),
                on_video(lambda video: v2.functional.adjust_gamma(video, gamma(*recipe.gamma))),
            ),
            sometimes(recipe.p_blur, *kernels),
            v2.ToDtype(torch.float32, scale=True),
            sometimes(
                recipe.p_noise,
                v2.GaussianNoise(sigma=float(np.sqrt(np.mean(recipe.noise_variance))) / 255),
                on_video(lambda video: (video * gain(*recipe.noise_gain)).clamp_(0, 1)),
            ),
        ]
    )
    return steps


def _type(name: str) -> type:
    from torchvision import tv_tensors

    tensor_type: type = getattr(tv_tensors, name)
    return tensor_type
