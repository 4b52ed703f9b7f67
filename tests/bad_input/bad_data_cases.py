"""Cases of bad input: damaged videos and tables, preparations that stop. See
``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import (
    CHECK,
    FILES,
    GOOD,
    PARTIAL,
    PREPARE,
    STORE,
    TRACINGS,
    VIDEO,
    accepted,
    bad_row,
    bad_tracing,
    bad_video,
    refused,
)
from bad_input_support import (
    Make,
    avi,
    cell,
    change,
    cut,
    dicom,
    folder,
    link,
    mode,
    picture,
    ran,
    remove,
    rows,
    small_disk,
    steps,
    swap,
    write,
)


def crossing(table: list[list[str]]) -> list[list[str]]:
    """A chord with its ends exchanged."""
    name, x1, y1, x2, y2, frame = table[47]
    return [*table[:47], [name, x2, y2, x1, y1, frame], *table[48:]]


def traced_at(frame: str) -> Make:
    """The 21 rows of the sample's first traced frame, at another frame."""
    return rows(
        TRACINGS, lambda t: [[*row[:5], frame] if 43 <= i < 64 else row for i, row in enumerate(t)]
    )


def one_patient(table: list[list[str]]) -> list[list[str]]:
    """All videos of one patient."""
    return [[*row, "P1" if i else "Patient"] for i, row in enumerate(table)]


DATA = [
    # a video that is not what its row says
    bad_row("a missing video", remove(VIDEO), "no video Videos/{sample}.avi"),
    bad_row("a folder as a video", folder(VIDEO), "no video Videos/{sample}.avi"),
    bad_row(
        "a link to nothing as a video", link(VIDEO, "away.avi"), "no video Videos/{sample}.avi"
    ),
    bad_row(
        "a link to itself as a video",
        link(VIDEO, "{sample}.avi"),
        "no video Videos/{sample}.avi (Too many levels of symbolic links)",
    ),
    bad_video("a truncated video", cut(VIDEO), "frame", "damaged or truncated"),
    accepted(
        "a truncated video to leave out",
        cut(VIDEO),
        f"{PREPARE} --skip-unreadable",
        "11 videos (",
        "1 left out (problems.csv)",
        leaves=STORE,
    ),
    bad_video(
        "a video of H.264",
        avi(VIDEO, "h264", "yuv420p"),
        "is h264 (yuv420p); valid: MJPEG",
        "ffmpeg -i",
    ),
    bad_video("a video of PNG pictures", avi(VIDEO, "png", "gray"), "is png (gray); valid: MJPEG"),
    bad_video(
        "a picture that is transparent",
        picture(VIDEO, "RGBA"),
        "has transparent pixels; valid: opaque pictures. Convert it: ffmpeg",
    ),
    bad_video("a picture where a video was", picture(VIDEO, "L"), "has no frame"),
    bad_video("a video without frames", avi(VIDEO, frames=0), "holds no frames"),
    bad_video(
        "a video of H.264 without frames",
        avi(VIDEO, "h264", "yuv420p", frames=0),
        "holds no frames",
    ),
    bad_video(
        "a video of a codec that nobody knows",
        change(VIDEO, lambda b: b.replace(b"MJPG", b"ABCD")),
        "is of an unknown codec; valid: MJPEG",
    ),
    bad_video(
        "a video of another size",
        avi(VIDEO, size=64),
        "is 64 x 64 pixels; its labels are for 112 x 112",
    ),
    bad_video("a video of zero bytes", write(VIDEO, ""), "not a video"),
    bad_video("text as a video", write(VIDEO, "not found"), "not a video"),
    bad_video(
        "fewer frames than listed", avi(VIDEO, frames=5), "has no frame 5; it holds 5 frames"
    ),
    bad_video("an unreadable video", mode(VIDEO, 0), "cannot be read: Permission denied"),
    refused(
        "a DICOM loop of very many frames",
        steps(dicom(VIDEO, NumberOfFrames=10**12), cell(FILES, 3, "NumberOfFrames", "30")),
        f"{PREPARE} --clips all",
        (
            "Error: Videos/{sample}.avi: {sample}: its field NumberOfFrames is "
            "1000000000000, but its pixels, "
        ),
        leaves=PARTIAL,
    ),
    # a row that cannot be used
    bad_row(
        "very many frames",
        cell(FILES, 3, "NumberOfFrames", "1000000000000"),
        "NumberOfFrames is '1000000000000'; valid: 1 to 100000",
    ),
    accepted(
        "very many frames to leave out",
        cell(FILES, 3, "NumberOfFrames", "1e12"),
        f"{PREPARE} --clips all",
        "11 videos (",
        "1 left out (problems.csv)",
        leaves=STORE,
    ),
    bad_tracing(
        "a traced frame beyond the end",
        traced_at("9000"),
        44,
        "traced frame 9000 is outside the video's",
    ),
    bad_tracing("a negative frame", traced_at("-1"), 44, "traced frame -1 is outside the video's"),
    bad_tracing("half a frame", traced_at("5.5"), 44, "Frame is '5.5', not a whole number"),
    bad_tracing(
        "a NaN coordinate", cell(TRACINGS, 50, "X1", "nan"), 50, "X1 is 'nan', not a number"
    ),
    bad_tracing(
        "a coordinate of another planet",
        cell(TRACINGS, 50, "X1", "1e39"),
        50,
        "X1 is 1e+39, far outside the picture of 112 pixels; valid: -112 to 224",
    ),
    bad_tracing(
        "a coordinate of another unit",
        cell(TRACINGS, 50, "Y2", "1e9"),
        50,
        "Y2 is 1e+09, far outside the picture of 112 pixels; valid: -112 to 224",
    ),
    bad_row("text in a number", cell(FILES, 3, "EF", "n/a"), "EF is 'n/a', not a number"),
    bad_row("a decimal comma", cell(FILES, 3, "EF", "55,3"), "EF is '55,3', not a number"),
    accepted(
        "a name twice",
        rows(FILES, lambda t: [*t, t[2]]),
        CHECK,
        "FileList.csv:14: {sample}: the name stands in row 3 already; none of its rows is used",
    ),
    accepted(
        "a name that leads elsewhere",
        cell(FILES, 3, "FileName", "../{sample}"),
        CHECK,
        "FileList.csv:3: ../{sample}: FileName '../{sample}' is not the name of a file",
    ),
    bad_row(
        "an unknown split",
        cell(FILES, 3, "Split", "HOLDOUT"),
        "Split is 'HOLDOUT'; valid: TRAIN, VAL, TEST",
    ),
    bad_tracing(
        "20 rows",
        rows(TRACINGS, lambda t: t[:50] + t[51:]),
        44,
        "frame",
        "is traced by 20 rows, not 21",
    ),
    bad_tracing(
        "22 rows",
        rows(TRACINGS, lambda t: t[:50] + t[49:]),
        44,
        "frame",
        "is traced by 22 rows, not 21",
    ),
    bad_tracing(
        "one traced frame",
        rows(TRACINGS, lambda t: t[:43] + t[64:]),
        44,
        "needs exactly two traced frames, has 1",
    ),
    bad_row(
        "no traced frame",
        rows(TRACINGS, lambda t: t[:43] + t[85:]),
        "needs exactly two traced frames, has 0",
    ),
    bad_tracing(
        "a truncated row",
        rows(TRACINGS, lambda t: [*t[:43], t[43][:3], *t[44:]]),
        44,
        "has 3 cells where the header has 6",
    ),
    # a table that cannot be used
    refused(
        "a wrong header",
        swap("{source}/FileList.csv", "FileName", "Filename"),
        CHECK,
        "Error: {source}/FileList.csv: its header",
        "lacks column FileName; needed: FileName,",
    ),
    refused(
        "a missing column",
        rows(FILES, lambda t: [row[:-1] for row in t]),
        PREPARE,
        "Error: {source}/FileList.csv: its header",
        "lacks column Split; needed: ",
    ),
    refused(
        "semicolons for commas",
        change("{source}/FileList.csv", lambda b: b.replace(b",", b";")),
        CHECK,
        "Error: {source}/FileList.csv: its header (FileName;EF;",
        "needed: FileName,EF,",
    ),
    refused(
        "a table in UTF-16",
        change("{source}/VolumeTracings.csv", lambda b: b.decode().encode("utf-16")),
        CHECK,
        (
            "Error: {source}/VolumeTracings.csv: is UTF-16; save it as CSV in UTF-8 "
            "(iconv -f UTF-16 -t UTF-8"
        ),
    ),
    bad_row(
        "a table in another alphabet",
        cell(FILES, 3, "Split", "ÜBUNG"),
        "Split is 'ÜBUNG'; valid: TRAIN, VAL, TEST",
    ),
    refused(
        "a table in Windows' alphabet",
        steps(
            cell(FILES, 3, "Split", "ÜBUNG"),
            change("{source}/FileList.csv", lambda b: b.decode().encode("cp1252")),
        ),
        CHECK,
        (
            "Error: {source}/FileList.csv:3: is not UTF-8 (a byte is 0xdc); save it as "
            "CSV in UTF-8 (iconv -f"
        ),
    ),
    refused(
        "a table with a hole",
        change("{source}/FileList.csv", lambda b: b[:200] + bytes(50) + b[250:]),
        CHECK,
        "Error: {source}/FileList.csv:",
        "is no text (a byte is 0): damaged, or not a CSV file",
    ),
    refused(
        "an empty table",
        write("{source}/VolumeTracings.csv", ""),
        PREPARE,
        "Error: {source}/VolumeTracings.csv: its header () lacks column FileName",
    ),
    refused(
        "a header alone",
        rows(FILES, lambda t: t[:1]),
        PREPARE,
        "Error: {source}: no video is usable",
    ),
    refused(
        "a folder as a table",
        folder("{source}/FileList.csv"),
        CHECK,
        "Error: {source}/FileList.csv: cannot be read: Is a directory",
    ),
    refused(
        "an unreadable table",
        mode("{source}/FileList.csv", 0),
        CHECK,
        "Error: {source}/FileList.csv: cannot be read: Permission denied",
    ),
    refused(
        "a table that links to itself",
        link("{source}/FileList.csv", "FileList.csv"),
        CHECK,
        "Error: {source}: no FileList.csv here",
    ),
    refused(
        "only videos that cannot be used",
        rows(FILES, lambda t: [t[0], *([*row[:-1], "?"] for row in t[1:])]),
        PREPARE,
        (
            "Error: {source}: no video is usable; what is wrong: echolm data check "
            "echonet-dynamic {source}"
        ),
    ),
    refused(
        "no folder of videos",
        remove("{source}/Videos"),
        PREPARE,
        "Error: {source}: no Videos here; give the folder that holds FileList.csv",
    ),
    refused(
        "a file as the videos",
        steps(remove("{source}/Videos"), write("{source}/Videos", "")),
        CHECK,
        "Error: {source}/Videos: cannot be listed: Not a directory",
    ),
    refused(
        "a patient in three splits",
        rows(FILES, one_patient),
        PREPARE,
        "Error: {source}: FileList.csv: patient P1 is in train (",
        " and val (",
        " and test (",
    ),
    # a preparation or a phantom that stopped
    refused(
        "a damaged plan",
        write("{workspace}/data/new/partial/plan.json", "{"),
        PREPARE,
        (
            "Error: {workspace}/data/new/partial/plan.json: damaged; remove "
            "{workspace}/data/new and type it again"
        ),
        leaves=("workspace/data/new/partial/lock",),
    ),
    accepted(
        "a damaged part",
        steps(cut(VIDEO), ran(PREPARE, 1), cut("{workspace}/data/new/partial/part-00000.json")),
        f"{PREPARE} --skip-unreadable",
        "11 videos (",
        "1 left out (problems.csv)",
        leaves=(*STORE, "workspace/data/new/partial", *PARTIAL),
    ),
    accepted(
        "truncated frames of a part",
        steps(cut(VIDEO), ran(PREPARE, 1), cut("{workspace}/data/new/partial/part-00000.bin")),
        f"{PREPARE} --skip-unreadable",
        "11 videos (",
        "1 left out (problems.csv)",
        leaves=(*STORE, "workspace/data/new/partial", *PARTIAL),
    ),
    refused(
        "a full disk while preparing",
        small_disk("{workspace}/data/new", "64k"),
        PREPARE,
        (
            "Error: {workspace}/data/new/partial/part-00000.bin: cannot be written: No "
            "space left on device; no store was made, type it again to continue"
        ),
        leaves=PARTIAL[:2],
    ),
    refused(
        "a full disk while merging",
        small_disk("{workspace}/data/new", "3m"),
        PREPARE,
        (
            "Error: {workspace}/data/new/frames.bin: cannot be written: No space left on "
            "device; no store was made, type it again to continue"
        ),
        leaves=(*PARTIAL, "workspace/data/new/frames.bin"),
    ),
    refused(
        "a full disk while making a phantom",
        small_disk("{root}/phantom", "300k"),
        "echolm data phantom echonet-dynamic {root}/phantom",
        "Error: {root}/phantom/Videos/",
        ".avi: cannot be written: No space left on device; the phantom is not whole, type the same "
        "again to continue",
        leaves=("phantom/phantom.json", "phantom/unfinished.jsonl", "phantom/Videos/*.avi"),
    ),
    # what looks bad and is accepted
    accepted(
        "a byte-order mark",
        change("{source}/FileList.csv", lambda b: b"\xef\xbb\xbf" + b),
        CHECK,
        *GOOD,
    ),
    accepted(
        "Windows line ends",
        change("{source}/VolumeTracings.csv", lambda b: b.replace(b"\n", b"\r\n")),
        CHECK,
        *GOOD,
    ),
    # EchoNet-Dynamic has such contours; whether a frame is used is decided by its 21 rows
    accepted("a contour that crosses itself", rows(TRACINGS, crossing), CHECK, *GOOD),
]
