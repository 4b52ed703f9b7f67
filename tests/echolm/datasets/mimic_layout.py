"""MIMIC-IV-ECHO in its layout, of pictures so small that hundreds of files take a second."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

RECORDS, STUDIES = "echo-record-list.csv", "echo-study-list.csv"
MEASURED = "structured-measurement.csv.gz"
KINDS = ("gray", "colour", "still", "truncated", "16 bits")
SIZE = (16, 24)
FRAMES = 5


@dataclass
class Mimic:
    """A folder of the dataset, and the rows of its tables before they are written.

    Attributes:
        root: the folder.
        rows: subject, study, time, path of each file of the record list.
        kinds: of the files, by their samples.
        studies: study -> subject.
    """

    root: Path
    rows: list[list[str]] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    studies: dict[str, str] = field(default_factory=dict)

    def add(self, subject: int, study: int, kind: str = "gray", **fields: object) -> Path:
        """Write one file and list it."""
        place = 1 + sum(row[1] == str(study) for row in self.rows)
        name = f"{study}_{place:04d}"
        path = f"files/p{str(subject)[:2]}/p{subject}/s{study}/{name}.dcm"
        self.rows.append([str(subject), str(study), "2150-01-01 10:00:00", path])
        self.kinds[name] = kind
        self.studies[str(study)] = str(subject)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        write_dicom(self.root / path, kind, len(self.rows), **fields)
        return self.root / path

    def write(self) -> None:
        """Write the record list."""
        header = ["subject_id", "study_id", "acquisition_datetime", "dicom_filepath"]
        write_csv(self.root / RECORDS, [header, *self.rows])

    def measure(self, results: dict[int, str], unit: str = "%", code: str = "lvef") -> None:
        """Write the study list with a measurement of each study, and results of some."""
        listed = [["subject_id", "study_id", "study_datetime", "note_id", "measurement_id"]]
        for number, (study, subject) in enumerate(self.studies.items()):
            listed.append([subject, study, "2150-01-01 10:00:00", "", str(7000 + number)])
        write_csv(self.root / STUDIES, listed)
        of_study = {row[1]: row for row in listed}
        rows = [["subject_id", "measurement_id", "test_type", "measurement", "result", "unit"]]
        for study, result in results.items():
            _, _, _, _, measurement = of_study[str(study)]
            subject = self.studies[str(study)]
            rows.append([subject, measurement, "tte", "resting_hr", "61", "bpm"])
            rows.append([subject, measurement, "tte", code, result, unit])
        lines = "\n".join(",".join(row) for row in rows) + "\n"
        (self.root / MEASURED).write_bytes(gzip.compress(lines.encode()))


def write_csv(path: Path, rows: list[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_dicom(path: Path, kind: str, seed: int, **fields: object) -> None:
    """Write noise that is not compressed, as a file of one of ``KINDS``. Seeds give other noise."""
    noise = np.random.default_rng(seed)
    count = 1 if kind == "still" else FRAMES
    depth = np.uint16 if kind == "16 bits" else np.uint8
    pictures = noise.integers(0, 200, (count, *SIZE), depth)
    values: dict[str, object] = {
        "SOPClassUID": UltrasoundMultiFrameImageStorage,
        "SOPInstanceUID": generate_uid(entropy_srcs=[str(seed)]),
        "NumberOfFrames": count,
        "FrameTime": "20",
        "Rows": SIZE[0],
        "Columns": SIZE[1],
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "RGB",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    colours = np.repeat(pictures[..., None], 3, axis=-1)
    if kind == "colour":
        colours[:, 4:9, 6:18] = (230, 40, 20)
    if kind == "16 bits":
        colours = pictures
        values |= {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
        values |= {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    dataset = Dataset()
    for name, value in (values | fields).items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PixelData = colours.tobytes()
    dataset["PixelData"].VR = "OW" if kind == "16 bits" else "OB"
    dataset.save_as(path, enforce_file_format=True)
    if kind == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])


def twelve_subjects(root: Path, files: int = 300) -> Mimic:
    """Files of all kinds, of 12 subjects with two studies each."""
    mimic = Mimic(root)
    for number in range(files):
        subject = 10_000_000 + 31_337 * (number % 12)
        study = 90_000_000 + 7 * (number % 24)
        mimic.add(subject, study, KINDS[number // 24 % len(KINDS)])
    mimic.write()
    return mimic
