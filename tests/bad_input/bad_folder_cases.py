"""Cases of bad input: one's own files and their ``labels.csv``. See ``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import PARTIAL, Case, accepted, refused
from bad_input_support import Make, avi, cut, remove, steps, swap, write
from PIL import Image

GOOD = """file,patient,split,study,sample,view,ef
a.avi,P1,train,S1,A,4CH,55
b.avi,P2,val,S2,B,4CH,60
c1.png,P3,test,S3,C,2CH,61
c2.png,P3,test,S3,C,2CH,61
d.avi,P4,train,S4,D,4CH,48
"""
LABELS = "{root}/own/labels.csv"
CHECK = "echolm data check folder {root}/own --no-videos"
PREPARE = "echolm data prepare folder {root}/own --name new --clips uniform-16 --workers 1"


def picture(path: str, level: int) -> Make:
    """A gray PNG picture."""
    return lambda place: Image.new("L", (32, 48), level).save(place.path(path))


FILES = steps(
    write(LABELS, GOOD),
    avi("{root}/own/a.avi", frames=3, size=32),
    avi("{root}/own/b.avi", frames=3, size=48),
    avi("{root}/own/d.avi", "h264", "yuv420p", frames=4, size=64),
    picture("{root}/own/c1.png", 40),
    picture("{root}/own/c2.png", 80),
)
"""Two AVI of MJPEG, one of H.264, and an item of two pictures."""


def own(old: str, new: str) -> Make:
    """The files, and another table."""
    return steps(FILES, swap(LABELS, old, new))


def bad_row(name: str, make: Make, line: int, reason: str) -> Case:
    """An item cannot be used, as a row shows; the others can."""
    return accepted(name, make, CHECK, f"labels.csv:{line}: {reason}")


FOLDER = [
    refused(
        "own files without a table",
        steps(FILES, remove(LABELS)),
        CHECK,
        "Error: {root}/own: no labels.csv here; write one: a header file,patient,split",
    ),
    refused(
        "a table of own files with semicolons",
        steps(FILES, write(LABELS, GOOD.replace(",", ";"))),
        CHECK,
        f"Error: {LABELS}: its header (file;patient;",
        "lacks column file, patient",
    ),
    refused(
        "a table of own files in another encoding",
        steps(FILES, write(LABELS, "file,patient\na.avi,Zo\u00eb\n".encode("cp1252"))),
        CHECK,
        f"Error: {LABELS}:2: is not UTF-8",
        "iconv -f WINDOWS-1252",
    ),
    refused(
        "a table of own files without rows",
        steps(FILES, write(LABELS, "file,patient\n")),
        CHECK,
        f"Error: {LABELS}: has no rows; write one for each file",
    ),
    refused(
        "a column of own files with a name of the store",
        own(",ef\n", ",frames\n"),
        CHECK,
        f"Error: {LABELS}: its header has column frames, which is a name of EchoLM's own",
    ),
    refused(
        "a column of own files twice",
        own(",view,", ",ef,"),
        CHECK,
        f"Error: {LABELS}: its header",
        "repeats column ef",
    ),
    refused(
        "a patient of own files in two splits",
        own("P2,val", "P1,val"),
        CHECK,
        "unusable: labels.csv: patient P1 is in train (A) and val (B)",
    ),
    refused(
        "a study of two patients",
        own("S2,B", "S1,B"),
        CHECK,
        "unusable: labels.csv: study S1 is of patients P1 (A) and P2 (B); give each study a name",
    ),
    bad_row(
        "a word in a column of numbers",
        own("A,4CH,55", "A,4CH,normal"),
        2,
        "A: ef is 'normal', not a number, as 4 of the column's 5 cells are; correct it, leave",
    ),
    bad_row("an own file that is not there", own("b.avi", "x.avi"), 3, "B: no file x.avi in the"),
    bad_row(
        "an own file in capitals", own("b.avi", "B.AVI"), 3, "B: no file B.AVI; there is b.avi"
    ),
    bad_row("an own file in two rows", own("b.avi", "a.avi"), 3, "B: file a.avi stands in row 2"),
    bad_row(
        "an own file elsewhere",
        own("b.avi", "../source/FileList.csv"),
        3,
        "B: file is '../source/FileList.csv'; valid: a path in the dataset's folder",
    ),
    bad_row("no patient of an own file", own("P2,val", ",val"), 3, "B: patient is empty"),
    bad_row(
        "an unknown split of an own file",
        own("P2,val", "P2,dev"),
        3,
        "B: split is 'dev'; valid: train, val, test",
    ),
    bad_row(
        "two rows of an item that disagree",
        own("c2.png,P3,test,S3,C,2CH,61", "c2.png,P3,test,S3,C,2CH,16"),
        5,
        "C: ef is 16.0 here and 61.0 in row 4 of the same sample",
    ),
    bad_row(
        "half a row", own("b.avi,P2,val,S2,B,4CH,60", "b.avi,P2"), 3, "b.avi: has 2 cells where"
    ),
    accepted(
        "an own file that no row names",
        own("d.avi,P4,train,S4,D,4CH,48\n", ""),
        CHECK,
        "d.avi: no row of labels.csv names it",
    ),
    refused(
        "an own video that is cut off",
        steps(FILES, cut("{root}/own/d.avi", 0.6)),
        PREPARE,
        "Error: d.avi: D: ",
        "damaged or truncated",
        leaves=PARTIAL,
    ),
]
