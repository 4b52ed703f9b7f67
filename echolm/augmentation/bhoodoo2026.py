"""The recipe of Bhoodoo et al. (NLDL 2026, §4.1) for training clips.

Its steps are spatial, colour, blur and noise, in this order.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from echolm.augmentation import AUGMENTATIONS, Augmentation
from echolm.augmentation.draws import between, choose, crop_box, pick
from echolm.randomness import fold, generators

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_STEPS = (28, 6, 3, 4)
"""Uniform numbers that the spatial, colour, blur and noise steps draw from.

A sample's draw depends on them.
"""


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the lower limit {limits[0]} is above the upper limit {limits[1]}")
    return limits


Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Limits = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]
Areas = Annotated[
    tuple[Annotated[Fraction, Field(gt=0)], Annotated[Fraction, Field(gt=0)]],
    AfterValidator(_ordered),
]
Kernels = Annotated[tuple[Literal[3, 5, 7], ...], Field(min_length=1)]


@AUGMENTATIONS.register
class Bhoodoo2026(Augmentation):
    """Spatial, colour, blur and noise steps of chance.

    The paper gives steps and probabilities. The magnitudes are our choice: shift, scale and
    rotation of EchoGraphs, the defaults of albumentations 1.3.1 for the rest. One draw holds for
    all frames of a clip. Points follow, also off the frame. Nothing is flipped.

    Differences from albumentations on 224 x 224 uint8 RGB frames:

    - Gray values stay real numbers between the steps.
    - Crop boxes are not rounded to pixels.
    - A step is sampled bilinearly, once, together with the resize.
    - Black fills what lies outside the frame (there: mirrored).
    - Hue and saturation have no meaning for one gray channel, so of hue-saturation-value the value
      shift remains.
    - Gaussian noise is the same in the three equal channels.

    Kernels and noise are in pixels of the resized frame.
    """

    name: Literal["bhoodoo2026"] = "bhoodoo2026"
    p_spatial: Fraction = 0.6
    """Chance of a random resized crop or a shift-scale-rotate, each as likely."""
    crop_area: Areas = (0.08, 1.0)
    """Area of the crop as a fraction of the frame."""
    crop_ratio: Limits = (3 / 4, 4 / 3)
    """Width / height of the crop, drawn evenly in its logarithm."""
    shift: Fraction = 0.15
    """Largest shift along each axis, as a fraction of the frame."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Largest change of the scale from 1."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 45.0
    """Largest angle in degrees."""
    p_colour: Fraction = 0.6
    """Chance of brightness-contrast, value or gamma, each as likely."""
    brightness: Fraction = 0.2
    """Largest offset, as a fraction of 255."""
    contrast: Fraction = 0.2
    """Largest change of the gain from 1."""
    value: Annotated[float, Field(ge=0, le=255)] = 20.0
    """Largest value shift in gray values."""
    gamma: Limits = (0.8, 1.2)
    """Exponents of gamma."""
    p_blur: Fraction = 0.3
    """Chance of a Gaussian or a median blur, each as likely."""
    gaussian_kernels: Kernels = (3, 5, 5, 7, 7)
    """Kernel sizes, each entry as likely (albumentations draws 3 to 7 and rounds even sizes up)."""
    median_kernels: Kernels = (3, 5, 7)
    """Kernel sizes, each entry as likely."""
    p_noise: Fraction = 0.3
    """Chance of Gaussian or multiplicative noise, each as likely."""
    noise_variance: Limits = (10.0, 50.0)
    """Variance of Gaussian noise in squared gray values."""
    noise_gain: Limits = (0.9, 1.1)
    """Factor of multiplicative noise: one a clip, albumentations' default."""

    def draw(self, keys: np.ndarray) -> dict[str, np.ndarray]:
        """Draw the parameters of each sample (see ``Augmentation.draw``).

        What was not chosen has its neutral value. ``crop`` is left, top, width and height as
        fractions of the frame. ``kernel`` is 0 without blur.
        """
        count = sum(_STEPS)
        uniform = np.array([generator.random(count) for generator in generators(keys)])
        columns = uniform.reshape(-1, count).T
        spatial, colour, blur, noise = np.split(columns, np.cumsum(_STEPS)[:-1])
        return {
            **self._draw_spatial(spatial),
            **self._draw_colour(colour),
            **self._draw_blur(blur),
            **self._draw_noise(noise),
            "noise_key": fold(keys, "noise"),
        }

    def apply(
        self, clips: Tensor, points: Tensor, size: int, parameters: dict[str, np.ndarray] | None
    ) -> tuple[Tensor, Tensor]:
        """Apply the recipe (see ``Augmentation.apply``).

        With ``parameters`` None it equals augmentation ``none``.
        """
        from echolm.augmentation import affine

        if parameters is None:
            return affine.resize(clips, points, size)
        crop = affine.crop(parameters["crop"])
        turn = affine.shift_scale_rotate(
            parameters["shift"], parameters["scale"], parameters["angle"]
        )
        clips, points = affine.warp(clips, points, affine.compose(crop, turn), size)
        _change_intensity(clips, parameters)
        return clips, points

    def _draw_spatial(self, u: np.ndarray) -> dict[str, np.ndarray]:
        kind = choose(u[0], u[1], self.p_spatial, "crop", "shift-scale-rotate")
        angle, scale, shift = u[2], u[3], u[4:6].T
        box = crop_box(u[8:18], u[18:28], u[6:8], self.crop_area, self.crop_ratio)
        angle = between(angle, -self.rotate, self.rotate)
        scale = between(scale, 1 - self.scale, 1 + self.scale)
        shift = between(shift, -self.shift, self.shift)
        turned, cropped = kind == "shift-scale-rotate", kind == "crop"
        return {
            "spatial": kind,
            "crop": np.where(cropped[:, None], box, [0.0, 0.0, 1.0, 1.0]),
            "angle": np.where(turned, angle, 0.0),
            "scale": np.where(turned, scale, 1.0),
            "shift": np.where(turned[:, None], shift, 0.0),
        }

    def _draw_colour(self, u: np.ndarray) -> dict[str, np.ndarray]:
        kind = choose(u[0], u[1], self.p_colour, "brightness-contrast", "value", "gamma")
        gain = between(u[2], 1 - self.contrast, 1 + self.contrast)
        brightness = between(u[3], -255 * self.brightness, 255 * self.brightness)
        value = between(u[4], -self.value, self.value)
        gamma = between(u[5], *self.gamma)
        both = kind == "brightness-contrast"
        return {
            "colour": kind,
            "gain": np.where(both, gain, 1.0),
            "offset": np.select([both, kind == "value"], [brightness, value], 0.0),
            "gamma": np.where(kind == "gamma", gamma, 1.0),
        }

    def _draw_blur(self, u: np.ndarray) -> dict[str, np.ndarray]:
        kind = choose(u[0], u[1], self.p_blur, "gaussian", "median")
        sizes = [pick(u[2], self.gaussian_kernels), pick(u[2], self.median_kernels)]
        kinds = [kind == "gaussian", kind == "median"]
        return {"blur": kind, "kernel": np.select(kinds, sizes, 0)}

    def _draw_noise(self, u: np.ndarray) -> dict[str, np.ndarray]:
        kind = choose(u[0], u[1], self.p_noise, "gaussian", "multiplicative")
        deviation = np.sqrt(between(u[2], *self.noise_variance))
        factor = between(u[3], *self.noise_gain)
        return {
            "noise": kind,
            "deviation": np.where(kind == "gaussian", deviation, 0.0),
            "factor": np.where(kind == "multiplicative", factor, 1.0),
        }


def _change_intensity(clips: Tensor, parameters: dict[str, np.ndarray]) -> None:
    """Change colour, blur and noise, in place and only in the clips they were drawn for."""
    import torch

    from echolm.augmentation import blur, intensity
    from echolm.randomness import to_tensor

    def on(chosen: np.ndarray, change: Callable[..., Tensor], *names: str) -> None:
        if chosen.any():
            rows = torch.from_numpy(np.flatnonzero(chosen)).to(clips.device)
            arguments = [tensor(parameters[name][chosen]) for name in names]
            clips[rows] = change(clips[rows], *arguments)

    def tensor(values: np.ndarray) -> Tensor:
        if values.dtype == np.uint64:  # keys
            return to_tensor(values).to(clips.device)
        return torch.from_numpy(values.astype(np.float32)).to(clips.device)

    colour, noise = parameters["colour"], parameters["noise"]
    on_line = (colour == "brightness-contrast") | (colour == "value")
    on(on_line, intensity.linear, "gain", "offset")
    on(colour == "gamma", intensity.gamma, "gamma")
    for kernel in (3, 5, 7):
        sized = parameters["kernel"] == kernel
        on(sized & (parameters["blur"] == "gaussian"), partial(blur.gaussian, kernel=kernel))
        on(sized & (parameters["blur"] == "median"), partial(blur.median, kernel=kernel))
    on(noise == "gaussian", intensity.noise, "deviation", "noise_key")
    on(noise == "multiplicative", intensity.scale, "factor")
