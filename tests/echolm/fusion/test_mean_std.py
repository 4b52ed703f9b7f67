"""Fusions: what they give equals a formula, and gradients are finite."""

from __future__ import annotations

import torch

from echolm.encoders import ENCODERS
from echolm.encoders.base import Features
from echolm.fusion import FUSIONS


def test_mean_and_deviation_over_time() -> None:
    encoder = ENCODERS.parse("tiny-videomae")
    fusion = FUSIONS.parse("mean-std")
    frames = torch.rand(3, 8, 64, dtype=torch.float64)
    frames[2] = 0.5
    frames.requires_grad_()
    vectors = fusion.build(encoder)(Features(pooled=frames[:, 0], frames=frames))
    assert vectors.shape == (3, fusion.width(encoder)) == (3, 128)
    expected = torch.cat([frames.mean(1), frames.std(1, correction=0)], 1)
    assert torch.allclose(vectors[:2], expected[:2], atol=1e-9)
    assert torch.allclose(vectors[2, 64:], torch.zeros(64, dtype=torch.float64), atol=1e-5)
    vectors.sum().backward()
    assert frames.grad is not None and frames.grad.isfinite().all()
