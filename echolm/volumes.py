"""Volumes of the left ventricle from masks of two views, by biplane disks.

The apical two- and four-chamber views cut the ventricle along its long axis in planes at right
angles. In each view, 20 disks across the axis have a diameter. Disk i of the ventricle is an
ellipse with the diameters a_i of one view and b_i of the other, and is h high. The volume is the
sum of pi / 4 a_i b_i h. Masks are upright: the apex lies above the mitral plane.

Two rules compute it. They differ in the height h, and in how a mask is measured:

``simpson``
    The standard method. A phase (ED or ES) has its own height: 1/20 of the longer of its two axes.
    The axis runs from the middle of the mitral plane to the outline's farthest point. The plane is
    the longest nearly straight stretch (within 1.25 mm or 1.5 pixels) on the lower side. A disk's
    diameter is the area of the mask in the disk, over its height. A pixel on the border between two
    disks counts in both, each with its part. What lies beyond the ends of the axis counts in the
    first and the last disk, so that no pixel is lost. Half-ellipsoids come out within 0.5 %.

``released``
    What the volume script published with CAMUS computes (Leclerc et al. 2019), and Echo-Vision-FM
    with it (Zhang et al. 2025). All four masks have one height: 1/20 of the longest of their axes.
    So ESV is too large and EF too low, on an ideal shape by 10 points. The mask is resized to
    square pixels (nearest, of the smaller side). The plane is the longest stretch within 8 of these
    pixels. The axis begins at the middle of that stretch by number of outline points. The diameter
    of disk i, from 0 to 19, is measured where i/20 of the axis lie below. On each side one looks
    from 8 pixels on, in steps of half a pixel, for the first pixel that is not of the mask. So no
    diameter is below 16 pixels, and that in the mitral plane depends on how its row is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rule = Literal["simpson", "released"]

DISKS = 20
SMALLEST = 100
"""Pixels of a mask. Fewer hold no 20 disks."""
LARGEST_SPECK = 0.01
"""Area of a further part, over the largest part's. Smaller parts are taken for slips of the pen."""
LISTED = 5
"""Parts whose sizes an error names."""
PLANE_TOLERANCE_MM = 1.25
"""Of ``simpson``: 8 pixels of 0.154 mm, the height of CAMUS's pixels."""
PLANE_TOLERANCE_PIXELS = 1.5
"""Of ``simpson``, where pixels are coarse: a straight line of pixels has steps of one pixel."""
RELEASED_TOLERANCE = 8.0
"""Of ``released``, in square pixels."""
RELEASED_START = 8.0
"""Of ``released``: square pixels from the axis at which the search for the edge begins."""
RELEASED_STEP = 0.5
"""Of ``released``, in square pixels."""


class MaskError(ValueError):
    """Why a mask gives no volume."""


@dataclass(frozen=True, eq=False)
class Disks:
    """One mask, measured.

    Attributes:
        diameters: of the disks from the mitral plane to the apex (20,), in mm.
        length: of the long axis, in mm.
    """

    diameters: Floats
    length: float


@dataclass(frozen=True)
class Volumes:
    """End-diastolic and end-systolic volume, in ml."""

    edv: float
    esv: float

    @property
    def ef(self) -> float:
        """The ejection fraction, in percent."""
        return 100 * (self.edv - self.esv) / self.edv


def measure_disks(mask: Bools, spacing: tuple[float, float], rule: Rule) -> Disks:
    """Measure the disks of one mask.

    Args:
        mask: H x W, true in the cavity, upright.
        spacing: (height, width) of a pixel, in mm.
        rule: how it is measured.

    Raises:
        MaskError: the mask is empty, too small, in several parts, or has no mitral plane.
    """
    if min(spacing) <= 0:
        raise MaskError(f"pixels of {spacing[0]:g} x {spacing[1]:g} mm")
    whole = _largest_part(mask)
    if rule == "released":
        return _measure_released(whole, spacing)
    return _measure_simpson(whole, spacing)


def biplane_volumes(disks: Mapping[tuple[str, str], Disks], rule: Rule) -> Volumes:
    """Compute both volumes from four masks.

    Args:
        disks: of each phase and view: ``("ED", "2CH")``, ``("ES", "4CH")``, ...
        rule: which height the disks have.

    Raises:
        MaskError: the ventricle is not smaller at ES than at ED.
    """
    volumes = {}
    for phase in ("ED", "ES"):
        first = disks[phase, "2CH"]
        second = disks[phase, "4CH"]
        length = max(first.length, second.length)
        if rule == "released":
            length = max(view.length for view in disks.values())
        products = first.diameters * second.diameters
        areas = np.pi / 4 * products
        cubic_mm = areas.sum() * length / DISKS
        volumes[phase] = float(cubic_mm) / 1000
    if volumes["ES"] >= volumes["ED"]:
        raise MaskError(
            f"the masks hold {volumes['ES']:.1f} ml at ES, not less than {volumes['ED']:.1f} ml at "
            "ED: are the phases exchanged?"
        )
    return Volumes(edv=volumes["ED"], esv=volumes["ES"])


def _largest_part(mask: Bools) -> Bools:
    """Return the mask without specks.

    Raises:
        MaskError: it is empty, too small, or has parts beside the largest that are no specks.
    """
    from scipy import ndimage

    if not mask.any():
        raise MaskError("holds no pixel of the left ventricle")
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())[1:]
    largest = int(areas.max())
    if largest < SMALLEST:
        raise MaskError(
            f"holds {areas.sum()} pixels of the left ventricle; valid: {SMALLEST} or more"
        )
    is_no_speck = areas > LARGEST_SPECK * largest
    if is_no_speck.sum() > 1:
        sizes = sorted(areas.tolist(), reverse=True)
        listed = ", ".join(f"{size:,}" for size in sizes[:LISTED])
        raise MaskError(f"its left ventricle is in {count} parts ({listed} pixels); valid: one")
    kept: Bools = parts == areas.argmax() + 1
    return kept


def _outline(mask: Bools) -> Floats:
    """Return the longest outline of a mask: N x 2 (row, column), halfway between pixels.

    It begins as that of the whole picture does: only rows and columns without mask are left out.
    What touches the picture's edge ends there.
    """
    from skimage.measure import find_contours

    places = np.argwhere(mask)
    top, left = places.min(axis=0)
    bottom, right = places.max(axis=0)
    part = mask[top : bottom + 1, left : right + 1]
    framed = np.pad(part, 1).astype(np.float64)
    outlines = find_contours(framed, 0.5)
    longest = max(outlines, key=len)
    return np.ascontiguousarray(longest + (top - 1, left - 1))


def _mitral_plane(outline: Floats, tolerance: float) -> tuple[int, int]:
    """Return the first and the last point of the mitral plane on an outline.

    Raises:
        MaskError: there is none.
    """
    from echolm.mitral_plane import find_mitral_plane

    first, last = find_mitral_plane(outline, tolerance)
    if last < 0:
        raise MaskError("has no mitral plane: its lower side is nowhere straight; is it upright?")
    return first, last


def _axis(outline: Floats, middle: Floats) -> Floats:
    """Return the way (y, x) from the middle of the mitral plane to the farthest point."""
    ways = outline - middle
    distances = np.linalg.norm(ways, axis=1)
    axis: Floats = ways[distances.argmax()]
    return axis


def _measure_simpson(mask: Bools, spacing: tuple[float, float]) -> Disks:
    """Measure a mask by areas, in mm."""
    pixel = np.array(spacing)
    outline = _outline(mask) * pixel
    tolerance = max(PLANE_TOLERANCE_MM, PLANE_TOLERANCE_PIXELS * max(spacing))
    first, last = _mitral_plane(outline, tolerance)
    # the mean of its points, since the stretch may begin a little up the wall
    middle = outline[first : last + 1].mean(axis=0)
    axis = _axis(outline, middle)
    length = float(np.linalg.norm(axis))
    direction = axis / length

    positions = np.argwhere(mask) * pixel
    above_plane = (positions - middle) @ direction
    # from a pixel's centre to its ends along the axis
    reach = np.abs(direction) @ pixel / 2
    lower_ends = above_plane - reach
    heights = np.linspace(0, length, DISKS + 1)
    parts_below = (heights[:, None] - lower_ends) / (2 * reach)
    pixels_below = np.clip(parts_below, 0, 1).sum(axis=1)
    pixels_below[0] = 0
    pixels_below[-1] = len(positions)
    areas = np.diff(pixels_below) * pixel.prod()
    return Disks(diameters=areas * DISKS / length, length=length)


def _measure_released(mask: Bools, spacing: tuple[float, float]) -> Disks:
    """Measure a mask as the published script does, in square pixels."""
    side = min(spacing)
    square = _square_pixels(mask, spacing)
    outline = _outline(square)
    first, last = _mitral_plane(outline, RELEASED_TOLERANCE)
    middle = outline[first + round((last - first) / 2)]
    axis = _axis(outline, middle)
    length = float(np.linalg.norm(axis))
    across = np.array([-axis[1], axis[0]])
    across = across / np.linalg.norm(across)

    diameters = []
    for part in np.linspace(0, 1, DISKS, endpoint=False):
        point = middle + axis * part
        one_side = _distance_to_edge(square, point, across)
        other_side = _distance_to_edge(square, point, -across)
        diameters.append((one_side + other_side) * side)
    return Disks(diameters=np.array(diameters), length=length * side)


def _square_pixels(mask: Bools, spacing: tuple[float, float]) -> Bools:
    """Resize a mask to square pixels of the smaller side, each of the nearest pixel."""
    from PIL import Image

    factors = np.array(spacing) / min(spacing)
    height, width = np.round(mask.shape * factors).astype(int).tolist()
    picture = Image.fromarray(mask.astype(np.uint8))
    resized = picture.resize((width, height), Image.Resampling.NEAREST)
    return np.array(resized) > 0


def _distance_to_edge(mask: Bools, point: Floats, direction: Floats) -> float:
    """Return how far from a point the first pixel in a direction is that is not of the mask."""
    diagonal = np.hypot(*mask.shape)
    # the last step is outside the picture
    farthest = RELEASED_START + diagonal + RELEASED_STEP
    distances = np.arange(RELEASED_START, farthest, RELEASED_STEP)
    places = np.round(point + distances[:, None] * direction).astype(np.intp)
    is_valid = (places >= 0) & (places < mask.shape)
    in_picture = is_valid[:, 0] & is_valid[:, 1]
    rows, columns = np.where(in_picture[:, None], places, 0).T
    is_inside = in_picture & mask[rows, columns]
    return float(distances[is_inside.argmin()])
