"""From a DICOM cine loop to the clip of a store: 16 frames of 60, gray, resized to 224 x 224.

The peers decode the whole loop by pydicom's ``pixel_array``, make it gray and resize it by OpenCV,
as one writes it straight away.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from echolm.media.dicom import count_dicom, read_dicom
from echolm.media.reading import AS_GRAY, Reading
from echolm.media.resize import resize_area
from tests.benchmarks.measure import Comparison, Way, compare

HEIGHT, WIDTH, FRAMES = 600, 800, 60
"""Of a cine loop of MIMIC-IV-ECHO."""
CLIP, SIZE = 16, 224
SMOOTH = 20
"""Pixels over which the picture's coarse structure varies."""
SPECKLE = 40
"""Most gray levels that are added at random, at a grain of two pixels."""
QUALITY = 85
TARGET = 4.0
SKIP = Reading(stills="skip", colour="skip")


def measure(folder: Path, tiny: bool) -> list[Comparison]:
    """Read the clip of one file again and again, everything in the page cache."""
    path = folder / "cine.dcm"
    write_cine(path, 6 if tiny else FRAMES)
    numbers = np.linspace(0, count_dicom(path) - 1, CLIP).astype(int).tolist()
    times = 1 if tiny else 4
    ways = [
        _way("pydicom's pixel_array, gray and resized by cv2 (16 frames)", _pydicom, path, times),
        _way("the same, all 60 frames made gray and resized", _pydicom_all, path, times),
        _way("DICOM read as mimic-iv-echo is (colour looked for)", _skip, path, times, TARGET),
        _way("DICOM read as gray (colour=gray)", _gray, path, times),
    ]
    ours, theirs = _skip(path, numbers), _pydicom(path, numbers)
    facts = {
        "file": f"{FRAMES} frames of {WIDTH} x {HEIGHT}, YBR_FULL_422, "
        f"{path.stat().st_size / 1e6:.1f} MB",
        "largest difference, gray levels": int(np.abs(ours.astype(int) - theirs).max()),
        "mean difference, gray levels": round(float(np.abs(ours.astype(int) - theirs).mean()), 3),
        "525,328 such files, core-hours": _hours(path, times),
    }
    title = f"DICOM to a stored clip ({CLIP} of {FRAMES} frames, {SIZE} x {SIZE})"
    return [compare(title, "clips", ways, 1 if tiny else 7, **facts)]


def write_cine(path: Path, frames: int) -> None:
    """Write gray pictures as scanners do: JPEG of Y, Cb and Cr, with half as many columns of these.

    They are coarse structure with speckle, which takes about as many bytes as an echocardiogram.
    """
    import cv2
    from PIL import Image
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage, generate_uid

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 160, (HEIGHT // SMOOTH, WIDTH // SMOOTH)).astype(np.float32)
    structure = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    pictures = []
    for _ in range(frames):
        grain = rng.integers(-SPECKLE, SPECKLE, (HEIGHT // 2, WIDTH // 2)).astype(np.float32)
        speckle = cv2.resize(grain, (WIDTH, HEIGHT))
        gray = np.clip(structure + speckle, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        colours = Image.fromarray(np.repeat(gray[..., None], 3, axis=-1))
        colours.save(buffer, "JPEG", quality=QUALITY, subsampling=1)
        pictures.append(buffer.getvalue())
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["benchmark"])
    dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = HEIGHT, WIDTH
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate(pictures)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


Reader = Callable[[Path, list[int]], np.ndarray]


def _way(name: str, read: Reader, path: Path, times: int, target: float | None = None) -> Way:
    def run() -> None:
        for _ in range(times):
            count = count_dicom(path)  # how a store finds the frames to read
            read(path, np.linspace(0, count - 1, CLIP).astype(int).tolist())

    return Way(name, times, run, target)


def _pydicom(path: Path, numbers: list[int]) -> np.ndarray:
    import cv2
    import pydicom

    cv2.setNumThreads(1)
    frames = pydicom.dcmread(path).pixel_array[numbers]
    clip = []
    for frame in frames:
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        clip.append(cv2.resize(gray, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return np.stack(clip)


def _pydicom_all(path: Path, numbers: list[int]) -> np.ndarray:
    whole = _pydicom(path, list(range(count_dicom(path))))
    clip: np.ndarray = whole[numbers]
    return clip


def _skip(path: Path, numbers: list[int]) -> np.ndarray:
    return resize_area(read_dicom(path, numbers, SKIP).frames, SIZE, SIZE)


def _gray(path: Path, numbers: list[int]) -> np.ndarray:
    return resize_area(read_dicom(path, numbers, AS_GRAY).frames, SIZE, SIZE)


def _hours(path: Path, times: int) -> float:
    """Measure how many hours of one core all files of MIMIC-IV-ECHO would take, each like this."""
    import time

    began = time.process_time()
    _way("", _skip, path, times).run()
    return round((time.process_time() - began) / times * 525_328 / 3600, 1)
