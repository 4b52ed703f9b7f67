"""What one sees: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import termios
from pathlib import Path

from launch_support import Launched, Shell, ended


def on_terminal(shell: Shell, *words: object) -> tuple[int, str]:
    """A command's exit status, and what it wrote to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = shell.start(*map(str, words), stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    content = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last process on the terminal has gone
            break
        if not part:
            break
        content += part
    os.close(ours)
    return ended(process).status, content.decode()


def plain(text: str) -> str:
    """What a terminal shows of a text: without its escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_launch_on_a_terminal_shows_a_progress_bar(shell: Shell) -> None:
    shell.slow(0.1)
    grid = shell.grid({"seed": [0, 1]}, head="slow", encoder="none", trainable="k0", epochs=3)
    status, text = on_terminal(shell, "launch", grid, "--slots", 1, "--no-collect")
    assert status == 0, text
    assert re.search(r"\d+% +\d/6 epochs", plain(text))
    assert "6/6 epochs" in plain(text)
    assert re.search(r"\[2/2\] +\d+ s  [0-9a-f]{8}  complete", text)
    assert "Traceback" not in text


def test_a_launch_elsewhere_prints_plain_lines(launched: Launched, shell: Shell) -> None:
    grid = shell.grid({"seed": [0, 1]}, head="mean", encoder="none", trainable="k0", epochs=1)
    done = shell("launch", grid, "--slots", 1)
    assert done.status == 0, done.err
    for text in (done.out, done.err, launched.launch.err):
        assert not re.search(r"[\r\x1b]", text)
    lines = done.err.splitlines()
    assert [
        bool(re.match(r"\[\d/2\] +\d+ s  [0-9a-f]{8}  complete +seed=\d$", line)) for line in lines
    ] == [True, True]


def test_predicting_a_folder_on_a_terminal_shows_a_progress_bar(
    launched: Launched, tiny: Path, tmp_path: Path
) -> None:
    """And one line for a clip that cannot be read."""
    shutil.copytree(tiny / "source" / "Videos", tmp_path / "clips")
    (tmp_path / "clips" / "no.avi").write_text("video")
    words = ["--tracings", tiny / "source" / "VolumeTracings.csv", "--out", tmp_path / "out"]
    status, text = on_terminal(
        launched.shell, "predict", launched.cells["mean"].id, tmp_path / "clips", *words
    )
    assert status == 1, text
    assert re.search(r"\d+% +\d+/25 clips", plain(text)) and "25/25 clips" in plain(text)
    assert text.count("no.avi: not a video") == 1 and "25 clips: 24 predicted, 1 failed" in text


def test_the_status_table(launched: Launched) -> None:
    short = launched.shell.inside("status", launched.grid)
    failed = launched.cells["fails"].id[:8]
    assert [line.split()[:2] for line in short.out.splitlines()] == [
        ["cell", "state"],
        [failed, "failed"],
        ["toy:", "3"],
        ["to", "write:"],
    ]
    long = launched.shell.inside("status", launched.grid, "--all")
    assert [line.split()[1] for line in long.out.splitlines()] == [
        "state",
        "complete",
        "failed",
        "pending",
        "3",
        "write:",
    ]
    assert "1 cell cannot run" in long.err and "echolm retry" in long.err


def test_a_table_on_a_terminal_has_colours(launched: Launched) -> None:
    status, text = on_terminal(launched.shell, "status", launched.grid, "--all")
    assert status == 0
    assert "\x1b[32mcomplete" in text and "\x1b[1;31mfailed" in text
    for cell in launched.cells.values():
        assert cell.id[:8] in plain(text)


def test_a_table_that_is_wider_than_the_terminal_loses_nothing(shell: Shell) -> None:
    """The terminal wraps its lines."""
    axes = {"augmentation": ["none", "bhoodoo2026"], "epochs": [1000, 2000], "batch_size": [16, 32]}
    grid = shell.grid({"head": ["mlp", "gcn-fullyconnected"], **axes, "seed": [123456789]})
    status, text = on_terminal(shell, "grid", "show", grid)
    assert status == 0
    joined = plain(text).replace("\r\n", "\n")
    for cell in shell.cells(grid):
        [line] = [line for line in joined.splitlines() if line.startswith(cell.id)]
        for label in cell.coordinates.values():
            assert label in line


def test_a_reader_who_goes_away_is_no_error(shell: Shell) -> None:
    """``echolm grid show ... | head -1``."""
    grid = shell.grid({"seed": list(range(3000))}, head="mean")
    process = shell.start("grid", "show", grid, "--json", cold=True)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr
    assert "Traceback" not in process.stderr.read()
    process.wait()
    process.stderr.close()


def test_a_table_names_the_file_that_was_launched_and_what_each_cell_waits_for(
    launched: Launched,
) -> None:
    done = launched.shell.inside("tables", launched.grid)
    lines = [line for line in done.out.splitlines() if "type: `" in line]
    assert lines == [
        "- fails: seed -: the run failed; type: `echolm retry toy.yaml --where head=fails`",
        "- missing: seed -: no complete run was collected; type: `echolm launch toy.yaml --on local"
        " --where head=missing`",
    ]
    status = launched.shell.inside("status", *lines[0].split("`")[1].split()[2:])
    assert "1 cell: 1 failed\n" in status.out
    elsewhere = launched.shell.inside(
        "-w", launched.shell.workspace.root, "tables", launched.grid, ECHOLM_WORKSPACE=None
    ).out
    assert (
        f"`echolm --workspace {launched.shell.workspace.root} retry toy.yaml --where head=fails`"
        in elsewhere
    )


def test_logs_of_many_cells_are_of_the_attempt_that_was_asked_for(launched: Launched) -> None:
    cell = launched.cells["mean"]
    second = launched.shell.record(cell).attempt_path(2)
    second.mkdir()
    (second / "log.txt").write_text("the second attempt\n")
    try:
        words = ("logs", launched.grid, "--where", "head=mean,fails")
        assert "the second attempt" in launched.shell.inside(*words).out
        first = launched.shell.inside(*words, "--attempt", 1)
        assert (
            sum(line.startswith("== ") for line in first.out.splitlines()) == 2
            and "the second attempt" not in first.out
        ), first
        assert [
            log["cell"]
            for log in json.loads(launched.shell.inside(*words, "--attempt", 2, "--json").out)[
                "logs"
            ]
        ] == [cell.id]
        none = launched.shell.inside(*words, "--attempt", 7)
        assert none.status == 1 and "no cell of these has an attempt 7" in none.err, none
    finally:
        shutil.rmtree(second)


def test_logs_of_many_cells_and_of_a_cell_whose_jobs_never_began(launched: Launched) -> None:
    many = launched.shell.inside("logs", launched.grid, "--where", "head=fails,mean")
    assert (
        many.status == 0
        and sum(line.startswith("== ") for line in many.out.splitlines()) == 2
        and "Traceback" in many.out
    ), many
    cell = launched.cells["missing"]
    folder = launched.shell.workspace.grids / "toy"
    batch = folder / "jobs" / "20260101-000000-abcdef"
    batch.mkdir(parents=True)
    (batch / "batch.json").write_text(json.dumps({"units": [[cell.id]]}))
    failure = {
        "kind": "launch",
        "job": "7_0",
        "batch": batch.name,
        "cells": [],
        "node": "n1",
        "evidence": "FAILED\nNo module named 'x'",
        "place": [0, 0],
    }
    (folder / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    try:
        told = launched.shell.inside("logs", cell.id)
        assert (
            told.status == 0
            and "job 7_0 on n1: launch" in told.out
            and "No module named 'x'" in told.out
        ), told
    finally:
        (folder / "failures.jsonl").unlink()
        shutil.rmtree(folder / "jobs")
