"""Cases of bad input: EchoNet-Pediatric. See ``bad_input_cases.py``."""

from __future__ import annotations

from collections.abc import Callable

from bad_input_case import Case, accepted, refused
from bad_input_support import Make, Place, change, folder, remove, steps, swap, write

from tests.echolm.datasets.pediatric_files import Pediatric, ten_folds

CHECK_CHILDREN = "echolm data check echonet-pediatric {root}/children --no-videos"
FILE_LIST = "{root}/children/A4C/FileList.csv"
TRACED = "{root}/children/A4C/VolumeTracings.csv"
SECOND = "A4C/FileList.csv:3: A4C-CR01: "


def children(damage: Callable[[Pediatric], object] = lambda files: None) -> Make:
    """Tables of ten videos of A4C and twenty of PSAX, damaged before they are written."""

    def make(place: Place) -> None:
        files = ten_folds(place.path("{root}/children"))
        damage(files)
        files.write()

    return make


def second(column: str, value: object) -> Make:
    """The second row of A4C's file list, line 3, with one other value."""
    return children(lambda files: files.views["A4C"].files[1].update({column: value}))


def unread(name: str, make: Make, reason: str) -> Case:
    """The second video of A4C cannot be used; the others can."""
    return accepted(name, make, CHECK_CHILDREN, f"{SECOND}{reason}")


def untraced(files: Pediatric) -> None:
    """All frames of the second video are called missing."""
    for row in files.views["A4C"].tracings[47:94]:
        row["Frame"] = "No Systolic"


def one_patient(files: Pediatric) -> None:
    for row in files.views["A4C"].files:
        row["Patient"] = "P1"


ECHONET_PEDIATRIC = [
    unread("a child in fold 10", second("Split", 10), "Split is '10'; valid: folds 0 to 9"),
    unread("a child in a named split", second("Split", "TEST"), "Split is 'TEST', not a number"),
    unread("a child without EF", second("EF", ""), "EF is '', not a number"),
    unread(
        "a child's video that is missing",
        steps(children(), remove("{root}/children/A4C/Videos/CR01.avi")),
        "no video A4C/Videos/CR01.avi",
    ),
    accepted(
        "a child of another sex than the table knows",
        second("Sex", "?"),
        CHECK_CHILDREN,
        f"{SECOND}Sex is '?'; valid: F, M",
    ),
    accepted(
        "a child of 1,200 cm",
        second("Height", 1200),
        CHECK_CHILDREN,
        f"{SECOND}Height is '1200'; valid: above 0, up to 250",
    ),
    accepted(
        "a child's video whose phases are both missing",
        children(untraced),
        CHECK_CHILDREN,
        "A4C/VolumeTracings.csv:49: A4C-CR01: needs two traced frames, has 0 (none), and says "
        "No Systolic",
    ),
    accepted(
        "a polygon of other units",
        steps(children(), change(TRACED, lambda content: content.replace(b"76.0,", b"760,", 1))),
        CHECK_CHILDREN,
        "A4C/VolumeTracings.csv:2: A4C-CR00: frame 5: a point is at 760, far outside the picture",
    ),
    accepted(
        "a child's video that no row names",
        steps(children(), write("{root}/children/A4C/Videos/CR99.avi", "x")),
        CHECK_CHILDREN,
        "A4C/Videos/CR99.avi: A4C-CR99: is not in A4C/FileList.csv",
    ),
    refused(
        "chords where polygons are wanted",
        steps(children(), swap(TRACED, "FileName,X,Y,Frame", "FileName,X1,Y1,Frame")),
        CHECK_CHILDREN,
        "Error: {root}/children/A4C/VolumeTracings.csv: its header",
        "lacks column X, Y; needed: FileName,X,Y,Frame",
    ),
    refused(
        "a file list without sex",
        steps(children(), swap(FILE_LIST, ",Sex,", ",Gender,")),
        CHECK_CHILDREN,
        "Error: {root}/children/A4C/FileList.csv: its header",
        "lacks column Sex; needed: FileName,EF,Sex,Age,Weight,Height,Split",
    ),
    refused(
        "a folder without views",
        folder("{root}/children"),
        CHECK_CHILDREN,
        "Error: {root}/children: no A4C here; give the folder with A4C and PSAX",
    ),
    refused(
        "a view without its videos",
        steps(children(), remove("{root}/children/A4C/Videos")),
        CHECK_CHILDREN,
        "Error: {root}/children/A4C: no Videos here; give the folder that holds FileList.csv",
    ),
    refused(
        "a child in three splits",
        children(one_patient),
        CHECK_CHILDREN,
        "unusable: FileList.csv: patient P1 is in test (A4C-CR00) and val (A4C-CR01) and train",
    ),
]
