"""Cases of bad input: clip stores, and clips to predict. See ``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import (
    FAILED,
    FILES,
    NEW,
    PREDICT,
    PREPARE,
    TRAIN,
    UNSUMMED,
    VIDEO,
    accepted,
    failed_run,
    refused,
)
from bad_input_support import (
    cell,
    change,
    config,
    cut,
    dicom,
    grid,
    link,
    mode,
    ran,
    remove,
    rows,
    small_disk,
    steps,
    swap,
    write,
)

STORES = [
    refused(
        "a store of another schema",
        steps(NEW, swap("{store}/store.json", '"schema": 1', '"schema": 99')),
        TRAIN,
        "Error: {store}: a clip store of schema 99; valid: 1. Prepare it again",
    ),
    refused(
        "a damaged store.json",
        steps(NEW, cut("{store}/store.json")),
        TRAIN,
        "Error: {store}/store.json: not a clip store's: ",
    ),
    refused(
        "a store.json that says not where its videos are",
        steps(NEW, swap("{store}/store.json", '"index_only": false', '"index_only": true')),
        TRAIN,
        (
            "Error: {store}/store.json: not a clip store's: it reads from videos, and "
            "does not say where"
        ),
    ),
    accepted(
        "a damaged store.json, listed",
        cut("{store}/store.json"),
        "echolm data list",
        "phantom ",
        "{store}/store.json: not a clip store's: ",
    ),
    accepted(
        "a store on a disk that is away, listed",
        link("{store}", "/disk/that/is/away"),
        "echolm data list",
        "phantom ",
        "{store}: no clip store here; make one with: echolm data prepare",
    ),
    refused(
        "no store.json",
        steps(NEW, remove("{store}/store.json")),
        TRAIN,
        "Error: {store}: not a clip store (no store.json); make one with: echolm data prepare",
    ),
    refused(
        "a store that links to itself",
        steps(NEW, link("{store}", "phantom")),
        TRAIN,
        "Error: {store}/store.json: cannot be read: Too many levels of symbolic links",
    ),
    failed_run(
        "a truncated frames.bin",
        steps(NEW, cut("{store}/frames.bin")),
        "{store}/frames.bin: has ",
        "bytes, the index says ",
        "; prepare the store again",
    ),
    refused(
        "a truncated frames.bin for a grid",
        steps(grid({"seed": [7]}), cut("{store}/frames.bin")),
        "echolm launch {grid} --slots 1 --no-collect",
        "failed ",
        "{store}/frames.bin: has ",
        leaves=(
            *FAILED,
            "workspace/grids/grid/cells.json",
            "workspace/grids/grid/workers/*.log",
            "workspace/grids/grid/tracebacks*",
        ),
    ),
    failed_run(
        "frames.bin with zeros at its end",
        steps(NEW, change("{store}/frames.bin", lambda b: b[:-50_000] + bytes(50_000))),
        "{store}/frames.bin: damaged: the frames of 1 of 12 items are not those that were ",
        "); remove {store} and prepare it again: ",
    ),
    failed_run(
        "an unreadable frames.bin",
        steps(NEW, mode("{store}/frames.bin", 0)),
        "{store}/frames.bin: cannot be read: Permission denied",
    ),
    failed_run(
        "a truncated index",
        steps(NEW, cut("{store}/index.parquet")),
        (
            "{store}/index.parquet: damaged, or of another store than store.json; "
            "prepare the store again"
        ),
    ),
    failed_run(
        "a video that went after it was indexed",
        steps(ran(f"{PREPARE} --index-only"), config(data="new"), remove(VIDEO)),
        "Videos/{sample}.avi",
    ),
    refused(
        "a store made from other files",
        cell(FILES, 3, "EF", "61"),
        PREPARE.replace("new", "phantom"),
        (
            "Error: {store}: was made from other files; choose another folder or name, "
            "or remove it first"
        ),
    ),
    refused(
        "a store by another clip rule",
        steps(),
        PREPARE.replace("new", "phantom --clips all"),
        "Error: {store}: was made by another clip rule (ed-to-es-16; asked for: all)",
    ),
    refused(
        "a store without the frames of the task",
        steps(ran(f"{PREPARE} --clips image"), config(data="new")),
        TRAIN,
        "Error: {workspace}/data/new: does not hold the frames of clip ed-to-es that landmarks is "
        "learned from: it was prepared by clip rule image; prepare another store and name it "
        "in data: echolm data prepare echonet-dynamic PATH --clips ed-to-es-16 --name NAME",
    ),
    refused(
        "a store without a split that runs need",
        steps(
            rows(FILES, lambda t: [[*row[:-1], row[-1].replace("VAL", "TRAIN")] for row in t]),
            ran(PREPARE),
            config(data="new"),
        ),
        TRAIN,
        "Error: {workspace}/data/new: no run can be trained on it: no sample in split val; a run "
        "needs train, val, test; name another store in data",
    ),
    refused(
        "an unknown clip rule",
        steps(),
        f"{PREPARE} --clips uniform",
        "Error: unknown clip rule 'uniform'; did you mean 'uniform-16'? valid: all, ed-to-es-16, ",
    ),
    refused(
        "a folder that is no store",
        write("{workspace}/data/new/thesis.doc", "x"),
        PREPARE,
        (
            "Error: {workspace}/data/new: holds other files and is no clip store; choose "
            "an empty or a new folder"
        ),
    ),
    refused(
        "stores that may not be written",
        mode("{workspace}/data", 0o555),
        PREPARE,
        "Error: {workspace}/data/new: Permission denied; no store was made",
    ),
    refused(
        "a phantom into a full folder",
        steps(),
        "echolm data phantom echonet-dynamic {source}",
        "Error: {source}: is not an empty folder; choose a new one for the phantom",
    ),
]


PREDICTIONS = [
    refused(
        "text as a clip",
        write(VIDEO, "dear colleague"),
        PREDICT,
        "Error: {source}/Videos/{sample}.avi: not a video",
    ),
    refused(
        "a truncated clip",
        cut(VIDEO, 0.2),
        PREDICT,
        "Error: {source}/Videos/{sample}.avi: ",
        "damaged or truncated: holds",
    ),
    refused(
        "a DICOM clip of very many frames",
        dicom(VIDEO, NumberOfFrames=10**12),
        PREDICT,
        (
            "Error: {source}/Videos/{sample}.avi: its field NumberOfFrames is "
            "1000000000000, but its pixels, "
        ),
    ),
    refused(
        "a clip that is not there",
        remove(VIDEO),
        PREDICT,
        "Error: Invalid value for 'CLIP': Path '{source}/Videos/{sample}.avi' does not exist.",
        status=2,
    ),
    refused(
        "a frame beyond the end of a clip",
        steps(),
        PREDICT.replace("12", "9000"),
        "Error: {source}/Videos/{sample}.avi: has no frame 9000; it holds",
    ),
    refused(
        "a frame before the beginning of a clip",
        steps(),
        PREDICT.replace("12", "-12"),
        "Error: Invalid value for '--es': -12 is not in the range x>=0.",
        status=2,
    ),
    refused(
        "a cell that is not complete",
        UNSUMMED,
        PREDICT,
        (
            "Error: '{cell}' names 0 complete runs in {workspace}/runs; there are none "
            "yet, make some: echolm launch GRID"
        ),
    ),
    refused(
        "a record that is not complete",
        UNSUMMED,
        PREDICT.replace("{cell}", "{record}"),
        "Error: {record}: the run is interrupted, not complete; it has no best.safetensors",
    ),
    refused(
        "a picture where none may be written",
        mode("{root}", 0o555),
        PREDICT,
        "Error: {root}/picture.png: cannot be written: Permission denied",
    ),
    refused(
        "a picture of no known kind",
        steps(),
        PREDICT.replace(".png", ".xyz"),
        "Error: --out {root}/picture.xyz: .xyz is no kind of picture; valid: .png",
    ),
    refused(
        "a full disk while drawing",
        small_disk("{root}/small", "8k"),
        PREDICT.replace("picture", "small/picture"),
        "Error: {root}/small/picture.png: cannot be written: No space left on device",
    ),
]
