"""The phantom's heart: a left ventricle of known contour that beats, and how it is traced.

Positions are (x, y) in pixels, y downward; the integer coordinate is a pixel's centre. The ventricle is drawn in its
own coordinates: ``s`` along the long axis (0 the apex, 1 the mitral plane) and ``d`` pixels across it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echolm.geometry import contour_from_chords, method_of_disks

CHORDS = 20
CM_PER_PIXEL = 0.14
"""Of the 112-pixel frame: 108 pixels of depth are 15 cm."""


@dataclass(frozen=True, eq=False)
class Sector:
    """The scanned field: its tip (x, y), half opening angle (radians) and depth, in pixels."""

    x: float
    y: float
    half_angle: float
    depth: float

    def holds(self, points: np.ndarray, margin: float) -> bool:
        """Whether all points (N x 2) lie inside, ``margin`` pixels from its edges."""
        x, y = points[:, 0] - self.x, points[:, 1] - self.y
        from_edge = y * np.sin(self.half_angle) - np.abs(x) * np.cos(self.half_angle)
        return bool((from_edge > margin).all() and (np.hypot(x, y) < self.depth - margin).all())


@dataclass(frozen=True, eq=False)
class Ventricle:
    """A left ventricle at end-diastole. Lengths in pixels, ``tilt`` in radians from the vertical.

    Half its width at ``s`` is ``radius`` times a profile: a quarter ellipse from the apex to ``belly``, then a parabola
    down to ``annulus`` at the mitral plane. ``bend`` curves the long axis, as a fraction of the length.
    """

    apex: tuple[float, float]
    tilt: float
    length: float
    radius: float
    belly: float
    annulus: float
    bend: float

    @property
    def along(self) -> np.ndarray:
        """Unit vector from the apex to the mitral plane."""
        return np.array([np.sin(self.tilt), np.cos(self.tilt)])

    @property
    def across(self) -> np.ndarray:
        """Unit vector across, to the right of the picture."""
        return np.array([np.cos(self.tilt), -np.sin(self.tilt)])

    def profile(self, s: np.ndarray) -> np.ndarray:
        """Half width over ``radius`` at ``s`` in 0-1."""
        upper = np.sqrt(np.clip(1 - ((self.belly - s) / self.belly) ** 2, 0, None))
        lower = 1 - (1 - self.annulus) * ((s - self.belly) / (1 - self.belly)) ** 2
        return np.where(s < self.belly, upper, lower)


@dataclass(frozen=True, eq=False)
class Motion:
    """One clip's heart in each of T frames: apex (T x 2), length, radius (T,), contraction in 0 (ED) - 1 (ES), valve
    opening in 0-1; and the numbers of the two frames that are traced."""

    apex: np.ndarray
    length: np.ndarray
    radius: np.ndarray
    contraction: np.ndarray
    opening: np.ndarray
    ed: int
    es: int


def trace(heart: Ventricle, motion: Motion, frame: int) -> np.ndarray:
    """The 21 rows (x1, y1, x2, y2) of one frame: long axis from apex to mitral plane, then 20 chords across it, each
    in the middle of a disk of 1/20 of the length, from the apex down."""
    s = (np.arange(CHORDS) + 0.5) / CHORDS
    apex, length, radius = motion.apex[frame], motion.length[frame], motion.radius[frame]
    bend = heart.bend * length * 4 * s * (1 - s)
    middle = apex + (s * length)[:, None] * heart.along + bend[:, None] * heart.across
    half = (radius * heart.profile(s))[:, None] * heart.across
    axis = np.concatenate([apex, apex + length * heart.along])
    return np.vstack([axis, np.hstack([middle - half, middle + half])])


def disk_volume(rows: np.ndarray, cm_per_pixel: float = CM_PER_PIXEL) -> float:
    """Method of disks (one plane): ml of 21 rows (x1, y1, x2, y2): 20 disks of the chords' diameters, each 1/20 of the
    long axis high."""
    axis = np.hypot(*(rows[0, 2:] - rows[0, :2]))
    return float(method_of_disks(contour_from_chords(rows), axis)) * cm_per_pixel**3


def draw_heart(rng: np.random.Generator, sector: Sector, scale: float) -> Ventricle:
    """A ventricle inside the sector: place ±10 pixels, size ±25 %, tilt ±20 degrees (times ``scale``: size / 112)."""
    while True:
        length = 54 * scale * rng.uniform(0.75, 1.25)
        tilt = np.deg2rad(rng.uniform(-20, 20))
        centre = np.array([58, 50]) * scale + rng.uniform(-10, 10, 2) * scale
        heart = Ventricle(
            apex=tuple(centre - length / 2 * np.array([np.sin(tilt), np.cos(tilt)])),
            tilt=tilt,
            length=length,
            radius=length * rng.uniform(0.25, 0.36),
            belly=rng.uniform(0.52, 0.68),
            annulus=rng.uniform(0.66, 0.86),
            bend=rng.uniform(-0.05, 0.05),
        )
        if sector.holds(_outline(heart), 4 * scale):
            return heart


def _outline(heart: Ventricle) -> np.ndarray:
    still = np.array([heart.length]), np.array([heart.radius]), np.zeros(1), np.zeros(1)
    rows = trace(heart, Motion(np.array([heart.apex]), *still, 0, 0), 0)
    return rows.reshape(-1, 2)


def draw_ejection(rng: np.random.Generator) -> float:
    """An ejection fraction: mostly near 0.6, a quarter of the hearts weak (EchoNet-Dynamic: mean 0.56)."""
    weak = rng.random() < 0.25
    return float(np.clip(rng.normal(0.38, 0.08) if weak else rng.normal(0.60, 0.06), 0.15, 0.78))


def draw_motion(rng: np.random.Generator, heart: Ventricle, ejection: float, fps: float) -> Motion:
    """A beat of the heart, 28-60 frames: in a fifth of the clips the traced ES comes before the traced ED."""
    rate = rng.uniform(55, 105)
    cycle = fps * 60 / rate
    systole = max(4, round(cycle * rng.uniform(0.32, 0.42)))
    diastole = max(6, round(cycle) - systole)
    reversed_order = rng.random() < 0.2
    gap = diastole if reversed_order else systole
    count = int(rng.integers(max(28, gap + 4), max(61, gap + 6)))
    first = int(rng.integers(1, count - gap - 1))
    ed, es = (first + gap, first) if reversed_order else (first, first + gap)
    phase = np.arange(count) - ed
    contraction, opening = _cycle(phase % (systole + diastole), systole, diastole)
    return _moving(rng, heart, ejection, contraction, opening, ed, es)


def _cycle(frame: np.ndarray, systole: int, diastole: int) -> tuple[np.ndarray, np.ndarray]:
    """Contraction and valve opening at a frame of the beat: ejection, then early filling, rest, atrial filling."""
    filling = np.clip((frame - systole) / diastole, 0, 1)
    ejecting = (1 - np.cos(np.pi * np.clip(frame / systole, 0, 1))) / 2
    early, atrial = _rise(filling, 0.05, 0.5), _rise(filling, 0.72, 1.0)
    contraction = np.where(frame <= systole, ejecting, 1 - 0.75 * early - 0.25 * atrial)
    opening = np.sin(np.pi * np.clip(filling / 0.5, 0, 1)) + 0.6 * np.sin(np.pi * np.clip((filling - 0.7) / 0.3, 0, 1))
    return contraction, np.clip(opening + 0.15 * (filling > 0.02) * (filling < 0.98), 0, 1)


def _rise(x: np.ndarray, start: float, end: float) -> np.ndarray:
    return (1 - np.cos(np.pi * np.clip((x - start) / (end - start), 0, 1))) / 2


def _moving(
    rng: np.random.Generator,
    heart: Ventricle,
    ejection: float,
    contraction: np.ndarray,
    opening: np.ndarray,
    ed: int,
    es: int,
) -> Motion:
    """Length and radius so that the volume, as length times radius squared, falls by ``ejection`` at ES."""
    shortening = 0.26 * ejection
    narrowing = 1 - np.sqrt((1 - ejection) / (1 - shortening))
    length = heart.length * (1 - shortening * contraction)
    apex = np.array(heart.apex) + (0.12 * (heart.length - length))[:, None] * heart.along
    drift = rng.normal(0, 0.6, 2) * np.sin(np.arange(len(length)) / len(length) * np.pi)[:, None]
    return Motion(apex + drift, length, heart.radius * (1 - narrowing * contraction), contraction, opening, ed, es)
