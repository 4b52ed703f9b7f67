"""The corpus as a table: what is bad, how it is made of a good input, what is typed, and what must come of it.

Words in braces are the names of ``Place``. What every case promises beside this is in ``test_bad_input.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from bad_input_support import (
    Make,
    avi,
    cell,
    change,
    code,
    config,
    cut,
    dicom,
    folder,
    grid,
    holder_gone,
    link,
    mode,
    ran,
    remove,
    rows,
    small_disk,
    steps,
    swap,
    uncollected,
    weights,
    write,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """``says``: fragments of exactly one line. ``leaves``: patterns of the only paths that the command may make or
    change, relative to the root; folders on the way to them are implied."""

    name: str
    made: Make
    typed: str
    says: tuple[str, ...]
    status: int = 1
    leaves: tuple[str, ...] = ()


PARTS = ("plan.json", "lock", "part-00000.bin", "part-00000.json")
PARTIAL = tuple(f"workspace/data/new/partial/{name}" for name in PARTS)
"""A preparation that the same command continues."""
STORE = tuple(f"workspace/data/new/{name}" for name in ("frames.bin", "index.parquet", "problems.csv", "store.json"))
ATTEMPT = ("holder.json", "heartbeat", "events.jsonl", "log.txt")
FAILED = ("workspace/runs/*/config.json", *(f"workspace/runs/*/attempts/1/{name}" for name in ATTEMPT))
"""The record of an attempt that failed; its last event says so."""
FAILED_OWN = (*FAILED, "workspace/cache/sha256.json")
COMPLETE = ("workspace/runs/*/attempts/2/*", "workspace/runs/*/summary.json")
COLLECTED = ("workspace/mlflow/*", "workspace/results/grid/runs.parquet", "workspace/results/grid/predictions")

VIDEO = "{source}/Videos/{sample}.avi"
FILES, TRACINGS = "FileList.csv", "VolumeTracings.csv"
CHECK = "echolm data check echonet-dynamic {source}"
PREPARE = "echolm data prepare echonet-dynamic {source} --name new --workers 1"
GOOD = ("12 videos usable (8 train, 2 val, 2 test), problems: 0",)


def crossing(table: list[list[str]]) -> list[list[str]]:
    """A chord with its ends exchanged."""
    name, x1, y1, x2, y2, frame = table[47]
    return [*table[:47], [name, x2, y2, x1, y1, frame], *table[48:]]


def traced_at(frame: str) -> Make:
    """The 21 rows of the sample's first traced frame, at another frame."""
    return rows(TRACINGS, lambda t: [[*row[:5], frame] if 43 <= i < 64 else row for i, row in enumerate(t)])


def one_patient(table: list[list[str]]) -> list[list[str]]:
    """All videos of one patient."""
    return [[*row, "P1" if i else "Patient"] for i, row in enumerate(table)]


DATA = [
    # a video that is not what its row says
    Case("a missing video", remove(VIDEO), CHECK, ("FileList.csv:3: {sample}: no video Videos/{sample}.avi",), 0),
    Case("a folder as a video", folder(VIDEO), CHECK, ("FileList.csv:3: {sample}: no video Videos/{sample}.avi",), 0),
    Case("a link to nothing as a video", link(VIDEO, "away.avi"), CHECK,
        ("FileList.csv:3: {sample}: no video Videos/{sample}.avi",), 0),
    Case("a link to itself as a video", link(VIDEO, "{sample}.avi"), CHECK,
        ("FileList.csv:3: {sample}: no video Videos/{sample}.avi (Too many levels of symbolic links)",), 0),
    Case("a truncated video", cut(VIDEO), PREPARE,
        ("Error: Videos/{sample}.avi: {sample}: frame", "damaged or truncated"), 1, PARTIAL),
    Case("a truncated video to leave out", cut(VIDEO), f"{PREPARE} --skip-unreadable",
        ("11 videos (", "1 left out (problems.csv)"), 0, STORE),
    Case("a video of H.264", avi(VIDEO, "h264", "yuv420p"), PREPARE,
        ("Error: Videos/{sample}.avi", "is h264 (yuv420p); valid: MJPEG", "ffmpeg -i"), 1, PARTIAL),
    Case("a video of PNG pictures", avi(VIDEO, "png", "gray"), PREPARE,
        ("Error: Videos/{sample}.avi", "is png (gray); valid: MJPEG"), 1, PARTIAL),
    Case("a video without frames", avi(VIDEO, frames=0), PREPARE,
        ("Error: Videos/{sample}.avi: {sample}: holds no frames",), 1, PARTIAL),
    Case("a video of H.264 without frames", avi(VIDEO, "h264", "yuv420p", frames=0), PREPARE,
        ("Error: Videos/{sample}.avi: {sample}: holds no frames",), 1, PARTIAL),
    Case("a video of a codec that nobody knows", change(VIDEO, lambda b: b.replace(b"MJPG", b"ABCD")), PREPARE,
        ("Error: Videos/{sample}.avi", "is of an unknown codec; valid: MJPEG"), 1, PARTIAL),
    Case("a video of another size", avi(VIDEO, size=64), PREPARE,
        ("Error: Videos/{sample}.avi", "is 64 x 64 pixels; its labels are for 112 x 112"), 1, PARTIAL),
    Case("a video of zero bytes", write(VIDEO, ""), PREPARE, ("Error: Videos/{sample}.avi", "not a video"), 1, PARTIAL),
    Case("text as a video", write(VIDEO, "not found"), PREPARE, ("Error: Videos/{sample}.avi", "not a video"), 1,
        PARTIAL),
    Case("fewer frames than listed", avi(VIDEO, frames=5), PREPARE,
        ("Error: Videos/{sample}.avi", "has no frame 5; it holds 5 frames"), 1, PARTIAL),
    Case("an unreadable video", mode(VIDEO, 0), PREPARE,
        ("Error: Videos/{sample}.avi", "cannot be read: Permission denied"), 1, PARTIAL),
    Case("a DICOM loop of very many frames",
        steps(dicom(VIDEO, NumberOfFrames=10**12), cell(FILES, 3, "NumberOfFrames", "30")), f"{PREPARE} --clips all",
        ("Error: Videos/{sample}.avi: {sample}: its field NumberOfFrames is 1000000000000, but its pixels, ",), 1,
        PARTIAL),
    # a row that cannot be used
    Case("very many frames", cell(FILES, 3, "NumberOfFrames", "1000000000000"), f"{CHECK}",
        ("FileList.csv:3: {sample}: NumberOfFrames is '1000000000000'; valid: 1 to 100000",), 0),
    Case("very many frames to leave out", cell(FILES, 3, "NumberOfFrames", "1e12"), f"{PREPARE} --clips all",
        ("11 videos (", "1 left out (problems.csv)"), 0, STORE),
    Case("a traced frame beyond the end", traced_at("9000"), CHECK,
        ("VolumeTracings.csv:44: {sample}: traced frame 9000 is outside the video's",), 0),
    Case("a negative frame", traced_at("-1"), CHECK,
        ("VolumeTracings.csv:44: {sample}: traced frame -1 is outside the video's",), 0),
    Case("half a frame", traced_at("5.5"), CHECK,
        ("VolumeTracings.csv:44: {sample}: Frame is '5.5', not a whole number",), 0),
    Case("a NaN coordinate", cell(TRACINGS, 50, "X1", "nan"), CHECK,
        ("VolumeTracings.csv:50: {sample}: X1 is 'nan', not a number",), 0),
    Case("a coordinate of another planet", cell(TRACINGS, 50, "X1", "1e39"), CHECK,
        ("VolumeTracings.csv:50: {sample}: X1 is 1e+39, far outside the picture of 112 pixels; valid: -112 to 224",), 0),
    Case("a coordinate of another unit", cell(TRACINGS, 50, "Y2", "1e9"), CHECK,
        ("VolumeTracings.csv:50: {sample}: Y2 is 1e+09, far outside the picture of 112 pixels; valid: -112 to 224",), 0),
    Case("text in a number", cell(FILES, 3, "EF", "n/a"), CHECK,
        ("FileList.csv:3: {sample}: EF is 'n/a', not a number",), 0),
    Case("a decimal comma", cell(FILES, 3, "EF", "55,3"), CHECK,
        ("FileList.csv:3: {sample}: EF is '55,3', not a number",), 0),
    Case("a name twice", rows(FILES, lambda t: [*t, t[2]]), CHECK,
        ("FileList.csv:14: {sample}: the name stands in row 3 already; none of its rows is used",), 0),
    Case("a name that leads elsewhere", cell(FILES, 3, "FileName", "../{sample}"), CHECK,
        ("FileList.csv:3: ../{sample}: FileName '../{sample}' is not the name of a file",), 0),
    Case("an unknown split", cell(FILES, 3, "Split", "HOLDOUT"), CHECK,
        ("FileList.csv:3: {sample}: Split is 'HOLDOUT'; valid: TRAIN, VAL, TEST",), 0),
    Case("20 rows", rows(TRACINGS, lambda t: t[:50] + t[51:]), CHECK,
        ("VolumeTracings.csv:44: {sample}: frame", "is traced by 20 rows, not 21"), 0),
    Case("22 rows", rows(TRACINGS, lambda t: t[:50] + t[49:]), CHECK,
        ("VolumeTracings.csv:44: {sample}: frame", "is traced by 22 rows, not 21"), 0),
    Case("one traced frame", rows(TRACINGS, lambda t: t[:43] + t[64:]), CHECK,
        ("VolumeTracings.csv:44: {sample}: needs exactly two traced frames, has 1",), 0),
    Case("no traced frame", rows(TRACINGS, lambda t: t[:43] + t[85:]), CHECK,
        ("FileList.csv:3: {sample}: needs exactly two traced frames, has 0",), 0),
    Case("a truncated row", rows(TRACINGS, lambda t: [*t[:43], t[43][:3], *t[44:]]), CHECK,
        ("VolumeTracings.csv:44: {sample}: has 3 cells where the header has 6",), 0),
    # a table that cannot be used
    Case("a wrong header", swap("{source}/FileList.csv", "FileName", "Filename"), CHECK,
        ("Error: {source}/FileList.csv: its header", "lacks column FileName; needed: FileName,")),
    Case("a missing column", rows(FILES, lambda t: [row[:-1] for row in t]), PREPARE,
        ("Error: {source}/FileList.csv: its header", "lacks column Split; needed: ")),
    Case("semicolons for commas", change("{source}/FileList.csv", lambda b: b.replace(b",", b";")), CHECK,
        ("Error: {source}/FileList.csv: its header (FileName;EF;", "needed: FileName,EF,")),
    Case("a table in UTF-16", change("{source}/VolumeTracings.csv", lambda b: b.decode().encode("utf-16")), CHECK,
        ("Error: {source}/VolumeTracings.csv: is UTF-16; save it as CSV in UTF-8 (iconv -f UTF-16 -t UTF-8",)),
    Case("a table in another alphabet", cell(FILES, 3, "Split", "ÜBUNG"), CHECK,
        ("FileList.csv:3: {sample}: Split is 'ÜBUNG'; valid: TRAIN, VAL, TEST",), 0),
    Case("a table in Windows' alphabet",
        steps(cell(FILES, 3, "Split", "ÜBUNG"), change("{source}/FileList.csv", lambda b: b.decode().encode("cp1252"))),
        CHECK, ("Error: {source}/FileList.csv:3: is not UTF-8 (a byte is 0xdc); save it as CSV in UTF-8 (iconv -f",)),
    Case("a table with a hole", change("{source}/FileList.csv", lambda b: b[:200] + bytes(50) + b[250:]), CHECK,
        ("Error: {source}/FileList.csv:", "is no text (a byte is 0): damaged, or not a CSV file")),
    Case("an empty table", write("{source}/VolumeTracings.csv", ""), PREPARE,
        ("Error: {source}/VolumeTracings.csv: its header () lacks column FileName",)),
    Case("a header alone", rows(FILES, lambda t: t[:1]), PREPARE, ("Error: {source}: no video is usable",)),
    Case("a folder as a table", folder("{source}/FileList.csv"), CHECK,
        ("Error: {source}/FileList.csv: cannot be read: Is a directory",)),
    Case("an unreadable table", mode("{source}/FileList.csv", 0), CHECK,
        ("Error: {source}/FileList.csv: cannot be read: Permission denied",)),
    Case("a table that links to itself", link("{source}/FileList.csv", "FileList.csv"), CHECK,
        ("Error: {source}: no FileList.csv here",)),
    Case("no folder of videos", remove("{source}/Videos"), PREPARE,
        ("Error: {source}: no Videos here; give the folder that holds FileList.csv",)),
    Case("a file as the videos", steps(remove("{source}/Videos"), write("{source}/Videos", "")), CHECK,
        ("Error: {source}/Videos: cannot be listed: Not a directory",)),
    Case("a patient in three splits", rows(FILES, one_patient), PREPARE,
        ("Error: {source}: FileList.csv: patient P1 is in train (", " and val (", " and test (")),
    # a preparation or a phantom that stopped
    Case("a damaged plan", write("{workspace}/data/new/partial/plan.json", "{"), PREPARE,
        ("Error: {workspace}/data/new/partial/plan.json: damaged; remove {workspace}/data/new and type it again",), 1,
        ("workspace/data/new/partial/lock",)),
    Case("a damaged part", steps(cut(VIDEO), ran(PREPARE, 1), cut("{workspace}/data/new/partial/part-00000.json")),
        f"{PREPARE} --skip-unreadable", ("11 videos (", "1 left out (problems.csv)"), 0,
        (*STORE, "workspace/data/new/partial", *PARTIAL)),
    Case("truncated frames of a part", steps(cut(VIDEO), ran(PREPARE, 1), cut("{workspace}/data/new/partial/part-00000.bin")),
        f"{PREPARE} --skip-unreadable", ("11 videos (", "1 left out (problems.csv)"), 0,
        (*STORE, "workspace/data/new/partial", *PARTIAL)),
    Case("a full disk while preparing", small_disk("{workspace}/data/new", "64k"), PREPARE,
        ("Error: {workspace}/data/new/partial/part-00000.bin: cannot be written: No space left on device; no store was "
            "made, type it again to continue",), 1, PARTIAL[:2]),
    Case("a full disk while merging", small_disk("{workspace}/data/new", "3m"), PREPARE,
        ("Error: {workspace}/data/new/frames.bin: cannot be written: No space left on device; no store was made, type it again to continue",), 1,
        (*PARTIAL, "workspace/data/new/frames.bin")),
    Case("a full disk while making a phantom", small_disk("{root}/phantom", "300k"),
        "echolm data phantom echonet-dynamic {root}/phantom",
        ("Error: {root}/phantom/Videos/", ".avi: cannot be written: No space left on device; no phantom was made")),
    # what looks bad and is accepted
    Case("a byte-order mark", change("{source}/FileList.csv", lambda b: b"\xef\xbb\xbf" + b), CHECK, GOOD, 0),
    Case("Windows line ends", change("{source}/VolumeTracings.csv", lambda b: b.replace(b"\n", b"\r\n")), CHECK, GOOD,
        0),
    # EchoNet-Dynamic has such contours; whether a frame is used is decided by its 21 rows
    Case("a contour that crosses itself", rows(TRACINGS, crossing), CHECK, GOOD, 0),
]

TRAIN = "echolm train {run} --quiet"
SHOW = "echolm grid show {grid}"
TOKENS = """
from typing import ClassVar, Literal
from echolm.heads import HEADS, Head

@HEADS.register
class Attentive(Head):
    needs: ClassVar[tuple[str, ...]] = ("tokens",)
    takes: ClassVar[Literal["vector", "features"]] = "features"
    name: Literal["attentive"] = "attentive"
"""
PLUGIN = "ECHOLM_PLUGINS=own_heads "

CONFIGS = [
    # a run
    Case("an unknown field", config(heda="mlp"), TRAIN, ("Error: {run}: unknown field 'heda'; did you mean 'head'?",)),
    Case("text for a number", config(epochs="many"), TRAIN,
        ("Error: {run}: epochs: Input should be a valid integer", "(given 'many')")),
    Case("a list for a head", config(head=["mlp"]), TRAIN,
        ("Error: {run}: head: a head is a name or a mapping with 'name'; valid names: ",)),
    Case("no head", config(head=None), TRAIN, ("Error: {run}: head: Field required",)),
    Case("more blocks than there are", config(trainable="k9"), TRAIN,
        ("Error: {run}: trainable.blocks: 9 of encoder tiny-r3d, which has 4; valid: k0 to k4, all",)),
    Case("an unknown encoder", config(encoder="tiny-r4d"), TRAIN,
        ("Error: {run}: encoder: unknown encoder 'tiny-r4d'; did you mean 'tiny-r3d'?",)),
    Case("a negative number of epochs", config(epochs=-3), TRAIN,
        ("Error: {run}: epochs: ", "greater than or equal to 1", "(given -3)")),
    Case("a NaN learning rate", config(optimizer={"name": "adam", "lr": float("nan")}), TRAIN,
        ("Error: {run}: optimizer.lr: ", "finite", "(given nan)")),
    Case("a seed as text", config(seed="first"), TRAIN,
        ("Error: {run}: seed: Input should be a valid integer", "(given 'first')")),
    Case("a store that is not there", config(data="camus"), TRAIN,
        ("Error: {workspace}/data/camus: no clip store here; make one with: echolm data prepare",)),
    Case("a key twice", write("{run}", "data: phantom\nepochs: 1\nepochs: 2\n"), TRAIN,
        ("Error: {run}: not valid YAML: 'epochs' is given twice", "line 3")),
    Case("tabs as indentation", write("{run}", "data:\n\tname: phantom\n"), TRAIN,
        ("Error: {run}: not valid YAML: ", "line 2")),
    Case("a bracket that stays open", write("{run}", "data: [phantom\n"), TRAIN,
        ("Error: {run}: not valid YAML: ", "line 1")),
    Case("1000 brackets that stay open", write("{run}", "[" * 1000), TRAIN,
        ("Error: {run}: not valid YAML: nested too deeply",)),
    Case("bytes that are no text", write("{run}", bytes(range(256))), TRAIN, ("Error: {run}: not valid YAML: ",)),
    Case("YAML that would run code",
        write("{run}", "data: !!python/object/apply:os.system ['touch {root}/the-code-ran']\n"), TRAIN,
        ("Error: {run}: not valid YAML: ", "python/object/apply")),
    Case("an empty file", write("{run}", ""), TRAIN,
        ("Error: {run}: a run's configuration is empty; valid: a mapping with data,",)),
    Case("a folder as a configuration", folder("{run}"), TRAIN, ("Error: {run}: cannot be read: Is a directory",)),
    Case("an unreadable configuration", mode("{run}", 0), TRAIN, ("Error: {run}: cannot be read: Permission denied",)),
    # a grid
    Case("an axis without values", grid({"head": []}), SHOW,
        ("Error: {grid}: axes.head: an axis needs at least one value",)),
    Case("an axis that is no field", grid({"hed": ["mlp"]}), SHOW,
        ("Error: {grid}: axes.hed: a run has no field 'hed'; did you mean 'head'?",)),
    Case("an unknown encoder on an axis", grid({"encoder": ["tiny-r3d", "r3d18"]}), "echolm status {grid}",
        ("Error: {grid}: cell encoder=r3d18: encoder: unknown encoder 'r3d18'; did you mean 'r3d-18'?",)),
    Case("too many blocks on an axis", grid({"trainable": ["k4", "k5"]}), "echolm launch {grid}",
        ("Error: {grid}: cell trainable=k5: trainable.blocks: 5 of encoder tiny-r3d, which has 4",)),
    Case("a list as a grid", write("{grid}", "- mlp\n"), "echolm launch {grid}",
        ("Error: {grid}: a grid definition is a mapping with 'axes'; this is list",)),
    Case("an unknown grid", steps(), "echolm launch dmeo",
        ("Error: no grid 'dmeo'; did you mean 'demo'?", "or give the path of a .yaml file")),
    Case("an unknown axis", steps(), "echolm launch {grid} --where heda=mlp",
        ("Error: --where heda=...: grid grid has no such axis; did you mean 'head'?",)),
    Case("an unknown label", steps(), "echolm cancel {grid} --where head=mpl",
        ("Error: --where head=mpl: no cell has it; did you mean 'mlp'?",)),
    # a plugin
    Case("a plugin that is not there", steps(), PLUGIN + SHOW,
        ("Error: ECHOLM_PLUGINS names 'own_heads', which cannot be imported: ModuleNotFoundError",)),
    Case("a plugin that is no Python", write("{root}/own_heads.py", "def"), PLUGIN + SHOW,
        ("Error: ECHOLM_PLUGINS names 'own_heads', which cannot be imported: SyntaxError",)),
    Case("a head that needs tokens",
        steps(write("{root}/own_heads.py", TOKENS), grid({"head": ["attentive"], "encoder": ["tiny-r3d", "none"]})),
        PLUGIN + SHOW, ("Error: {grid}: cell head=attentive encoder=none: ",
            "attentive needs tokens, which encoder none does not give; it gives pooled")),
]

OWN = "{root}/own.pt"
FROM_OWN = config(weights=f"file:{OWN}")
PUBLISHED = {"encoder": "r3d-18", "weights": "published:kinetics400"}
REMEDY = ("encoder r3d-18: {workspace}/weights/r3d_18-b3b3357e.pth is not there; get it from https://",
    "(licence: BSD-3-Clause", "ECHOLM_WEIGHTS")

WEIGHTS = [
    Case("another model's weights", steps(FROM_OWN, weights("tiny-mvit", OWN)), TRAIN,
        ("failed: ", "{root}/own.pt: not weights of encoder tiny-r3d: missing: stem.", "; unexpected: "), 1,
        FAILED_OWN),
    Case("truncated weights", steps(FROM_OWN, weights("tiny-r3d", OWN), cut(OWN)), TRAIN,
        ("failed: ", "{root}/own.pt: ", "truncated, or not a checkpoint"), 1, FAILED_OWN),
    Case("a pickle with code", steps(FROM_OWN, code(OWN)), TRAIN,
        ("failed: ", "{root}/own.pt: ", "it holds Python objects", "which are never run"), 1, FAILED_OWN),
    Case("a pickle with code, checked", code(OWN), f"echolm weights check tiny-r3d {OWN}",
        ("Error: {root}/own.pt: ", "which are never run")),
    Case("text as weights", steps(FROM_OWN, write(OWN, "version https://git-lfs.github.com/spec/v1\n")), TRAIN,
        ("failed: ", "{root}/own.pt: ", "truncated, or not a checkpoint"), 1, FAILED_OWN),
    Case("empty weights", steps(FROM_OWN, write(OWN, "")), TRAIN, ("failed: ", "{root}/own.pt: ", "the file is empty"),
        1, FAILED_OWN),
    Case("weights that are not there", FROM_OWN, TRAIN,
        ("Error: weights file:{root}/own.pt of encoder tiny-r3d: {root}/own.pt is not there; check the path",)),
    Case("unreadable weights", steps(FROM_OWN, write(OWN, ""), mode(OWN, 0)), TRAIN,
        ("Error: {root}/own.pt: Permission denied",)),
    Case("no published weights", config(**PUBLISHED), TRAIN, ("Error: weights ", *REMEDY)),
    Case("no published weights for a grid",
        grid({name: [value] for name, value in PUBLISHED.items()} | {"seed": [0, 1]}),
        "echolm launch {grid} --no-collect", ("2 cells cannot run (", *REMEDY), 1,
        ("workspace/grids/grid/cells.json",)),
    Case("another file under the published name",
        steps(config(**PUBLISHED), weights("tiny-r3d", "{workspace}/weights/r3d_18-b3b3357e.pth")), TRAIN,
        ("failed: ", "r3d_18-b3b3357e.pth: not weights of encoder r3d-18: missing: ",
            "Meant is r3d_18-b3b3357e.pth (https://"), 1, FAILED_OWN),
    Case("weights of a run that is not there", config(weights="run:0123456789abcdef"), TRAIN,
        ("Error: weights run:0123456789abcdef: no complete run of that cell",
            "train it first: echolm train 0123456789abcdef")),
]

NEW = config(seed=7)
COLLECT = "echolm collect"
PREDICT = "echolm predict {cell} {source}/Videos/{sample}.avi --ed 5 --es 12 --out {root}/picture.png"
SEARCH = "echolm predict {cell} {source}/Videos/{sample}.avi --out {root}/small/picture.png"
VIDEOS = "echolm predict {cell} {source}/Videos --out {root}/new"
UNSUMMED = remove("{record}/summary.json")
STOPPED = steps(UNSUMMED, cut("{record}/attempts/1/events.jsonl", 0.8), holder_gone)
"""The run as a power cut would leave it: no summary, and half an event at the end."""
BEST = "{record}/attempts/1/best.safetensors"

RECORDS = [
    # a run that goes on, or not
    Case("half-written events", STOPPED, TRAIN, ("complete",), 0, COMPLETE),
    Case("a damaged checkpoint",
        steps(STOPPED, write("{record}/attempts/1/checkpoint-00001-0000000-0123456789abcdef.pt", "x")), TRAIN,
        ("complete",), 0, (*COMPLETE, "*/checkpoint-*.pt")),
    Case("a foreign folder in the record's place",
        steps(UNSUMMED, write("{record}/config.json", '{"name": "a web page"}')), TRAIN,
        ("failed: ", "{record}/config.json: holds fingerprint None, not", "move the folder away")),
    Case("a file in the record's place", steps(remove("{record}"), write("{record}", "x")), TRAIN,
        ("Error: {record}/summary.json: Not a directory",)),
    Case("runs that may not be written", steps(NEW, mode("{workspace}/runs", 0o555)), TRAIN,
        ("failed: ", "{workspace}/runs/", "cannot be written: Permission denied")),
    Case("a record that may not be written", steps(UNSUMMED, mode("{record}/attempts", 0o555)), TRAIN,
        ("failed: ", "{record}/attempts/2: cannot be written: Permission denied")),
    Case("a full disk while training", steps(NEW, small_disk("{workspace}/runs", "300k")), TRAIN,
        ("failed: ", "best-00000.safetensors: cannot be written: No space left on device"), 1, FAILED),
    Case("a cancelled cell in a table", ran("echolm cancel {grid} --where head=gcn"), "echolm tables grid",
        ("- gcn: seeds 0, 1: the run was cancelled; type: `echolm retry ", "/grid.yaml --where head=gcn`"), 0),
    # a damaged record
    Case("a damaged config.json, predicted from", cut("{record}/config.json"), PREDICT,
        ("Error: {record}/config.json: damaged (", "delete it or restore it from a copy")),
    Case("a damaged config.json, collected", steps(uncollected, cut("{record}/config.json")), COLLECT,
        ("problem: {record}/config.json: damaged (",), 0, COLLECTED),
    Case("another program's config.json", write("{record}/config.json", "{}"), "echolm grid explain {cell}",
        ("Error: {record}/config.json: has no field",)),
    Case("a damaged summary.json, predicted from", cut("{record}/summary.json"), PREDICT,
        ("Error: {record}/summary.json: damaged (",)),
    Case("a damaged summary.json, collected", steps(uncollected, cut("{record}/summary.json")), COLLECT,
        ("problem: {record}/summary.json: damaged (",), 0, COLLECTED),
    Case("a damaged summary.json, trained again", cut("{record}/summary.json"), TRAIN,
        ("Error: {record}/summary.json: damaged (",)),
    Case("another program's summary.json", write("{record}/summary.json", "{}"), PREDICT,
        ("Error: {record}/summary.json: has no field 'attempt'",)),
    Case("truncated best weights", cut(BEST), PREDICT,
        ("Error: {record}/attempts/1/best.safetensors: damaged: its SHA-256",
            "delete the folder {record} and train the cell again")),
    Case("best weights with another byte", change(BEST, lambda b: b[:-1] + bytes([b[-1] ^ 1])), PREDICT,
        ("Error: {record}/attempts/1/best.safetensors: damaged: its SHA-256",)),
    Case("no best weights", remove(BEST), PREDICT,
        ("Error: {record}/attempts/1/best.safetensors: cannot be read: No such file", "train the cell again")),
    Case("truncated predictions", steps(uncollected, cut("{record}/attempts/1/predictions.parquet")), COLLECT,
        ("problem: {record}/attempts/1/predictions.parquet: damaged (SHA-256", "launch the cell again"), 0, COLLECTED),
    # clips to predict
    Case("a full disk where a picture is", steps(small_disk("{root}/small", "16k"), write("{root}/small/picture.png", "old")), SEARCH,
        ("Error: {root}/small/picture.png: cannot be written: No space left on device",)),
    Case("a full disk where a contour video goes", small_disk("{root}/small", "16k"),
        "echolm predict {cell} {source}/Videos/{sample}.avi --ed 5 --es 12 --out {root}/picture.png --video {root}/small/film.mp4",
        ("Error: {root}/small/film.mp4: cannot be written: No space left on device",), 1, ("picture.png",)),
    Case("a full disk in a folder of predictions", small_disk("{root}/new", "16k"), VIDEOS,
        ("Error: {root}/new/", ".png: cannot be written: No space left on device"), 1, ("new/predictions.csv",)),
    Case("a truncated video, phases searched", cut(VIDEO), SEARCH, ("Error: " + VIDEO + ": frame ", "is damaged or truncated")),
    Case("a truncated video in a folder", cut(VIDEO), VIDEOS, (VIDEO + ": frame ", "is damaged or truncated"), 1, ("new/*",)),
    Case("a folder without clips", folder("{root}/empty"), "echolm predict {cell} {root}/empty --out {root}/new",
        ("Error: {root}/empty: no AVI or DICOM file directly in it",)),
    Case("a contour video of another kind", steps(), SEARCH + " --video {root}/film.mkv",
        ("Error: --video {root}/film.mkv: .mkv is no kind of video; valid: .mp4, .avi, .gif",)),
    Case("another program's predictions.csv", write("{root}/new/predictions.csv", "a,b\n1,2\n"), VIDEOS,
        ("Error: {root}/new/predictions.csv: its header (a,b) lacks column",)),
    # damage beside the records
    Case("a damaged cells.json", write("{workspace}/grids/grid/cells.json", "{"), "echolm logs {cell}",
        ("Error: {workspace}/grids/grid/cells.json: damaged (",)),
    Case("another program's cells.json", write("{workspace}/grids/grid/cells.json", "{}"), "echolm train {cell}",
        ("Error: {workspace}/grids/grid/cells.json: has no field 'cells'",)),
    Case("a truncated runs.parquet", cut("{workspace}/results/grid/runs.parquet"), "echolm tables grid",
        ("Error: {workspace}/results/grid/runs.parquet: cannot be read (", "delete it and type: echolm collect")),
    Case("text as a tracking database", steps(uncollected, write("{workspace}/mlflow/mlflow.db", "x" * 5000)), COLLECT,
        ("Error: tracking store sqlite:///{workspace}/mlflow/mlflow.db cannot be used: ", "file is not a database"), 1,
        ("*/mlflow.db.lock",)),
    Case("a truncated tracking database", steps(uncollected, cut("{workspace}/mlflow/mlflow.db")), COLLECT,
        ("Error: tracking store sqlite:///{workspace}/mlflow/mlflow.db cannot be used: ", "malformed"), 1,
        ("*/mlflow.db.lock",)),
    Case("a read-only tracking database", steps(uncollected, mode("{workspace}/mlflow/mlflow.db", 0o444)), COLLECT,
        ("Error: tracking store sqlite:///{workspace}/mlflow/mlflow.db cannot be used: ", "readonly database"), 1,
        ("*/mlflow.db.lock",)),
    Case("a folder as a tracking address", steps(), f"{COLLECT} --tracking-uri mlruns",
        ("Error: tracking URI 'mlruns' cannot be used; valid: sqlite:////",)),
    Case("results that may not be written", steps(cut("{workspace}/results/grid/runs.parquet"), mode("{workspace}/results/grid", 0o555)),
        COLLECT,
        ("Error: {workspace}/results/grid/runs.parquet: cannot be written: ", "Permission denied")),
    Case("a full disk while collecting", steps(remove("{workspace}/results"), small_disk("{workspace}/results", "4k")),
        COLLECT,
        ("Error: {workspace}/results/grid/predictions/", ".parquet: cannot be written: No space left on device"), 1,
        ("workspace/results/grid/predictions",)),
]

STORES = [
    Case("a store of another schema", steps(NEW, swap("{store}/store.json", '"schema": 1', '"schema": 99')), TRAIN,
        ("Error: {store}: a clip store of schema 99; valid: 1. Prepare it again",)),
    Case("a damaged store.json", steps(NEW, cut("{store}/store.json")), TRAIN,
        ("Error: {store}/store.json: not a clip store's: ",)),
    Case("a damaged store.json, listed", cut("{store}/store.json"), "echolm data list",
        ("phantom ", "{store}/store.json: not a clip store's: "), 0),
    Case("no store.json", steps(NEW, remove("{store}/store.json")), TRAIN,
        ("Error: {store}: not a clip store (no store.json); make one with: echolm data prepare",)),
    Case("a store that links to itself", steps(NEW, link("{store}", "phantom")), TRAIN,
        ("Error: {store}/store.json: cannot be read: Too many levels of symbolic links",)),
    Case("a truncated frames.bin", steps(NEW, cut("{store}/frames.bin")), TRAIN,
        ("failed: ", "{store}/frames.bin: has ", "bytes, the index says ", "; prepare the store again"), 1, FAILED),
    Case("a truncated frames.bin for a grid", steps(grid({"seed": [7]}), cut("{store}/frames.bin")),
        "echolm launch {grid} --slots 1 --no-collect", ("failed ", "{store}/frames.bin: has "), 1,
        (*FAILED, "workspace/grids/grid/cells.json", "workspace/grids/grid/workers/0.log")),
    Case("an unreadable frames.bin", steps(NEW, mode("{store}/frames.bin", 0)), TRAIN,
        ("failed: ", "{store}/frames.bin: cannot be read: Permission denied"), 1, FAILED),
    Case("a truncated index", steps(NEW, cut("{store}/index.parquet")), TRAIN,
        ("failed: ", "{store}/index.parquet: damaged, or of another store than store.json; prepare the store again"), 1,
        FAILED),
    Case("a video that went after it was indexed",
        steps(ran(f"{PREPARE} --index-only"), config(data="new"), remove(VIDEO)), TRAIN,
        ("failed: ", "Videos/{sample}.avi"), 1, FAILED),
    Case("a store made from other files", cell(FILES, 3, "EF", "61"), PREPARE.replace("new", "phantom"),
        ("Error: {store}: was made from other files; choose another folder or name, or remove it first",)),
    Case("a store by another clip rule", steps(), PREPARE.replace("new", "phantom --clips all"),
        ("Error: {store}: was made by another clip rule (ed-to-es-16; asked for: all)",)),
    Case("a folder that is no store", write("{workspace}/data/new/thesis.doc", "x"), PREPARE,
        ("Error: {workspace}/data/new: holds other files and is no clip store; choose an empty or a new folder",)),
    Case("stores that may not be written", mode("{workspace}/data", 0o555), PREPARE,
        ("Error: {workspace}/data/new: Permission denied; no store was made",)),
    Case("a phantom into a full folder", steps(), "echolm data phantom echonet-dynamic {source}",
        ("Error: {source}: is not an empty folder; choose a new one for the phantom",)),
]

PREDICTIONS = [
    Case("text as a clip", write(VIDEO, "dear colleague"), PREDICT,
        ("Error: {source}/Videos/{sample}.avi: not a video",)),
    Case("a truncated clip", cut(VIDEO, 0.2), PREDICT, ("Error: {source}/Videos/{sample}.avi: ", "frame 12")),
    Case("a clip of H.264", avi(VIDEO, "h264", "yuv420p"), PREDICT,
        ("Error: {source}/Videos/{sample}.avi: is h264 (yuv420p); valid: MJPEG",)),
    Case("a DICOM clip of very many frames", dicom(VIDEO, NumberOfFrames=10**12), PREDICT,
        ("Error: {source}/Videos/{sample}.avi: its field NumberOfFrames is 1000000000000, but its pixels, ",)),
    Case("a clip that is not there", remove(VIDEO), PREDICT,
        ("Error: Invalid value for 'CLIP': File '{source}/Videos/{sample}.avi' does not exist.",), 2),
    Case("a frame beyond the end of a clip", steps(), PREDICT.replace("12", "9000"),
        ("Error: {source}/Videos/{sample}.avi: has no frame 9000; it holds",)),
    Case("a frame before the beginning of a clip", steps(), PREDICT.replace("12", "-12"),
        ("Error: Invalid value for '--es': -12 is not in the range x>=0.",), 2),
    Case("a cell that is not complete", UNSUMMED, PREDICT,
        ("Error: '{cell}' names 0 complete runs in {workspace}/runs",)),
    Case("a record that is not complete", UNSUMMED, PREDICT.replace("{cell}", "{record}"),
        ("Error: {record}: the run is interrupted, not complete; it has no best.safetensors",)),
    Case("a picture where none may be written", mode("{root}", 0o555), PREDICT,
        ("Error: {root}/picture.png: cannot be written: Permission denied",)),
    Case("a picture of no known kind", steps(), PREDICT.replace(".png", ".xyz"),
        ("Error: --out {root}/picture.xyz: .xyz is no kind of picture; valid: .png",)),
    Case("a full disk while drawing", small_disk("{root}/small", "8k"), PREDICT.replace("picture", "small/picture"),
        ("Error: {root}/small/picture.png: cannot be written: No space left on device",)),
]

CASES = [*DATA, *CONFIGS, *WEIGHTS, *RECORDS, *STORES, *PREDICTIONS]
