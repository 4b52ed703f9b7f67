"""Cases of bad input: MIMIC-IV-ECHO. See ``bad_input_cases.py``."""

from __future__ import annotations

from collections.abc import Callable

from bad_input_case import PARTIAL, STORE, Case, accepted, refused
from bad_input_support import Make, Place, change, folder, remove, steps, swap, write

from tests.echolm.datasets.mimic_layout import KINDS, MEASURED, RECORDS, STUDIES, Mimic

ROOT = "{root}/mimic"
CHECK = f"echolm data check mimic-iv-echo {ROOT} --no-videos"
OPEN = f"echolm data check mimic-iv-echo {ROOT}"
PREPARE = f"echolm data prepare mimic-iv-echo {ROOT} --name new --workers 1 --clips uniform-4"
SECOND = "files/p10/p10000001/s90000001/90000001_0002.dcm"


def files(damage: Callable[[Mimic], object] = lambda mimic: None) -> Make:
    """Four studies of four subjects with a file of each kind, and rows that ``damage`` changes."""

    def make(place: Place) -> None:
        mimic = Mimic(place.path(ROOT))
        for number in range(1, 5):
            for kind in KINDS:
                mimic.add(10_000_000 + number, 90_000_000 + number, kind)
        damage(mimic)
        mimic.write()

    return make


def row(column: int, value: str) -> Make:
    """The second file, line 3 of the record list, with one other cell."""

    def damage(mimic: Mimic) -> None:
        mimic.rows[1][column] = value

    return files(damage)


def measured(code: str = "lvef", unit: str = "%") -> Make:
    """The same files with LVEF of one study."""
    return files(lambda mimic: mimic.measure({90_000_001: "55"}, unit, code))


def shift(mimic: Mimic) -> None:
    """Subjects stand one row too low."""
    subjects = [cells[0] for cells in mimic.rows]
    for cells, subject in zip(mimic.rows, [subjects[-1], *subjects[:-1]], strict=True):
        cells[0] = subject


def listed(name: str, make: Make, reason: str) -> Case:
    """The second file of the record list cannot be used. The others can."""
    return accepted(name, make, CHECK, f"{RECORDS}:3: {reason}")


def opened(name: str, kind: str, reason: str) -> Case:
    """The file of a kind cannot be used, as shows when it is opened."""
    place = KINDS.index(kind) + 1
    sample = f"90000002_{place:04d}"
    path = f"files/p10/p10000002/s90000002/{sample}.dcm"
    return accepted(name, files(), OPEN, f"{path}: {sample}: {reason}")


MIMIC = [
    # the record list
    listed(
        "a listed DICOM file that is missing",
        steps(files(), remove(f"{ROOT}/{SECOND}")),
        f"90000001_0002: no file {SECOND}",
    ),
    listed(
        "a DICOM file listed twice",
        files(lambda mimic: mimic.rows.insert(1, list(mimic.rows[0]))),
        "90000001_0001: the file stands in row 2 already; that row is used",
    ),
    listed(
        "a path that leaves the folder of DICOM files",
        row(3, "files/../../source/FileList.csv"),
        "FileList.csv: dicom_filepath is 'files/../../source/FileList.csv'; valid: paths below",
    ),
    accepted(
        "a path with a terminal's escape in a record list",
        row(3, "files/p10/\x1b[31m.dcm"),
        CHECK,
        f"{RECORDS}:3: ",
        "dicom_filepath is 'files/p10/\\x1b[31m.dcm'",
    ),
    listed(
        "a row without a subject",
        row(0, ""),
        "90000001_0002: subject_id is empty",
    ),
    listed(
        "a file under another subject's folder",
        row(0, "10000002"),
        "90000001_0002: subject_id is 10000002, but its file lies in p10000001/: the rows may",
    ),
    accepted(
        "subjects of a record list that slipped by a row",
        files(shift),
        CHECK,
        f"{RECORDS}:7: 90000002_0001: subject_id is 10000001, but its file lies in p10000002/",
    ),
    listed(
        "a study of two subjects",
        files(lambda mimic: mimic.add(10_000_009, 90_000_001)),
        "90000001_0002: study 90000001 is of subjects 10000001 and 10000009; none of its rows",
    ),
    accepted(
        "a row of a record list that was cut off",
        steps(files(), change(f"{ROOT}/{RECORDS}", lambda content: content[:-70])),
        CHECK,
        f"{RECORDS}:21: has 2 cells where the header has 4",
    ),
    accepted(
        "a DICOM file that no row lists",
        steps(files(), write(f"{ROOT}/files/p10/p10000001/s90000001/extra.dcm", "x")),
        CHECK,
        f"files/p10/p10000001/s90000001/extra.dcm: extra: is not listed in {RECORDS}",
    ),
    refused(
        "no record list",
        steps(files(), remove(f"{ROOT}/{RECORDS}")),
        CHECK,
        f"Error: {ROOT}: no {RECORDS} here; give the folder that holds {RECORDS} and files/",
    ),
    refused(
        "a record list without its paths",
        steps(files(), swap(f"{ROOT}/{RECORDS}", "dicom_filepath", "path")),
        CHECK,
        f"Error: {ROOT}/{RECORDS}: its header (",
        "lacks column dicom_filepath",
    ),
    refused(
        "a record list that is no UTF-8",
        steps(files(), change(f"{ROOT}/{RECORDS}", lambda b: b.replace(b".dcm", b"\xe4.dcm"))),
        CHECK,
        f"Error: {ROOT}/{RECORDS}: is no CSV file in UTF-8, or is damaged",
    ),
    refused(
        "a folder as a record list",
        steps(files(), folder(f"{ROOT}/{RECORDS}")),
        CHECK,
        f"Error: {ROOT}/{RECORDS}: cannot be read: Is a directory",
    ),
    # the files
    opened("a truncated DICOM file of a study", "truncated", ""),
    opened("a DICOM file of 16 bits", "16 bits", "is MONOCHROME2 with 16 bits; valid: 8 bits and"),
    opened("a still among clips", "still", "a still image, skipped: stills=skip"),
    opened(
        "a clip in colour among gray ones", "colour", "pictures in colour, skipped: colour=skip"
    ),
    refused(
        "DICOM files that do not decode",
        files(),
        PREPARE,
        "Error: files/p10/p10000001/s90000001/90000001_0004.dcm: 90000001_0004: its field",
        leaves=PARTIAL,
    ),
    accepted(
        "DICOM files that do not decode to leave out",
        files(),
        f"{PREPARE} --skip-unreadable",
        "4 files (",
        "16 left out (problems.csv)",
        leaves=STORE,
    ),
    # choices
    refused(
        "shares that leave nobody to train",
        files(),
        f"{CHECK} --set val=0.5 --set test=0.5",
        "Error: --set of dataset mimic-iv-echo: ",
        "leave no subject for train; valid: together below 1",
    ),
    refused(
        "an unknown policy for colour",
        files(),
        f"{CHECK} --set colour=keep",
        "Error: --set of dataset mimic-iv-echo: colour",
    ),
    # LVEF
    accepted(
        "measurements without LVEF",
        measured("lvedd"),
        CHECK,
        f"no file has LVEF (ef): {MEASURED} has LVEF neither as measurement lvef",
    ),
    accepted(
        "LVEF in another unit",
        measured(unit="ml"),
        CHECK,
        f"no file has LVEF (ef): {MEASURED} has LVEF neither",
    ),
    accepted(
        "a study list of version 0.1 beside measurements",
        steps(measured(), swap(f"{ROOT}/{STUDIES}", "measurement_id", "note")),
        CHECK,
        f"no file has LVEF (ef): {MEASURED} has no study_id, and {STUDIES} no measurement_id",
    ),
    refused(
        "a truncated table of measurements",
        steps(measured(), change(f"{ROOT}/{MEASURED}", lambda content: content[:-20])),
        CHECK,
        f"Error: {ROOT}/{MEASURED}: cannot be read: ",
    ),
]
