"""Cases of bad input: TMED-2's table and pictures. See ``bad_input_cases.py``."""

from __future__ import annotations

import csv
from collections.abc import Callable

from bad_input_case import PARTIAL, Case, accepted, refused
from bad_input_support import Make, Place, change, cut, remove, steps
from PIL import Image

Rows = list[list[str]]
TABLE = "DEV479/TMED2_fold1_labeledpart.csv"
LABELED = "view_and_diagnosis_labeled_set/labeled"
HEADER = [
    "query_key",
    "SourceFolder",
    "view_label",
    "diagnosis_label",
    "diagnosis_classifier_split",
    "view_classifier_split",
]
STUDIES = {
    "7s1": ("train", "no_AS"),
    "7s2": ("train", "mild_AS"),
    "80s1": ("val", "moderate_AS"),
    "900s1": ("test", "severe_AS"),
}
CHECK = "echolm data check tmed-2 {root}/tmed --no-videos"
PREPARE = "echolm data prepare tmed-2 {root}/tmed --name new --clips uniform-16 --workers 1"
FIRST = f"{{root}}/tmed/{LABELED}/7s1_0.png"


def tmed2(edit: Callable[[Rows], Rows] = lambda rows: rows, images: int = 2) -> Make:
    """TMED-2 of four studies whose table is edited. Its first row is the header."""

    def make(place: Place) -> None:
        folder = place.path("{root}/tmed")
        (folder / LABELED).mkdir(parents=True)
        (folder / TABLE).parent.mkdir()
        rows = [HEADER]
        for study, (split, diagnosis) in STUDIES.items():
            for number in range(images):
                key = f"{study}_{number}.png"
                level = len(rows)
                Image.new("L", (64, 48), level).save(folder / LABELED / key)
                rows.append([key, LABELED, "PLAX", diagnosis, split, split])
        with open(folder / TABLE, "w", newline="") as file:
            csv.writer(file).writerows(edit(rows))

    return make


def cell(line: int, column: str, value: str) -> Make:
    """One other cell. Line 1 is the header, lines 2 and 3 are the study 7s1."""

    def edit(rows: Rows) -> Rows:
        changed = [list(row) for row in rows]
        changed[line - 1][HEADER.index(column)] = value
        return changed

    return tmed2(edit)


def of_all(column: str, value: str) -> Make:
    """The same cell in all rows."""
    number = HEADER.index(column)
    return tmed2(
        lambda rows: [rows[0], *([*r[:number], value, *r[number + 1 :]] for r in rows[1:])]
    )


def picture(mode: str, size: tuple[int, int], colour: int | tuple[int, ...]) -> Make:
    """Another first image of the study 7s1."""
    return lambda place: Image.new(mode, size, colour).save(place.path(FIRST))


def bad_study(name: str, make: Make, line: int, reason: str) -> Case:
    """A study cannot be used, as a row shows; the others can."""
    return accepted(name, make, CHECK, f"{TABLE}:{line}: {reason}")


TMED2 = [
    refused(
        "TMED-2 without a table",
        steps(tmed2(), remove(f"{{root}}/tmed/{TABLE}")),
        CHECK,
        f"Error: {{root}}/tmed: no {TABLE} here; give the folder that holds DEV479/",
    ),
    refused(
        "TMED-2 whose table lacks a column",
        tmed2(lambda rows: [[*row[:3], *row[4:]] for row in rows]),
        CHECK,
        f"Error: {{root}}/tmed/{TABLE}: its header",
        "lacks column diagnosis_label",
    ),
    refused(
        "a study in two splits",
        cell(3, "diagnosis_classifier_split", "test"),
        CHECK,
        f"unusable: {TABLE}: study 7s1 is in train (row 2) and test (row 3)",
    ),
    refused(
        "a study in two splits, prepared",
        cell(3, "diagnosis_classifier_split", "test"),
        PREPARE,
        f"Error: {{root}}/tmed: {TABLE}: study 7s1 is in train (row 2) and test (row 3)",
    ),
    refused(
        "a patient of TMED-2 in two splits",
        tmed2(lambda rows: [[*row[:4], "val", ""] if "7s2" in row[0] else row for row in rows]),
        CHECK,
        f"unusable: {TABLE}: patient 7 is in train (7s1) and val (7s2)",
    ),
    refused(
        "TMED-2 without a diagnosis",
        of_all("diagnosis_label", "Not_Provided"),
        CHECK,
        "unusable: no examination is usable",
    ),
    bad_study(
        "an image that is not there",
        steps(tmed2(), remove(FIRST)),
        2,
        f"7s1: no image {LABELED}/7s1_0.png",
    ),
    bad_study(
        "a study of images of two sizes",
        steps(tmed2(), picture("L", (64, 49), 9)),
        3,
        f"7s1: its images are of several sizes: {LABELED}/7s1_1.png is 64 x 48 pixels",
    ),
    bad_study(
        "an image that is no picture",
        steps(tmed2(), change(FIRST, lambda content: b"x" + content)),
        2,
        f"7s1: {LABELED}/7s1_0.png is no PNG picture",
    ),
    bad_study(
        "a diagnosis that is none",
        cell(2, "diagnosis_label", "severe"),
        2,
        "7s1: diagnosis_label is 'severe'; valid: no_AS, mild_AS, mildtomod_AS",
    ),
    bad_study(
        "a study of two diagnoses",
        cell(3, "diagnosis_label", "severe_AS"),
        3,
        "7s1: diagnosis_label is 'severe_AS' here and 'no_AS' in row 2",
    ),
    bad_study(
        "an image twice",
        cell(3, "query_key", "7s1_0.png"),
        3,
        "7s1: query_key 7s1_0.png stands in row 2 already",
    ),
    bad_study(
        "images above the dataset's folder",
        cell(2, "SourceFolder", "../source"),
        2,
        "7s1: SourceFolder is '../source'; valid: a path in the dataset's folder",
    ),
    bad_study(
        "an image of no study",
        cell(2, "query_key", "seven.png"),
        2,
        "query_key is 'seven.png'; valid: PATIENTsSTUDY_IMAGE.png",
    ),
    refused(
        "an image that is cut off",
        steps(tmed2(images=1), cut(FIRST, 0.8)),
        PREPARE,
        f"Error: {LABELED}/7s1_0.png: 7s1: the picture is damaged or truncated",
        leaves=PARTIAL,
    ),
    refused(
        "an image in colours",
        steps(tmed2(images=1), picture("RGB", (64, 48), (9, 9, 200))),
        PREPARE,
        f"Error: {LABELED}/7s1_0.png: 7s1: is a picture in colours (R G B of column 0, row 0: "
        "9 9 200); valid: gray",
        leaves=PARTIAL,
    ),
]
