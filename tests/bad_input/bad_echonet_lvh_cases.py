"""Cases of bad input: EchoNet-LVH. See ``bad_input_cases.py``."""

from __future__ import annotations

from collections.abc import Callable

from bad_input_case import Case, accepted, refused
from bad_input_support import Make, Place, folder, remove, steps, swap, write

from tests.echolm.datasets.lvh_files import Lvh, six_videos

CHECK_WALLS = "echolm data check echonet-lvh {root}/walls --no-videos"
TABLE = "{root}/walls/MeasurementsList.csv"


def walls(damage: Callable[[Lvh], object] = lambda files: None) -> Make:
    """A table of six videos with four calipers each, damaged before it is written."""

    def make(place: Place) -> None:
        files = six_videos(place.path("{root}/walls"))
        damage(files)
        files.write()

    return make


def fifth(column: str, value: object) -> Make:
    """The first caliper of the second video, line 6, with one other value."""
    return walls(lambda files: files.rows[4].update({column: value}))


def unmeasured(name: str, make: Make, reason: str) -> Case:
    """A caliper of the second video cannot be used; its others can."""
    return accepted(name, make, CHECK_WALLS, f"MeasurementsList.csv:6: 0X0001: {reason}")


def shift(files: Lvh) -> None:
    """Lengths stand one row too low."""
    lengths = [row["CalcValue"] for row in files.rows]
    for row, length in zip(files.rows, [lengths[-1], *lengths[:-1]], strict=True):
        row["CalcValue"] = length


def exchange(files: Lvh) -> None:
    """Ends are written in the order x1, y1, x2, y2 under X1, X2, Y1, Y2."""
    for row in files.rows:
        row["X2"], row["Y1"] = row["Y1"], row["X2"]


def millimetres(files: Lvh) -> None:
    for row in files.rows:
        row["CalcValue"] = 10 * row["CalcValue"]


ECHONET_LVH = [
    unmeasured(
        "a caliper of the left atrium",
        fifth("Calc", "LAd"),
        "Calc is 'LAd'; valid: IVSd, LVIDd, LVPWd, LVIDs",
    ),
    unmeasured("a caliper without length", fifth("CalcValue", ""), "CalcValue is '', not a number"),
    unmeasured(
        "a caliper in a frame beyond the end",
        fifth("Frame", 60),
        "Frame 60 is outside the video's 60 frames",
    ),
    unmeasured(
        "a caliper outside the picture",
        fifth("X1", 5000),
        "X of an end is 5000, outside the width of 1024",
    ),
    unmeasured(
        "a caliper of no length in the picture",
        walls(lambda files: files.rows[4].update(X2=300, Y2=100)),
        "both ends of the caliper are at (300, 100)",
    ),
    unmeasured(
        "a measured video in two splits",
        fifth("split", "test"),
        "is in splits test (row 6) and train (row 9)",
    ),
    unmeasured(
        "a measured video that is missing",
        steps(walls(), remove("{root}/walls/Batch2/0X0001.avi")),
        "no video 0X0001.avi in Batch1, Batch2, Batch3, Batch4",
    ),
    accepted(
        "a measured video under a path",
        walls(lambda files: files.rows[0].update(HashedFileName="../0X0000")),
        CHECK_WALLS,
        "MeasurementsList.csv:2: ../0X0000: HashedFileName '../0X0000' is not the name of a file",
    ),
    accepted(
        "a video that nobody measured",
        steps(walls(), write("{root}/walls/Batch1/0XABCD.avi", "x")),
        CHECK_WALLS,
        "Batch1/0XABCD.avi: 0XABCD: is not in MeasurementsList.csv",
    ),
    refused(
        "lengths shifted by a row",
        walls(shift),
        CHECK_WALLS,
        "unusable: MeasurementsList.csv: the calipers of one video have different scales",
        "are X1, X2, Y1, Y2, shifted by a row or under other names?",
    ),
    refused(
        "ends of calipers in another order",
        walls(exchange),
        CHECK_WALLS,
        "unusable: MeasurementsList.csv: the calipers of one video have different scales",
    ),
    refused(
        "lengths in millimetres",
        walls(millimetres),
        CHECK_WALLS,
        "unusable: MeasurementsList.csv: the median LVIDd is 45 cm, no diameter of hearts",
        "--set unit=mm",
    ),
    refused(
        "a table of measurements without its splits",
        steps(walls(), swap(TABLE, ",split", ",set")),
        CHECK_WALLS,
        "Error: {root}/walls/MeasurementsList.csv: its header",
        "lacks column split; needed: HashedFileName,Calc,",
    ),
    refused(
        "a folder without measurements",
        folder("{root}/walls"),
        CHECK_WALLS,
        "Error: {root}/walls: no MeasurementsList.csv here; give the folder that holds",
    ),
]
