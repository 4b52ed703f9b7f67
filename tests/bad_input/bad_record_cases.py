"""Cases of bad input: records, and what is collected and predicted. See ``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import (
    COLLECTED,
    COMPLETE,
    NEW,
    PREDICT,
    TRAIN,
    UNSUMMED,
    VIDEO,
    accepted,
    refused,
)
from bad_input_support import (
    change,
    cut,
    folder,
    holder_gone,
    mode,
    ran,
    remove,
    small_disk,
    steps,
    uncollected,
    write,
)

COLLECT = "echolm collect"
SEARCH = "echolm predict {cell} {source}/Videos/{sample}.avi --out {root}/small/picture.png"
VIDEOS = "echolm predict {cell} {source}/Videos --out {root}/new"
STOPPED = steps(UNSUMMED, cut("{record}/attempts/1/events.jsonl", 0.8), holder_gone)
"""The run as a power cut would leave it: no summary, and half an event at the end."""
EVENTS = (
    '{"event":"epoch"}\n{"event":5}\n[]\n{"event":"epoch","epoch":"x","metrics":[]}\n'
    '{"event":"failed","error":"no room"}\n'
)
CELLS = "{workspace}/grids/grid/cells.json"
BEST = "{record}/attempts/1/best.safetensors"

RECORDS = [
    # a run that goes on, or not
    accepted("half-written events", STOPPED, TRAIN, "complete", leaves=COMPLETE),
    accepted(
        "events without their fields",
        steps(UNSUMMED, write("{record}/attempts/1/events.jsonl", EVENTS)),
        "echolm status {grid}",
        "failed",
        "head=mlp seed=0",
        "no room",
    ),
    accepted(
        "a damaged checkpoint",
        steps(
            STOPPED, write("{record}/attempts/1/checkpoint-00001-0000000-0123456789abcdef.pt", "x")
        ),
        TRAIN,
        "complete",
        leaves=(*COMPLETE, "*/checkpoint-*.pt"),
    ),
    refused(
        "a foreign folder in the record's place",
        steps(UNSUMMED, write("{record}/config.json", '{"name": "a web page"}')),
        TRAIN,
        "failed: ",
        "{record}/config.json: holds fingerprint None, not",
        "move the folder away",
    ),
    refused(
        "a file in the record's place",
        steps(remove("{record}"), write("{record}", "x")),
        TRAIN,
        "Error: {record}/summary.json: Not a directory",
    ),
    refused(
        "runs that may not be written",
        steps(NEW, mode("{workspace}/runs", 0o555)),
        TRAIN,
        "failed: ",
        "{workspace}/runs/",
        "cannot be written: Permission denied",
    ),
    refused(
        "a record that may not be written",
        steps(UNSUMMED, mode("{record}/attempts", 0o555)),
        TRAIN,
        "failed: ",
        "{record}/attempts/2: cannot be written: Permission denied",
    ),
    refused(
        "a full disk while training",
        steps(NEW, small_disk("{workspace}/runs", "300k")),
        TRAIN,
        "best-00000.safetensors: cannot be written: No space left on device",
        leaves=("workspace/runs/*/config.json", "workspace/runs/*/attempts/1/*"),
    ),
    accepted(
        "a cancelled cell in a table",
        ran("echolm cancel {grid} --where head=gcn"),
        "echolm tables grid",
        "- gcn: seeds 0, 1: the run was cancelled; type: `echolm retry ",
        "grid.yaml --where head=gcn`",
        leaves=("workspace/results/grid/checked.json",),
    ),
    # a damaged record
    refused(
        "a damaged config.json, predicted from",
        cut("{record}/config.json"),
        PREDICT,
        "Error: {record}/config.json: damaged (",
        "delete it or restore it from a copy",
    ),
    refused(
        "a damaged config.json, collected",
        steps(uncollected, cut("{record}/config.json")),
        COLLECT,
        "problem: {record}/config.json: damaged (",
        leaves=COLLECTED,
    ),
    refused(
        "another program's config.json",
        write("{record}/config.json", "{}"),
        "echolm grid explain {cell}",
        "Error: {record}/config.json: has no field",
    ),
    refused(
        "a damaged summary.json, predicted from",
        cut("{record}/summary.json"),
        PREDICT,
        "Error: {record}/summary.json: damaged (",
    ),
    refused(
        "a damaged summary.json, collected",
        steps(uncollected, cut("{record}/summary.json")),
        COLLECT,
        "problem: {record}/summary.json: damaged (",
        leaves=COLLECTED,
    ),
    refused(
        "a damaged summary.json, trained again",
        cut("{record}/summary.json"),
        TRAIN,
        "Error: {record}/summary.json: damaged (",
    ),
    refused(
        "another program's summary.json",
        write("{record}/summary.json", "{}"),
        PREDICT,
        "Error: {record}/summary.json: has no field 'attempt'",
    ),
    refused(
        "truncated best weights",
        cut(BEST),
        PREDICT,
        "Error: {record}/attempts/1/best.safetensors: damaged: its SHA-256",
        "delete the folder {record} and train the cell again",
    ),
    refused(
        "best weights with another byte",
        change(BEST, lambda b: b[:-1] + bytes([b[-1] ^ 1])),
        PREDICT,
        "Error: {record}/attempts/1/best.safetensors: damaged: its SHA-256",
    ),
    refused(
        "no best weights",
        remove(BEST),
        PREDICT,
        "Error: {record}/attempts/1/best.safetensors: cannot be read: No such file",
        "train the cell again",
    ),
    refused(
        "truncated predictions",
        steps(uncollected, cut("{record}/attempts/1/predictions.parquet")),
        COLLECT,
        "problem: {record}/attempts/1/predictions.parquet: damaged (SHA-256",
        "launch the cell again",
        leaves=COLLECTED,
    ),
    # clips to predict
    refused(
        "a full disk where a picture is",
        steps(small_disk("{root}/small", "16k"), write("{root}/small/picture.png", "old")),
        SEARCH,
        "Error: {root}/small/picture.png: cannot be written: No space left on device",
    ),
    refused(
        "a full disk where a contour video goes",
        small_disk("{root}/small", "16k"),
        (
            "echolm predict {cell} {source}/Videos/{sample}.avi --ed 5 --es 12 --out "
            "{root}/picture.png --video {root}/small/film.mp4"
        ),
        "Error: {root}/small/film.mp4: cannot be written: No space left on device",
        leaves=("picture.png",),
    ),
    refused(
        "a full disk in a folder of predictions",
        small_disk("{root}/new", "16k"),
        VIDEOS,
        "Error: {root}/new/",
        ".png: cannot be written: No space left on device",
        leaves=("new/predictions.csv",),
    ),
    refused(
        "a truncated video, phases searched",
        cut(VIDEO),
        SEARCH,
        "Error: " + VIDEO + ": frame ",
        "is damaged or truncated",
    ),
    refused(
        "a truncated video in a folder",
        cut(VIDEO),
        VIDEOS,
        VIDEO + ": frame ",
        "is damaged or truncated",
        leaves=("new/*",),
    ),
    refused(
        "a folder without clips",
        folder("{root}/empty"),
        "echolm predict {cell} {root}/empty --out {root}/new",
        "Error: {root}/empty: no clip in it, nor in the folders in it; valid: videos",
    ),
    refused(
        "a contour video of another kind",
        steps(),
        SEARCH + " --video {root}/film.mkv",
        "Error: --video {root}/film.mkv: .mkv is no kind of video; valid: .mp4, .avi, .gif",
    ),
    refused(
        "another program's predictions.csv",
        write("{root}/new/predictions.csv", "a,b\n1,2\n"),
        VIDEOS,
        "Error: {root}/new/predictions.csv: its header (a,b) lacks column",
    ),
    # damage beside the records
    refused(
        "a damaged cells.json",
        write("{workspace}/grids/grid/cells.json", "{"),
        "echolm logs {cell}",
        "Error: {workspace}/grids/grid/cells.json: damaged (",
    ),
    refused(
        "another program's cells.json",
        write("{workspace}/grids/grid/cells.json", "{}"),
        "echolm train {cell}",
        "Error: {workspace}/grids/grid/cells.json: has no field 'cells'",
    ),
    refused(
        "cells.json with a list of cells",
        write(CELLS, '{"grid": "grid", "cells": []}'),
        "echolm logs {cell}",
        (
            "Error: {workspace}/grids/grid/cells.json: 'cells' is not a mapping of cell "
            "ids to cells with a 'config'"
        ),
    ),
    refused(
        "cells.json without configurations",
        write(CELLS, '{"grid": "grid", "cells": {"{cell}": {}}}'),
        "echolm train {cell}",
        "Error: {workspace}/grids/grid/cells.json: 'cells' is not a mapping",
    ),
    refused(
        "a table where none may be written",
        mode("{root}", 0o555),
        "echolm tables grid --out t.md",
        "Error: t.md: cannot be written: Permission denied",
        leaves=("workspace/results/grid/checked.json",),
    ),
    refused(
        "a truncated runs.parquet",
        cut("{workspace}/results/grid/runs.parquet"),
        "echolm tables grid",
        "Error: {workspace}/results/grid/runs.parquet: cannot be read (",
        "delete it and type: echolm collect",
    ),
    refused(
        "text as a tracking database",
        steps(uncollected, write("{workspace}/mlflow/mlflow.db", "x" * 5000)),
        COLLECT,
        "Error: tracking store sqlite:///{workspace}/mlflow/mlflow.db cannot be used: ",
        "file is not a database",
        leaves=("*/.mlflow.db.lock*",),
    ),
    refused(
        "a truncated tracking database",
        steps(uncollected, cut("{workspace}/mlflow/mlflow.db")),
        COLLECT,
        "Error: tracking store sqlite:///{workspace}/mlflow/mlflow.db cannot be used: ",
        "malformed",
        leaves=("*/.mlflow.db.lock*",),
    ),
    refused(
        "a read-only tracking database",
        steps(uncollected, mode("{workspace}/mlflow/mlflow.db", 0o444)),
        COLLECT,
        "Error: {workspace}/mlflow/mlflow.db: you may not write this file (it is ",
        "mode 444); ",
        "can type: chmod g+w {workspace}/mlflow/mlflow.db",
    ),
    refused(
        "a folder as a tracking address",
        steps(),
        f"{COLLECT} --tracking-uri mlruns",
        "Error: tracking URI 'mlruns' cannot be used; valid: sqlite:////",
    ),
    refused(
        "results that may not be written",
        steps(
            cut("{workspace}/results/grid/runs.parquet"), mode("{workspace}/results/grid", 0o555)
        ),
        COLLECT,
        "Error: {workspace}/results/grid/runs.parquet: cannot be written: ",
        "Permission denied",
        leaves=("workspace/mlflow/*", "workspace/results/.grid.lock*"),
    ),
    refused(
        "a full disk while collecting",
        steps(remove("{workspace}/results"), small_disk("{workspace}/results", "4k")),
        COLLECT,
        "Error: {workspace}/results/grid/predictions/",
        ".parquet: cannot be written: No space left on device",
        leaves=(
            "workspace/mlflow/*",
            "workspace/results/grid/predictions",
            "workspace/results/.grid.lock*",
        ),
    ),
]
