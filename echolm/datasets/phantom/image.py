"""The phantom's picture: a B-mode sector of log-compressed, speckled brightness.

Brightness is made in the log domain, where speckle (the magnitude of filtered complex Gaussian
noise, hence Rayleigh distributed) is additive. Speckle of the tissue moves with the wall. Blood
flickers from frame to frame.

``unit`` is the size of the picture over 112: lengths are in pixels of a 112-pixel picture, times
``unit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echolm.datasets.phantom.anatomy import Motion, Sector, Ventricle

Floats = NDArray[np.float32]

BLOOD = np.float32(0.03)
"""Brightness of the chambers."""
FRAMES_AT_ONCE = 4
"""Frames of a clip that are rendered together."""


@dataclass(frozen=True, eq=False)
class View:
    """How a clip looks. Brightnesses are in 0-1, lengths in pixels of a 112-pixel frame.

    Attributes:
        gain: is added.
        attenuation: is lost from the tip to the full depth.
        wall: mean brightness of the wall.
        thickness: of the wall at ED.
        right: relative size of the right chambers.
        atrium: relative size of the atria.
        haze: clutter near the probe.
        dropout: is lost in the beam at ``shadow``.
        shadow: where a beam is lost, -1 to 1 across the sector.
        speckle: a standard deviation.
        tissue: mean brightness of the tissue.
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
    """Draw an appearance."""
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
    """Each pixel in the ventricle's coordinates, T x H x W.

    Attributes:
        s: along the long axis, as in ``anatomy``.
        d: across it, in pixels, as in ``anatomy``.
        half: half the width at that height, in pixels.
        distance: pixels outside the cavity's side or apex, negative inside.
    """

    s: Floats
    d: Floats
    half: Floats
    distance: Floats


def render(
    rng: np.random.Generator,
    sector: Sector,
    heart: Ventricle,
    motion: Motion,
    view: View,
    size: int,
) -> Floats:
    """Render the clip: T x size x size uint8, black outside the sector.

    A few frames are rendered at once, so that they stay in the processor's cache.
    """
    unit = size / 112
    radius, angle = _polar(sector, size)
    texture = _speckle(rng, sector, size)
    tissue = view.tissue + 0.10 * _smooth(rng, size, 7) + 0.05 * _smooth(rng, size, 20)
    rough = _smooth(rng, size, 14)
    uneven = 0.07 * _smooth(rng, size, 10)
    attenuated = view.attenuation * radius / sector.depth
    lost = view.dropout * _dropout(rng, angle, view, sector)
    gain = view.gain - attenuated - lost
    haze = view.haze * np.exp(-radius / (28 * unit)) + 0.05 * _smooth(rng, size, 8)
    near_probe = 0.45 * _bell(radius - 6 * unit, 5 * unit)
    clutter = np.maximum(haze, near_probe)
    atrium = _per_frame(motion.radius[:1])
    pictures = []
    for some in _few_frames(motion):
        local = _local(heart, some, size)
        speckle = view.speckle * _carry(texture, local, heart, some)
        picture = _structures(local, some, view, tissue, rough, atrium, unit)
        picture += uneven
        picture = np.maximum(picture, _valve(local, some, heart, unit))
        picture += gain
        picture = np.maximum(picture, clutter) + speckle
        picture += 0.02 * rng.standard_normal(picture.shape, np.float32)
        pictures.append(_finish(_blur(picture), sector, radius, angle))
    return np.concatenate(pictures)


def _few_frames(motion: Motion) -> Iterator[Motion]:
    """Cut the motion into pieces of ``FRAMES_AT_ONCE`` frames."""
    for first in range(0, len(motion.length), FRAMES_AT_ONCE):
        piece = slice(first, first + FRAMES_AT_ONCE)
        yield replace(
            motion,
            apex=motion.apex[piece],
            length=motion.length[piece],
            radius=motion.radius[piece],
            contraction=motion.contraction[piece],
            opening=motion.opening[piece],
        )


def _local(heart: Ventricle, motion: Motion, size: int) -> Local:
    """Find each pixel in the ventricle's coordinates."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    dx = x - _per_frame(motion.apex[:, 0])
    dy = y - _per_frame(motion.apex[:, 1])
    length = _per_frame(motion.length)
    radius = _per_frame(motion.radius)
    along = heart.along.astype(np.float32)
    across = heart.across.astype(np.float32)
    s = (dx * along[0] + dy * along[1]) / length
    inside = np.clip(s, 0, 1)
    bend = (4 * heart.bend) * length * inside * (1 - inside)
    d = dx * across[0] + dy * across[1] - bend
    half = radius * heart.profile(inside)
    upper = np.minimum((s - heart.belly) / heart.belly, 0)
    # 1 on the quarter ellipse
    reach = np.sqrt(upper**2 + (d / radius) ** 2) + 1e-3
    extent = np.sqrt((upper * heart.belly * length) ** 2 + d**2)
    distance = np.where(s < heart.belly, extent * (1 - 1 / reach), np.abs(d) - half)
    return Local(s, d, half, distance)


def _structures(
    local: Local,
    motion: Motion,
    view: View,
    tissue: Floats,
    rough: Floats,
    atrium: Floats,
    unit: float,
) -> Floats:
    """Return the mean brightness of each pixel.

    It is tissue, wall and pericardium, and then the blood-filled chambers are cut out of them.
    """
    s, d = local.s, local.d
    contraction = _per_frame(motion.contraction)
    distance = local.distance + 1.1 * unit * rough
    thick = view.thickness * unit * (1 + 0.35 * contraction)
    above_annulus = _step((1.08 - s) * 40 * unit, 1.5 * unit)
    wall = _step(distance, unit) * _step(thick - distance, 1.5 * unit) * above_annulus
    picture = tissue + (view.wall - tissue) * wall
    lining = _bell(distance, 1.6 * unit)
    outer = _bell(distance - thick - 1.5 * unit, 1.4 * unit)
    outer = outer * _step((1.0 - s) * 30 * unit, unit)
    pericardium = 0.22 * outer * _step(d, 6 * unit)
    picture += pericardium + 0.14 * lining * _step((1.05 - s) * 40 * unit, unit)
    cavity = _step(-distance, 1.4 * unit) * _step((1.0 - s) * 40 * unit, 2 * unit)
    right = _right_ventricle(local, thick, view, unit)
    for chamber in (cavity, right, *_atria(local, motion, view, unit, rough, atrium)):
        picture += (BLOOD - picture) * chamber
    return picture


def _right_ventricle(local: Local, thick: Floats, view: View, unit: float) -> Floats:
    """Return a wedge left of the septum, from a third of the length down to the tricuspid plane."""
    depth = np.clip((local.s - 0.22) / 0.78, 0, 1)
    width = view.right * 26 * unit * np.sqrt(depth) * (1 - 0.25 * depth)
    inner = -local.d - local.half - thick
    outer_edge = _step(width - inner, 1.5 * unit)
    lower_edge = _step((0.97 - local.s) * 45 * unit, unit)
    return _step(inner, unit) * outer_edge * lower_edge


def _atria(
    local: Local, motion: Motion, view: View, unit: float, rough: Floats, radius: Floats
) -> list[Floats]:
    """Return the left atrium below the mitral plane and the right atrium beside it.

    Both fill while the ventricle ejects.
    """
    length = _per_frame(motion.length)
    below = (local.s - 1) * length
    filled = view.atrium * (0.92 + 0.16 * _per_frame(motion.contraction))
    height = 15 * unit * filled
    chambers = []
    for centre, width in ((0.0, 0.95), (-2.0, 0.9)):
        down = (below - height - 2.5 * unit) / height
        aside = (local.d - centre * radius) / (width * radius)
        ellipse = down**2 + aside**2
        chambers.append(_step((1 - ellipse + 0.25 * rough) * 6 * unit, 2 * unit))
    return chambers


def _valve(local: Local, motion: Motion, heart: Ventricle, unit: float) -> Floats:
    """Return the two mitral leaflets, thin bright lines from the annulus.

    Closed they meet. Open they lie in the ventricle.
    """
    opening = _per_frame(motion.opening)
    length = _per_frame(motion.length)
    radius = _per_frame(motion.radius)
    hinge = heart.annulus * radius
    end_d = 0.55 * opening * hinge
    end_s = length * (0.06 + 0.16 * opening)
    x = np.abs(local.d) - hinge
    y = (1 - local.s) * length
    run = end_d - hinge
    rise = end_s
    # the nearest point of the leaflet, from its hinge (0) to its end (1)
    nearest = np.clip((x * run + y * rise) / (run**2 + rise**2), 0, 1)
    squared_distance = (x - nearest * run) ** 2 + (y - nearest * rise) ** 2
    return 0.55 * np.exp(-squared_distance / (1.1 * unit) ** 2)


def _carry(texture: Floats, local: Local, heart: Ventricle, motion: Motion) -> Floats:
    """Move the texture (2S x 2S, of end-diastole) with the wall: T x S x S.

    Contraction carries the tissue near the cavity, and less and less of what is farther away.
    """
    size = local.s.shape[1]
    below = (local.s - 1) * np.float32(heart.length)
    from_cavity = np.maximum(np.maximum(local.distance, below), 0)
    near = _bell(from_cavity, 14 * size / 112)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    length = _per_frame(motion.length)
    radius = _per_frame(motion.radius)
    lift = (np.array(heart.apex) - motion.apex).astype(np.float32)[:, :, None, None]
    down = local.s * (heart.length - length)
    aside = local.d * (heart.radius / radius - 1)
    indices = []
    for axis, grid in enumerate((x, y)):
        shift = lift[:, axis] + down * float(heart.along[axis]) + aside * float(heart.across[axis])
        moved = grid + near * shift
        indices.append(np.clip(2 * moved + 1, 0, 2 * size - 1).astype(np.intp))
    column, row = indices
    return texture[row, column]


def _polar(sector: Sector, size: int, fine: int = 1) -> tuple[Floats, Floats]:
    """Return distance from the sector's tip (pixels) and angle from its axis (radians).

    The grid is ``fine`` times as fine as the picture's.
    """
    y, x = (np.mgrid[: size * fine, : size * fine].astype(np.float32) + 0.5) / fine - 0.5
    return np.hypot(x - sector.x, y - sector.y), np.arctan2(x - sector.x, y - sector.y)


def _speckle(rng: np.random.Generator, sector: Sector, size: int) -> Floats:
    """Return speckle 2S x 2S of zero mean and unit deviation.

    It is noise filtered along and across the beams, so that its grain widens with depth.
    """
    depths, beams = 256, 192
    noise = rng.standard_normal((2, depths, beams), np.float32)
    along = np.exp(-((np.fft.fftfreq(depths) * 7.0) ** 2))
    across = np.exp(-((np.fft.rfftfreq(beams) * 13.0) ** 2))
    spectrum = np.fft.rfft2(noise) * along[:, None] * across
    real, imaginary = np.fft.irfft2(spectrum, (depths, beams))
    level = np.log(real**2 + imaginary**2 + 1e-9).astype(np.float32)
    level = np.clip((level - level.mean()) / level.std(), -2.5, 2.5)
    radius, angle = _polar(sector, size, 2)
    row = (radius * (depths / (1.5 * size))).astype(np.intp) % depths
    column = (angle * (beams / (2.4 * sector.half_angle))).astype(np.intp) % beams
    return level[row, column]


def _dropout(rng: np.random.Generator, angle: Floats, view: View, sector: Sector) -> Floats:
    """Return beams that are lost behind a rib or the lung: a wedge, and the sector's edges."""
    beam = angle / sector.half_angle
    wedge = _bell(beam - view.shadow, rng.uniform(0.08, 0.2))
    return wedge + 0.4 * np.clip(np.abs(beam) - 0.7, 0, 0.3) / 0.3


def _blur(picture: Floats) -> Floats:
    """Weigh 1-2-1 down and across, as the downsampling of the clips smooths them."""
    for axis in (1, 2):
        neighbours = np.roll(picture, 1, axis) + np.roll(picture, -1, axis)
        picture = 0.5 * picture + 0.25 * neighbours
    return picture


def _finish(picture: Floats, sector: Sector, radius: Floats, angle: Floats) -> Floats:
    """Make it eight bits, black outside the sector."""
    between = np.abs(angle) < sector.half_angle
    seen = between & (radius < sector.depth) & (radius > 0.03 * sector.depth)
    levels = 255 * np.clip(picture, 0, 1) ** 1.15
    return np.where(seen, levels, 0).astype(np.uint8)


def _smooth(rng: np.random.Generator, size: int, cells: int) -> Floats:
    """Draw a smooth random field size x size of about unit deviation.

    It comes from ``cells`` x ``cells`` random values.
    """
    positions = np.linspace(0, cells - 1, size)
    distances = np.abs(positions[:, None] - np.arange(cells))
    hat = np.clip(1 - distances, 0, None).astype(np.float32)
    field: Floats = hat @ rng.standard_normal((cells, cells), np.float32) @ hat.T
    return 1.4 * field


def _per_frame(values: NDArray[np.float64]) -> Floats:
    """Reshape (T,) to T x 1 x 1."""
    return values[:, None, None].astype(np.float32)


def _bell(x: Floats, width: float) -> Floats:
    """Return a bell of height 1 around 0."""
    return np.exp(-((x / width) ** 2))


def _step(x: Floats, width: float) -> Floats:
    """Return a smooth step from 0 (x below -width) to 1 (x above width)."""
    t = np.clip(x * np.float32(0.5 / width) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)
