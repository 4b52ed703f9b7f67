"""The phantom's heart: a left ventricle of known contour that beats, and how it is traced.

Positions are (x, y) in pixels, y downward. The integer coordinate is a pixel's centre. The
ventricle is drawn in its own coordinates: ``s`` along the long axis (0 the apex, 1 the mitral
plane) and ``d`` pixels across it.
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
    """The scanned field.

    Attributes:
        x: of its tip, in pixels.
        y: of its tip, in pixels.
        half_angle: half its opening angle, in radians.
        depth: in pixels.
    """

    x: float
    y: float
    half_angle: float
    depth: float

    def holds(self, points: np.ndarray, margin: float) -> bool:
        """Return whether all points (N x 2) lie inside, ``margin`` pixels from its edges."""
        x = points[:, 0] - self.x
        y = points[:, 1] - self.y
        from_edge = y * np.sin(self.half_angle) - np.abs(x) * np.cos(self.half_angle)
        from_tip = np.hypot(x, y)
        return bool((from_edge > margin).all() and (from_tip < self.depth - margin).all())


@dataclass(frozen=True, eq=False)
class Ventricle:
    """A left ventricle at end-diastole. Lengths are in pixels.

    Half its width at ``s`` is ``radius`` times a profile: a quarter ellipse from the apex to
        ``belly``, then a
    parabola down to ``annulus`` at the mitral plane.

    Attributes:
        apex: (x, y).
        tilt: of the long axis, in radians from the vertical.
        length: of the long axis.
        radius: half the largest width.
        belly: ``s`` of the largest width.
        annulus: width at the mitral plane, as a fraction of the largest.
        bend: how much the long axis is curved, as a fraction of the length.
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
        """Return half width over ``radius`` at ``s`` in 0-1."""
        above_belly = (self.belly - s) / self.belly
        below_belly = (s - self.belly) / (1 - self.belly)
        ellipse = np.sqrt(np.clip(1 - above_belly**2, 0, None))
        parabola = 1 - (1 - self.annulus) * below_belly**2
        return np.where(s < self.belly, ellipse, parabola)


@dataclass(frozen=True, eq=False)
class Motion:
    """One clip's heart in each of T frames.

    Attributes:
        apex: T x 2, in pixels.
        length: of the long axis (T,), in pixels.
        radius: (T,), in pixels.
        contraction: (T,), 0 (ED) to 1 (ES).
        opening: of the valve (T,), 0 to 1.
        ed: number of the frame that is traced as ED.
        es: number of the frame that is traced as ES.
    """

    apex: np.ndarray
    length: np.ndarray
    radius: np.ndarray
    contraction: np.ndarray
    opening: np.ndarray
    ed: int
    es: int


def trace(heart: Ventricle, motion: Motion, frame: int) -> np.ndarray:
    """Trace one frame: 21 rows (x1, y1, x2, y2).

    The first is the long axis from apex to mitral plane. Then come 20 chords across it from the
    apex down, each in the middle of a disk of 1/20 of the length.
    """
    s = (np.arange(CHORDS) + 0.5) / CHORDS
    apex = motion.apex[frame]
    length = motion.length[frame]
    radius = motion.radius[frame]
    bend = heart.bend * length * 4 * s * (1 - s)
    middle = apex + (s * length)[:, None] * heart.along + bend[:, None] * heart.across
    half = (radius * heart.profile(s))[:, None] * heart.across
    axis = np.concatenate([apex, apex + length * heart.along])
    chords = np.hstack([middle - half, middle + half])
    return np.vstack([axis, chords])


def disk_volume(rows: np.ndarray, cm_per_pixel: float = CM_PER_PIXEL) -> float:
    """Return the volume of 21 rows (x1, y1, x2, y2) by the method of disks (one plane), in ml.

    The 20 disks have the chords' diameters, and are each 1/20 of the long axis high.
    """
    axis = np.hypot(*(rows[0, 2:] - rows[0, :2]))
    return float(method_of_disks(contour_from_chords(rows), axis)) * cm_per_pixel**3


def draw_heart(rng: np.random.Generator, sector: Sector, scale: float) -> Ventricle:
    """Draw a ventricle inside the sector.

    Its place varies by ±10 pixels, its size by ±25 %, its tilt by ±20 degrees.

    Args:
        rng: what the draws come from.
        sector: the scanned field.
        scale: size of the picture over 112. Pixels are multiplied by it.
    """
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
    """Return the ends of a heart's axis and chords at end-diastole, 42 x 2."""
    still = Motion(
        apex=np.array([heart.apex]),
        length=np.array([heart.length]),
        radius=np.array([heart.radius]),
        contraction=np.zeros(1),
        opening=np.zeros(1),
        ed=0,
        es=0,
    )
    return trace(heart, still, 0).reshape(-1, 2)


def draw_ejection(rng: np.random.Generator) -> float:
    """Draw an ejection fraction.

    Most are near 0.6, a quarter of the hearts is weak (EchoNet-Dynamic: mean 0.56).
    """
    weak = rng.random() < 0.25
    if weak:
        ejection = rng.normal(0.38, 0.08)
    else:
        ejection = rng.normal(0.60, 0.06)
    return float(np.clip(ejection, 0.15, 0.78))


def draw_motion(rng: np.random.Generator, heart: Ventricle, ejection: float, fps: float) -> Motion:
    """Draw a beat of the heart, 28-60 frames.

    In a fifth of the clips the traced ES comes before the traced ED.
    """
    rate = rng.uniform(55, 105)
    cycle = fps * 60 / rate
    systole = max(4, round(cycle * rng.uniform(0.32, 0.42)))
    diastole = max(6, round(cycle) - systole)
    es_comes_first = rng.random() < 0.2
    gap = diastole if es_comes_first else systole
    count = int(rng.integers(max(28, gap + 4), max(61, gap + 6)))
    first = int(rng.integers(1, count - gap - 1))
    ed, es = first, first + gap
    if es_comes_first:
        ed, es = es, ed
    frames_since_ed = np.arange(count) - ed
    frame_of_beat = frames_since_ed % (systole + diastole)
    contraction = _contraction(frame_of_beat, systole, diastole)
    # The volume, as length times radius squared, falls by ``ejection`` at ES.
    shortening = 0.26 * ejection
    narrowing = 1 - np.sqrt((1 - ejection) / (1 - shortening))
    length = heart.length * (1 - shortening * contraction)
    apex = np.array(heart.apex) + (0.12 * (heart.length - length))[:, None] * heart.along
    drift = rng.normal(0, 0.6, 2) * np.sin(np.arange(len(length)) / len(length) * np.pi)[:, None]
    return Motion(
        apex=apex + drift,
        length=length,
        radius=heart.radius * (1 - narrowing * contraction),
        contraction=contraction,
        opening=_valve_opening(frame_of_beat, systole, diastole),
        ed=ed,
        es=es,
    )


def _contraction(frame: np.ndarray, systole: int, diastole: int) -> np.ndarray:
    """Return the contraction at a frame of the beat.

    Ejection is followed by early filling, rest and atrial filling.
    """
    filling = np.clip((frame - systole) / diastole, 0, 1)
    ejecting = (1 - np.cos(np.pi * np.clip(frame / systole, 0, 1))) / 2
    early = _rise(filling, 0.05, 0.5)
    atrial = _rise(filling, 0.72, 1.0)
    return np.where(frame <= systole, ejecting, 1 - 0.75 * early - 0.25 * atrial)


def _valve_opening(frame: np.ndarray, systole: int, diastole: int) -> np.ndarray:
    """Return how far the valve is open at a frame of the beat. Early filling opens it most."""
    filling = np.clip((frame - systole) / diastole, 0, 1)
    early = np.sin(np.pi * np.clip(filling / 0.5, 0, 1))
    atrial = np.sin(np.pi * np.clip((filling - 0.7) / 0.3, 0, 1))
    opening = early + 0.6 * atrial
    between = 0.15 * (filling > 0.02) * (filling < 0.98)
    return np.clip(opening + between, 0, 1)


def _rise(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return a smooth step from 0 at ``start`` to 1 at ``end``."""
    return (1 - np.cos(np.pi * np.clip((x - start) / (end - start), 0, 1))) / 2
