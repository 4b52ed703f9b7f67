"""The phantom's picture: a B-mode sector of log-compressed, speckled brightness around the beating ventricle.

Brightness is made in the log domain, where speckle (the magnitude of filtered complex Gaussian noise, hence Rayleigh
distributed) is additive. Speckle of the tissue moves with the wall; blood flickers from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echolm.data.phantom_anatomy import Motion, Sector, Ventricle

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class View:
    """How a clip looks. Brightnesses are in 0-1, lengths in pixels of a 112-pixel frame.

    ``gain`` is added, ``attenuation`` lost from the tip to the full depth, ``dropout`` lost in the beam at ``shadow``
    (-1 to 1 across the sector). ``wall`` and ``tissue`` are mean brightnesses, ``speckle`` a standard deviation,
    ``haze`` clutter near the probe; ``thickness`` is the wall's at ED, ``right`` and ``atrium`` the relative sizes of
    the other chambers.
    """

    gain: float
    attenuation: float
    wall: float
    thickness: float
    right: float
    atrium: float
    haze: float
    dropout: float
    shadow: float
    speckle: float
    tissue: float


def draw_view(rng: np.random.Generator) -> View:
    """A random appearance."""
    return View(
        gain=rng.uniform(-0.07, 0.08),
        attenuation=rng.uniform(0.0, 0.18),
        wall=rng.uniform(0.40, 0.52),
        thickness=rng.uniform(6.0, 9.0),
        right=rng.uniform(0.6, 1.1),
        atrium=rng.uniform(0.8, 1.1),
        haze=rng.uniform(0.05, 0.25),
        dropout=rng.uniform(0.1, 0.5),
        shadow=rng.uniform(-1.0, 1.0),
        speckle=rng.uniform(0.10, 0.15),
        tissue=rng.uniform(0.12, 0.30),
    )


@dataclass(frozen=True, eq=False)
class Local:
    """Each pixel in the ventricle's coordinates, T x H x W: ``s`` and ``d`` (pixels) as in phantom_anatomy, ``half``
    the half width at that height, ``distance`` pixels outside the cavity's side or apex (negative inside)."""

    s: Floats
    d: Floats
    half: Floats
    distance: Floats


def render(rng: np.random.Generator, sector: Sector, heart: Ventricle, motion: Motion, view: View, size: int) -> Floats:
    """The clip, T x size x size uint8: black outside the sector."""
    unit = size / 112
    local = _local(heart, motion, size)
    radius, angle = _polar(sector, size)
    speckle = view.speckle * _carried(_speckle(rng, sector, size), local, heart, motion)
    tissue = view.tissue + 0.10 * _smooth(rng, size, 7) + 0.05 * _smooth(rng, size, 20)
    picture = _structures(local, motion, view, tissue, _smooth(rng, size, 14), unit)
    picture += 0.07 * _smooth(rng, size, 10)
    picture = np.maximum(picture, _valve(local, motion, heart, unit))
    picture += view.gain - view.attenuation * radius / sector.depth - view.dropout * _dropout(rng, angle, view, sector)
    haze = view.haze * np.exp(-radius / (28 * unit)) + 0.05 * _smooth(rng, size, 8)
    near = 0.45 * np.exp(-(((radius - 6 * unit) / (5 * unit)) ** 2))
    picture = np.maximum(picture, np.maximum(haze, near)) + speckle
    picture += 0.02 * rng.standard_normal(picture.shape, np.float32)
    return _finish(_blurred(picture), sector, radius, angle)


def _local(heart: Ventricle, motion: Motion, size: int) -> Local:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    dx, dy = (grid - _per_frame(motion.apex[:, axis]) for axis, grid in enumerate((x, y)))
    length, radius = map(_per_frame, (motion.length, motion.radius))
    along, across = heart.along.astype(np.float32), heart.across.astype(np.float32)
    s = (dx * along[0] + dy * along[1]) / length
    inside = np.clip(s, 0, 1)
    d = dx * across[0] + dy * across[1] - (4 * heart.bend) * length * inside * (1 - inside)
    half = radius * heart.profile(inside)
    upper = np.minimum((s - heart.belly) / heart.belly, 0)
    reach = np.sqrt(upper**2 + (d / radius) ** 2) + 1e-3
    extent = np.sqrt((upper * heart.belly * length) ** 2 + d**2)
    distance = np.where(s < heart.belly, extent * (1 - 1 / reach), np.abs(d) - half)
    return Local(s, d, half, distance)


def _structures(local: Local, motion: Motion, view: View, tissue: Floats, rough: Floats, unit: float) -> Floats:
    """Mean brightness of each pixel: tissue, wall, pericardium, then the blood-filled chambers cut out of them."""
    s, d = local.s, local.d
    contraction = _per_frame(motion.contraction)
    distance = local.distance + 1.1 * unit * rough
    thick = view.thickness * unit * (1 + 0.35 * contraction)
    wall = _step(distance, unit) * _step(thick - distance, 1.5 * unit) * _step((1.08 - s) * 40 * unit, 1.5 * unit)
    lining = np.exp(-((distance / (1.6 * unit)) ** 2))
    picture = tissue + (view.wall - tissue) * wall
    outer = np.exp(-(((distance - thick - 1.5 * unit) / (1.4 * unit)) ** 2)) * _step((1.0 - s) * 30 * unit, unit)
    picture += 0.22 * outer * _step(d, 6 * unit) + 0.14 * lining * _step((1.05 - s) * 40 * unit, unit)
    blood = np.float32(0.03)
    for chamber in (
        _step(-distance, 1.4 * unit) * _step((1.0 - s) * 40 * unit, 2 * unit),
        _right_ventricle(local, thick, view, unit),
        *_atria(local, motion, view, unit, rough),
    ):
        picture += (blood - picture) * chamber
    return picture


def _right_ventricle(local: Local, thick: Floats, view: View, unit: float) -> Floats:
    """A wedge to the left of the septum, from a third of the length down to the tricuspid plane."""
    depth = np.clip((local.s - 0.22) / 0.78, 0, 1)
    width = view.right * 26 * unit * np.sqrt(depth) * (1 - 0.25 * depth)
    inner = -local.d - local.half - thick
    return _step(inner, unit) * _step(width - inner, 1.5 * unit) * _step((0.97 - local.s) * 45 * unit, unit)


def _atria(local: Local, motion: Motion, view: View, unit: float, rough: Floats) -> list[Floats]:
    """Left atrium below the mitral plane, right atrium beside it; both fill while the ventricle ejects."""
    length, radius = map(_per_frame, (motion.length, motion.radius[:1]))
    below = (local.s - 1) * length
    filled = view.atrium * (0.92 + 0.16 * _per_frame(motion.contraction))
    chambers = []
    for centre, width in ((0.0, 0.95), (-2.0, 0.9)):
        height = 15 * unit * filled
        ellipse = ((below - height - 2.5 * unit) / height) ** 2 + ((local.d - centre * radius) / (width * radius)) ** 2
        chambers.append(_step((1 - ellipse + 0.25 * rough) * 6 * unit, 2 * unit))
    return chambers


def _valve(local: Local, motion: Motion, heart: Ventricle, unit: float) -> Floats:
    """The two mitral leaflets, thin bright lines from the annulus: closed they meet, open they lie in the ventricle."""
    opening = _per_frame(motion.opening)
    length, radius = map(_per_frame, (motion.length, motion.radius))
    hinge = heart.annulus * radius
    end_d, end_s = 0.55 * opening * hinge, length * (0.06 + 0.16 * opening)
    x, y = np.abs(local.d) - hinge, (1 - local.s) * length
    run, rise = end_d - hinge, end_s
    part = np.clip((x * run + y * rise) / (run**2 + rise**2), 0, 1)
    away = (x - part * run) ** 2 + (y - part * rise) ** 2
    return 0.55 * np.exp(-away / (1.1 * unit) ** 2)


def _carried(texture: Floats, local: Local, heart: Ventricle, motion: Motion) -> Floats:
    """The texture (2S x 2S, of end-diastole) moved with the wall, T x S x S: contraction carries the tissue near the
    cavity, and less and less of what is farther away."""
    size = local.s.shape[1]
    below = (local.s - 1) * np.float32(heart.length)
    near = np.exp(-((np.maximum(np.maximum(local.distance, below), 0) / (14 * size / 112)) ** 2))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    length, radius = map(_per_frame, (motion.length, motion.radius))
    lift = (np.array(heart.apex) - motion.apex).astype(np.float32)[:, :, None, None]
    down = local.s * (heart.length - length)
    aside = local.d * (heart.radius / radius - 1)
    moved = [
        grid + near * (lift[:, axis] + down * float(heart.along[axis]) + aside * float(heart.across[axis]))
        for axis, grid in enumerate((x, y))
    ]
    column, row = (np.clip(2 * grid + 1, 0, 2 * size - 1).astype(np.intp) for grid in moved)
    return texture[row, column]


def _polar(sector: Sector, size: int, fine: int = 1) -> tuple[Floats, Floats]:
    """Distance from the sector's tip (pixels) and angle from its axis (radians) on a grid ``fine`` times as fine."""
    y, x = (np.mgrid[: size * fine, : size * fine].astype(np.float32) + 0.5) / fine - 0.5
    return np.hypot(x - sector.x, y - sector.y), np.arctan2(x - sector.x, y - sector.y)


def _speckle(rng: np.random.Generator, sector: Sector, size: int) -> Floats:
    """Speckle 2S x 2S of zero mean and unit deviation: noise filtered along and across the beams, so that its grain
    widens with depth."""
    depths, beams = 256, 192
    noise = rng.standard_normal((2, depths, beams), np.float32)
    along = np.exp(-((np.fft.fftfreq(depths) * 7.0) ** 2))
    across = np.exp(-((np.fft.rfftfreq(beams) * 13.0) ** 2))
    real, imaginary = np.fft.irfft2(np.fft.rfft2(noise) * along[:, None] * across, (depths, beams))
    level = np.log(real**2 + imaginary**2 + 1e-9).astype(np.float32)
    level = np.clip((level - level.mean()) / level.std(), -2.5, 2.5)
    radius, angle = _polar(sector, size, 2)
    row = (radius * (depths / (1.5 * size))).astype(np.intp) % depths
    column = (angle * (beams / (2.4 * sector.half_angle))).astype(np.intp) % beams
    return level[row, column]


def _dropout(rng: np.random.Generator, angle: Floats, view: View, sector: Sector) -> Floats:
    """Beams that are lost behind a rib or the lung: a wedge, and the sector's edges."""
    beam = angle / sector.half_angle
    wedge = np.exp(-(((beam - view.shadow) / rng.uniform(0.08, 0.2)) ** 2))
    return wedge + 0.4 * np.clip(np.abs(beam) - 0.7, 0, 0.3) / 0.3


def _blurred(picture: Floats) -> Floats:
    """Weights 1-2-1 down and across, as the downsampling of the clips smooths them."""
    for axis in (1, 2):
        picture = 0.5 * picture + 0.25 * (np.roll(picture, 1, axis) + np.roll(picture, -1, axis))
    return picture


def _finish(picture: Floats, sector: Sector, radius: Floats, angle: Floats) -> Floats:
    """Eight bits, black outside the sector."""
    seen = (np.abs(angle) < sector.half_angle) & (radius < sector.depth) & (radius > 0.03 * sector.depth)
    levels = 255 * np.clip(picture, 0, 1) ** 1.15
    return np.where(seen, levels, 0).astype(np.uint8)


def _smooth(rng: np.random.Generator, size: int, cells: int) -> Floats:
    """A smooth random field size x size of about unit deviation, from ``cells`` x ``cells`` random values."""
    place = np.linspace(0, cells - 1, size)
    hat = np.clip(1 - np.abs(place[:, None] - np.arange(cells)), 0, None).astype(np.float32)
    field: Floats = hat @ rng.standard_normal((cells, cells), np.float32) @ hat.T
    return 1.4 * field


def _per_frame(values: NDArray[np.float64]) -> Floats:
    """(T,) -> T x 1 x 1."""
    return values[:, None, None].astype(np.float32)


def _step(x: Floats, width: float) -> Floats:
    """A smooth step from 0 (x below -width) to 1 (x above width)."""
    t = np.clip(x * np.float32(0.5 / width) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)
