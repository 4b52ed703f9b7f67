"""A phantom of MIMIC-IV-ECHO: studies of DICOM files of beating ventricles, in its layout.

A study has gray clips, one clip with the colours of flow, and a still. All are JPEG pictures of Y,
Cb and Cr with a green ECG below them, as scanners store them. Subjects are numbered so that the
default draw puts some into each split. LVEF stands in the table of measurements, but for each sixth
study.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from echolm.datasets.drawn_split import draw_split
from echolm.datasets.mimic_files import FILES, PATH, RECORDS, STUDY, SUBJECT, TEST, VAL
from echolm.datasets.mimic_lvef import STUDIES, TABLES
from echolm.datasets.phantom.anatomy import (
    Motion,
    Sector,
    Ventricle,
    draw_ejection,
    draw_heart,
    draw_motion,
)
from echolm.datasets.phantom.folder import phantom_folder, write_table
from echolm.datasets.phantom.image import draw_view, render
from echolm.files import write_atomic
from echolm.progress import ProgressBar
from echolm.randomness import word

if TYPE_CHECKING:
    from pydicom import Dataset

SIZE = 112
"""Height of the pictures in pixels. They are 4/3 as wide."""
CLIPS = 3
"""Gray clips of a study."""
RATES = (30, 40, 50, 60)
"""Frames per second to draw from."""
QUALITY = 92
"""Of the JPEG pictures."""
ECG = (30, 220, 60)
"""Colour of the line."""
TOWARDS, AWAY = (230, 60, 20), (20, 80, 230)
"""Colours of blood that flows towards the probe and away from it."""
OPEN = 0.2
"""Of the valve, from which on blood flows towards the probe."""
UNMEASURED = 6
"""One study of so many has no LVEF."""
DAY = "2150-01-{:02d} 10:00:00"
VERSION = 1
"""Raised when the same seed gives another phantom."""
Kind = Literal["gray", "colour", "still"]


@dataclass(frozen=True)
class _File:
    """One DICOM file.

    Attributes:
        number: among all files.
        patient: number of the patient, which the heart is drawn from.
        subject: the patient's id.
        study: id of the study.
        place: of the file in its study, from 1.
        kind: what it shows.
    """

    number: int
    patient: int
    subject: str
    study: str
    place: int
    kind: Kind

    @property
    def path(self) -> str:
        """Return where it lies in the dataset's folder."""
        name = f"{self.study}_{self.place:04d}.dcm"
        return f"{FILES}/p{self.subject[:2]}/p{self.subject}/s{self.study}/{name}"


def generate_phantom(
    root: Path,
    items: int,
    seed: int,
    clips_per_patient: int = 1,
    progress: bool = False,
    size: int = SIZE,
) -> None:
    """Write studies with ``items`` gray clips, and a clip in colour and a still a study.

    The same arguments give the same files. Stopped or killed, it leaves what the same arguments
    continue: whole files are kept, and the record list is written last.

    Args:
        root: a new or empty folder.
        items: how many gray clips: what a store holds by default.
        seed: what all draws come from.
        clips_per_patient: gray clips of one heart.
        progress: whether to show a progress bar on a terminal.
        size: height of the pictures in pixels.

    Raises:
        EchoLMError: ``root`` holds other files or cannot be written, or a number is out of range.
    """
    root = Path(root)
    made_by = {
        "dataset": "mimic-iv-echo",
        "items": items,
        "seed": seed,
        "clips_per_patient": clips_per_patient,
        "size": size,
        "version": VERSION,
    }
    with phantom_folder(root, made_by, RECORDS):
        files = list(_plan(items, seed, clips_per_patient))
        with ProgressBar("drawing", "files", len(files), hidden=not progress) as bar:
            for file in files:
                _write_file(root, file, seed, size)
                bar.advance()
        _write_tables(root, files, seed)


def _plan(items: int, seed: int, clips_per_patient: int) -> Iterator[_File]:
    """Yield the files, study after study."""
    patients = -(-items // clips_per_patient)
    subjects = _draw_subjects(patients, seed)
    number = studies = left = 0
    for clip in range(items):
        patient, of_patient = divmod(clip, clips_per_patient)
        if left == 0 or of_patient == 0:
            left = min(CLIPS, clips_per_patient - of_patient, items - clip)
            kinds: list[Kind] = ["colour", "still"]
            for _ in range(left):
                kinds.insert(0, "gray")
            study = str(90_000_000 + 1_303 * studies)
            studies += 1
            for place, kind in enumerate(kinds, 1):
                yield _File(number, patient, subjects[patient], study, place, kind)
                number += 1
        left -= 1


def _draw_subjects(count: int, seed: int) -> list[str]:
    """Draw ids of subjects, of whom the default choices draw the shares into the splits exactly."""
    open_places = {"val": 0, "test": 0}
    if count >= 3:
        open_places["val"] = max(1, round(VAL * count))
        open_places["test"] = max(1, round(TEST * count))
    open_places["train"] = count - sum(open_places.values())
    subjects: dict[str, None] = {}
    attempt = 0
    while len(subjects) < count:
        subject = str(10_000_000 + word("phantom", seed, attempt) % 10_000_000)
        attempt += 1
        split = draw_split(subject, 0, VAL, TEST)
        if open_places[split] and subject not in subjects:
            open_places[split] -= 1
            subjects[subject] = None
    return list(subjects)


def _draw_patient(seed: int, patient: int, size: int) -> tuple[Sector, Ventricle, float]:
    """Draw a patient's scanned field, heart and ejection fraction."""
    rng = np.random.default_rng([seed, 1, patient])
    scale = size / SIZE
    sector = Sector(
        x=(size - 1) / 2,
        y=1.5 * scale,
        half_angle=float(rng.uniform(0.68, 0.80)),
        depth=100 * scale,
    )
    return sector, draw_heart(rng, sector, scale), draw_ejection(rng)


def _write_file(root: Path, file: _File, seed: int, size: int) -> None:
    """Write one file, unless it is there."""
    path = root / file.path
    if path.exists():
        return
    sector, heart, ejection = _draw_patient(seed, file.patient, size)
    rng = np.random.default_rng([seed, 2, file.number])
    fps = int(rng.choice(RATES))
    motion = draw_motion(rng, heart, ejection, fps)
    frames = render(rng, sector, heart, motion, draw_view(rng), size)
    if file.kind == "still":
        frames = frames[motion.ed : motion.ed + 1]
    colours = np.repeat(frames[..., None], 3, axis=-1)
    if file.kind == "colour":
        _paint_flow(colours, heart, motion)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, _encode_dicom(_put_on_screen(colours), file, seed, fps))


def _paint_flow(colours: np.ndarray, heart: Ventricle, motion: Motion) -> None:
    """Paint blood that moves in the ventricle, in each frame: T x H x W x 3."""
    y, x = np.mgrid[: colours.shape[1], : colours.shape[2]]
    for number, picture in enumerate(colours):
        length, radius = motion.length[number], motion.radius[number]
        dx = x - motion.apex[number, 0]
        dy = y - motion.apex[number, 1]
        down = (dx * heart.along[0] + dy * heart.along[1]) / length - 0.6
        aside = (dx * heart.across[0] + dy * heart.across[1]) / radius
        is_flow = (down / 0.5) ** 2 + aside**2 < 1
        colour = TOWARDS if motion.opening[number] > OPEN else AWAY
        picture[is_flow] = colour


def _put_on_screen(colours: np.ndarray) -> np.ndarray:
    """Put square pictures into the middle of a dark screen with an ECG: T x H x 4/3 H x 3."""
    count, height = colours.shape[:2]
    width = height * 4 // 3 // 2 * 2
    screen = np.zeros((count, height, width, 3), np.uint8)
    left = (width - height) // 2
    screen[:, :, left : left + height] = colours
    columns = np.arange(left // 2, width - left // 2)
    beat = np.exp(-((((columns * 3 / width) % 1) - 0.5) ** 2) / 0.002)
    rows = (height - 2 - 0.06 * height * beat).astype(int)
    screen[:, rows, columns] = ECG
    return screen


def _encode_dicom(frames: np.ndarray, file: _File, seed: int, fps: int) -> bytes:
    """Encode pictures, T x H x W x 3, as a DICOM file of JPEG pictures in YBR_FULL_422."""
    from PIL import Image
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import (
        JPEGBaseline8Bit,
        UltrasoundImageStorage,
        UltrasoundMultiFrameImageStorage,
        generate_uid,
    )

    pictures = []
    for frame in frames:
        buffer = io.BytesIO()
        # 1: half as many columns of Cb and Cr, as the header says
        Image.fromarray(frame).save(buffer, "JPEG", quality=QUALITY, subsampling=1)
        pictures.append(buffer.getvalue())
    is_still = file.kind == "still"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SOPClassUID = UltrasoundImageStorage if is_still else UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["phantom", str(seed), file.path])
    _describe(dataset, frames, file)
    if not is_still:
        dataset.NumberOfFrames = len(frames)
        dataset.FrameTime = f"{1000 / fps:.6g}"
    dataset.PixelData = encapsulate(pictures)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def _describe(dataset: Dataset, frames: np.ndarray, file: _File) -> None:
    """Write down whose pictures these are, and how their pixels are stored."""
    dataset.Modality = "US"
    dataset.PatientID = file.subject
    dataset.StudyID = file.study
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    dataset.SamplesPerPixel = 3
    dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0


def _write_tables(root: Path, files: Sequence[_File], seed: int) -> None:
    """Write the study list, the measurements, and last the record list."""
    studies: dict[str, _File] = {}
    for file in files:
        studies.setdefault(file.study, file)
    listed: list[list[Any]] = []
    measured: list[list[Any]] = []
    for number, (study, file) in enumerate(studies.items()):
        day = DAY.format(1 + number % 28)
        measurement = 7_000_000 + number
        listed.append([file.subject, study, day, "", measurement, day])
        row = [file.subject, measurement, day, "tte"]
        if (number + 1) % UNMEASURED:
            ejection = _draw_patient(seed, file.patient, SIZE)[2]
            measured.append([*row, "lvef", f"{100 * ejection:.1f}", "%"])
        measured.append([*row, "resting_hr", 60 + number % 30, "bpm"])
    times = ("measurement_id", "measurement_datetime")
    write_table(root / STUDIES, (SUBJECT, STUDY, "study_datetime", "note_id", *times), listed)
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow((SUBJECT, *times, "test_type", "measurement", "result", "unit"))
    table.writerows(measured)
    # without the time of day in it, the same phantom has the same bytes
    write_atomic(root / TABLES[0], gzip.compress(text.getvalue().encode(), mtime=0))
    records = []
    for file in files:
        records.append([file.subject, file.study, DAY.format(1 + file.place % 28), file.path])
    write_table(root / RECORDS, (SUBJECT, STUDY, "acquisition_datetime", PATH), records)
