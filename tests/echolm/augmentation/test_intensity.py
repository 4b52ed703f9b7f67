"""Changes of gray values in closed form; noise that depends on its key alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats

from echolm.augmentation import intensity

GRAYS = torch.arange(0, 256, dtype=torch.float32).view(1, 1, 16, 16).expand(3, 2, 16, 16)


def test_linear_scales_shifts_and_clamps_each_sample_by_its_own() -> None:
    changed = intensity.linear(
        GRAYS, torch.tensor([1.2, 0.8, 1.0]), torch.tensor([-51.0, 20.0, 0.0])
    )
    expected = [(1.2 * GRAYS[0] - 51).clamp(0, 255), 0.8 * GRAYS[1] + 20, GRAYS[2]]
    torch.testing.assert_close(changed, torch.stack(expected))
    assert torch.equal(changed[2], GRAYS[2])


def test_gamma_keeps_black_and_white() -> None:
    exponents = torch.tensor([0.8, 1.0, 1.2])
    changed = intensity.gamma(GRAYS, exponents)
    torch.testing.assert_close(
        changed, torch.stack([255 * (GRAYS[0] / 255) ** e for e in exponents.tolist()])
    )
    torch.testing.assert_close(changed[:, :, [0, -1], [0, -1]], GRAYS[:, :, [0, -1], [0, -1]])


def test_scale_is_a_gain() -> None:
    changed = intensity.scale(GRAYS, torch.tensor([0.9, 1.0, 1.1]))
    torch.testing.assert_close(
        changed, torch.stack([0.9 * GRAYS[0], GRAYS[1], (1.1 * GRAYS[2]).clamp(0, 255)])
    )


def test_noise_is_normal_and_one_image_for_all_frames() -> None:
    clips = torch.full((2, 3, 100, 100), 128.0)
    added = intensity.noise(clips, torch.tensor([3.0, 7.0]), torch.tensor([5, -6])) - clips
    assert (added - added[:, :1]).abs().max() == 0
    for image, deviation in zip(added[:, 0], (3.0, 7.0), strict=True):
        assert stats.kstest(image.flatten().numpy(), "norm", (0, deviation)).pvalue > 1e-3
    assert abs(stats.pearsonr(added[0, 0].flatten(), added[1, 0].flatten()).statistic) < 0.04


def test_noise_depends_on_the_key_alone_and_is_clamped() -> None:
    clips = torch.full((2, 1, 30, 30), 1.0)
    both = intensity.noise(clips, torch.tensor([5.0, 5.0]), torch.tensor([1, 2]))
    alone = intensity.noise(clips[1:], torch.tensor([5.0]), torch.tensor([2]))
    torch.testing.assert_close(both[1:], alone)
    assert not torch.equal(both[0], both[1])
    assert (
        both.min() == 0
        and intensity.noise(clips + 254, torch.tensor([5.0, 5.0]), torch.tensor([1, 2])).max()
        == 255
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda x: intensity.linear(x, torch.ones(3) * 2, torch.zeros(3)),
        lambda x: intensity.gamma(x, torch.ones(3) * 2),
        lambda x: intensity.scale(x, torch.ones(3) * 2),
        lambda x: intensity.noise(x, torch.ones(3), torch.arange(3)),
    ],
)
def test_the_given_clips_are_left_alone(change: Callable[..., torch.Tensor]) -> None:
    clips = GRAYS.clone()
    change(clips)
    assert torch.equal(clips, GRAYS)
