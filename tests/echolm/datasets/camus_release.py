"""Small releases of CAMUS in both layouts, and masks of half-ellipsoids whose volume is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

PIXEL = (1.0, 2.0)
"""Height and width in mm of the pixels of a small release, twice as wide as high."""
SHAPE = (80, 40)
AXES = {
    ("ED", "2CH"): (50.0, 34.0),
    ("ES", "2CH"): (42.0, 26.0),
    ("ED", "4CH"): (52.0, 32.0),
    ("ES", "4CH"): (44.0, 24.0),
}
"""Length and largest width in mm of the ventricle of a small release."""
Write = Callable[[Path, np.ndarray], None]


def half_ellipse(
    shape: tuple[int, int],
    pixel: tuple[float, float],
    length: float,
    width: float,
    tilt: float = 0.0,
) -> np.ndarray:
    """A mask whose mitral plane's middle is at three quarters of the height, in the middle."""
    height, columns = shape
    # in this order of arithmetic: the golden volumes have pixels that lie on the outline
    y = np.arange(height)[:, None] * pixel[0] - 0.75 * height * pixel[0]
    x = np.arange(columns)[None] * pixel[1] - columns * pixel[1] / 2
    angle = np.deg2rad(tilt)
    across = x * np.cos(angle) + y * np.sin(angle)
    up = y * np.cos(angle) - x * np.sin(angle)
    return ((across / (width / 2)) ** 2 + (up / length) ** 2 <= 1) & (up <= 0)


def analytic(first: tuple[float, float], second: tuple[float, float]) -> float:
    """The volume in ml of half an ellipsoid of which two views show (length, width)."""
    length = max(first[0], second[0])
    return 2 / 3 * np.pi * first[1] * second[1] / 4 * length / 1000


def write_nifti(path: Path, pictures: np.ndarray, pixel: tuple[float, float] = PIXEL) -> None:
    """T x H x W or H x W as CAMUS stores it, by nibabel."""
    image = nibabel.Nifti1Image(pictures.T, np.diag([pixel[1], pixel[0], 1, 1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


def write_mhd(path: Path, pictures: np.ndarray, pixel: tuple[float, float] = PIXEL) -> None:
    """T x H x W or H x W by SimpleITK, with its raw file."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(pictures)
    image.SetSpacing((pixel[1], pixel[0], 1.0)[: pictures.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path))


def cfg(**lines: Any) -> str:
    """A cfg of the NIfTI release; None leaves a line out."""
    known: dict[str, Any] = {
        "ED": 1,
        "ES": 5,
        "NbFrame": 5,
        "Sex": "F",
        "Age": 56,
        "ImageQuality": "Good",
        "EF": 55,
        "FrameRate": 49.3,
    }
    stated = {key: value for key, value in (known | lines).items() if value is not None}
    return "".join(f"{key}: {value}\n" for key, value in stated.items())


def pictures_of(seed: int, frames: int = 5) -> np.ndarray:
    """Pictures that are the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (frames, *SHAPE), np.uint8)


def write_patient(
    folder: Path, seed: int = 0, older: bool = False, truth: bool = True, **lines: Any
) -> None:
    """All files of a patient. ``lines`` replace those of both cfg files."""
    write: Write = write_mhd if older else write_nifti
    end = ".mhd" if older else ".nii.gz"
    word = "sequence" if older else "half_sequence"
    folder.mkdir(parents=True, exist_ok=True)
    for index, view in enumerate(("2CH", "4CH")):
        stem = f"{folder.name}_{view}"
        pictures = pictures_of(10 * seed + index)
        write(folder / f"{stem}_{word}{end}", pictures)
        (folder / f"Info_{view}.cfg").write_text(cfg(**lines))
        for phase, picture in (("ED", pictures[0]), ("ES", pictures[-1])):
            write(folder / f"{stem}_{phase}{end}", picture)
            if truth:
                mask = half_ellipse(SHAPE, PIXEL, *AXES[phase, view])
                write(folder / f"{stem}_{phase}_gt{end}", mask.astype(np.uint8))


def write_lists(root: Path, lists: Mapping[str, str]) -> None:
    """The lists of the splits: ``training`` and so on -> names of patients with blanks between."""
    folder = root / "database_split"
    folder.mkdir(parents=True, exist_ok=True)
    for word, names in lists.items():
        text = "".join(f"{name}\n" for name in names.split())
        (folder / f"subgroup_{word}.txt").write_text(text)


def write_release(root: Path) -> Path:
    """Three patients in the NIfTI layout, one in each list."""
    for number in (1, 2, 3):
        write_patient(root / "database_nifti" / f"patient000{number}", number)
    write_lists(
        root, {"training": "patient0002", "validation": "patient0003", "testing": "patient0001"}
    )
    return root
