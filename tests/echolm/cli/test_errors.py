"""Wrong input: one ``Error: ...`` and exit status 1 (2 for wrong usage), never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from launch_support import Done, Launched, Shell

GOOD = (
    "base: {data: tiny, task: landmarks, encoder: none, trainable: k0, head: mean, epochs: 1}\n"
    "axes: {seed: [0, 1]}\n"
)


def refused(done: Done, status: int = 1, *parts: str) -> None:
    """A command said what was wrong, in a line that has ``parts``."""
    assert done.status == status, done
    [line] = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["launch"],
        ["launch", "demo", "--slots", "0"],
        ["launch", "demo", "--on", "moon"],
        ["status", "demo", "--nosuch"],
        ["logs", "abc", "--attempt", "0"],
        ["train", "abc", "--device", "toaster"],
        ["predict", "abc", "nosuch.avi", "--ed", "0", "--es", "1"],
        ["predict", "abc", ".", "--ed", "0"],
        ["predict", "abc", __file__, "--overwrite"],
        ["predict", "abc", __file__, "--ed", "-1", "--es", "3"],
        ["data", "check", "nosuch", "."],
        ["data", "check", "echonet-dynamic", "nosuch"],
        ["data", "phantom", "echonet-dynamic", "x", "--videos", "0"],
        ["tables", "demo", "--format", "pdf"],
        ["-w", __file__, "status", "demo"],
    ],
    ids=" ".join,
)
def test_wrong_usage(words: list[str], bare: Shell) -> None:
    refused(bare.inside(*words), 2)
    assert list(bare.root.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["status"], ["launch"], ["cancel"], ["retry"], ["grid", "show"]], ids=" ".join
)
@pytest.mark.parametrize(
    ("rest", "parts"),
    [
        (["dema"], ["no grid 'dema'", "did you mean 'demo'", "path of a .yaml file"]),
        (["nosuch.yaml"], ["nosuch.yaml: cannot be read"]),
        (["demo", "--where", "haed=mlp"], ["haed", "did you mean 'head'"]),
        (["demo", "--where", "head=mlq"], ["mlq", "did you mean 'mlp'"]),
        (["demo", "--where", "head"], ["write axis=label"]),
    ],
    ids=lambda value: "",
)
def test_unknown_grids_axes_and_labels(
    command: list[str], rest: list[str], parts: list[str], bare: Shell
) -> None:
    refused(bare.inside(*command, *rest), 1, *parts)
    assert not bare.workspace.root.exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("base: {data: [", ["not valid YAML", "line 1"]),
        ("- a\n- b\n", ["a mapping with 'axes'"]),
        ("", ["a mapping with 'axes'"]),
        (GOOD + "axis: {}\n", ["axis", "did you mean 'axes'"]),
        (GOOD.replace("mean", "maen"), ["head", "did you mean 'mean'"]),
        (GOOD.replace("seed:", "sed:"), ["axes.sed", "did you mean 'seed'"]),
        (GOOD.replace("[0, 1]", "[]"), ["seed", "at least one value"]),
        (GOOD + "exclude: [{seed: 5}]\n", ["exclude[0]", "5"]),
        ("\x00\x01", ["not valid YAML"]),
    ],
    ids=lambda value: "",
)
@pytest.mark.parametrize("command", [["launch"], ["grid", "show"]], ids=" ".join)
def test_a_grid_file_with_a_mistake(
    command: list[str], text: str, parts: list[str], bare: Shell
) -> None:
    path = bare.root / "wrong.yaml"
    path.write_text(text)
    refused(bare.inside(*command, path), 1, "wrong.yaml", *parts)
    assert not bare.workspace.root.exists()


@pytest.mark.parametrize("words", [["logs"], ["grid", "explain"], ["train"]], ids=" ".join)
def test_unknown_cells(words: list[str], bare: Shell) -> None:
    refused(
        bare.inside(*words, "0123456789abcdef"),
        1,
        "'0123456789abcdef' is not a cell",
        "echolm grid show",
    )
    refused(bare.inside(*words, "../etc"), 1, "is not a cell")


def test_a_grid_where_a_cell_is_meant(bare: Shell) -> None:
    refused(
        bare.inside("logs", "demo"),
        1,
        "demo is a grid",
        "--where AXIS=LABEL",
        "axes: encoder, ",
        "echolm status demo",
    )


class TestRuns:
    """Runs that are not there, and clips that are none."""

    def test_logs(self, launched: Launched) -> None:
        refused(
            launched.shell.inside("logs", launched.cells["missing"].id),
            1,
            "has not been run",
            "echolm train",
        )
        refused(
            launched.shell.inside("logs", launched.cells["mean"].id, "--attempt", 7),
            1,
            "no attempt 7; valid: 1",
        )

    @pytest.mark.parametrize(
        ("run", "clip", "rest", "parts"),
        [
            ("fails", "avi", [], ["complete run"]),
            ("mean", "text", [], ["test_errors.py"]),
            ("mean", "avi", ["--es", "4000"], ["no frame 4000"]),
            ("mean", "avi", ["--video", "film.mkv"], ["film.mkv", ".mp4"]),
            ("mean", "avi", ["--out", "picture.xyz"], ["picture.xyz", ".png"]),
            (
                "mean",
                "avi",
                ["--out", "/proc/nowhere/picture.png"],
                ["/proc/nowhere/picture.png", "cannot be written"],
            ),
            ("mean", "avi", ["--device", "cuda:77"], ["cuda:77", "CUDA device"]),
        ],
        ids=[
            "incomplete run",
            "no video",
            "no frame",
            "no video kind",
            "no picture",
            "unwritable",
            "no device",
        ],
    )
    def test_predict(
        self, launched: Launched, tiny: Path, run: str, clip: str, rest: list[str], parts: list[str]
    ) -> None:
        path = next((tiny / "source" / "Videos").glob("*.avi")) if clip == "avi" else Path(__file__)
        done = launched.shell.inside(
            "predict", launched.cells[run].id, path, "--ed", 0, "--es", 5, "--out", "x.png", *rest
        )
        refused(done, 1, *parts)
        assert not (launched.shell.root / "x.png").exists()

    def test_train(self, bare: Shell) -> None:
        refused(bare.inside("train", "nosuch.yaml"), 1, "nosuch.yaml: cannot be read")
        (bare.root / "run.yaml").write_text(
            "data: tiny\ntask: landmarks\nencoder: none\ntrainable: k0\nhead: maen\n"
        )
        refused(bare.inside("train", "run.yaml"), 1, "run.yaml", "did you mean 'mean'")
        (bare.root / "run.yaml").write_text(
            "data: tiny\ntask: landmarks\nencoder: none\ntrainable: k0\nhead: mean\n"
        )
        refused(bare.inside("train", "run.yaml"), 1, "echolm data prepare")
        refused(bare.inside("train", "run.yaml", "--device", "cuda:77"), 1)


class TestPlaces:
    """Workspaces that cannot be written, and files where folders should be."""

    def test_a_workspace_that_cannot_be_made(self, bare: Shell) -> None:
        place = Path("/proc/nowhere")  # not even by the superuser
        refused(bare.inside("-w", place, "cancel", "demo"), 1, str(place))
        done = bare.inside("-w", place, "launch", "demo")
        assert done.status == 1 and "cannot run (" in done.err and str(place) in done.err

    @pytest.mark.parametrize("name", ["runs", "grids"])
    def test_a_file_where_a_folder_should_be(self, shell: Shell, name: str) -> None:
        grid = shell.root / "good.yaml"
        grid.write_text(GOOD)
        (shell.workspace.root / name).touch()
        refused(
            shell.inside("launch", grid, "--no-collect"),
            1,
            str(shell.workspace.root / name),
            "Not a directory",
        )

    def test_results_that_cannot_be_written_lose_no_run(self, shell: Shell) -> None:
        grid = shell.root / "good.yaml"
        grid.write_text(GOOD)
        (shell.workspace.root / "mlflow").touch()
        done = shell("launch", grid)
        assert done.status == 1
        assert "Traceback" not in done.err
        assert "the runs are stored, but not collected" in done.err and "echolm collect" in done.err
        assert done.out.splitlines()[-1] == "good: 2 cells: 2 complete"


def damage(pattern: str, text: str) -> Callable[[Shell], None]:
    """Write ``text`` into all files of a workspace that match."""

    def act(shell: Shell) -> None:
        paths = list(shell.workspace.root.glob(pattern))
        assert paths, pattern
        for path in paths:
            path.write_text(text)

    return act


CELLS, CONFIG, STORE = "grids/toy/cells.json", "runs/*/*/config.json", "data/tiny/store.json"


@pytest.mark.parametrize(
    ("harm", "words", "part"),
    [
        (damage(CELLS, "{"), ["logs", "CELL"], "cells.json: damaged"),
        (damage(CELLS, "{"), ["collect"], "cells.json: damaged"),
        (damage(CELLS, "[]"), ["tables", "toy"], "cells.json"),
        (damage(CELLS, "{}"), ["collect"], "cells.json"),
        (damage(CONFIG, "{"), ["logs", "CELL"], "config.json: damaged"),
        (damage(CONFIG, "[]"), ["grid", "explain", "CELL"], "config.json"),
        (damage(CELLS, "{}"), ["logs", "CELL"], "cells.json"),
        (damage(CONFIG, "{}"), ["logs", "CELL"], "config.json"),
        (
            damage(CONFIG, "{}"),
            ["predict", "CELL", "CLIP", "--ed", "0", "--es", "5"],
            "config.json",
        ),
        (
            damage(CONFIG, "{"),
            ["predict", "CELL", "CLIP", "--ed", "0", "--es", "5"],
            "config.json: damaged",
        ),
        (damage(STORE, "{"), ["train", "CELL"], "store.json"),
        (damage(STORE, '{"schema": 99, "fingerprint": "x"}'), ["train", "CELL"], "schema 99"),
    ],
)
def test_damaged_files_are_named(
    launched: Launched,
    tiny: Path,
    tmp_path: Path,
    harm: Callable[[Shell], None],
    words: list[str],
    part: str,
) -> None:
    shutil.copytree(
        launched.shell.workspace.root, tmp_path / "workspace", ignore=shutil.ignore_patterns("*.db")
    )
    shell = Shell(tmp_path, None)
    harm(shell)
    clip = next((tiny / "source" / "Videos").glob("*.avi"))
    names = {"CELL": launched.cells["mean"].id, "CLIP": str(clip)}
    refused(shell.inside(*[names.get(word, word) for word in words]), 1, part)


def test_a_damaged_definition_of_what_was_launched_is_replaced_by_the_next_launch(
    launched: Launched, tmp_path: Path
) -> None:
    shutil.copytree(
        launched.shell.workspace.root, tmp_path / "workspace", ignore=shutil.ignore_patterns("*.db")
    )
    shell = Shell(tmp_path, None)
    damage(CELLS, "{")(shell)
    assert shell("launch", launched.grid, "--where", "head=mean", "--no-collect").status == 0
    assert len(json.loads((shell.workspace.root / CELLS).read_text())["cells"]) == 3


def test_commands_to_type_keep_the_workspace(bare: Shell) -> None:
    """Also those of errors, which the library words without knowing it."""
    folder = bare.root / "my place" / "results" / "demo" / "predictions"
    folder.mkdir(parents=True)
    for command in ("tables", "report"):
        refused(
            bare.inside("-w", "my place", command, "demo"),
            1,
            "is not there; type: echolm --workspace 'my place' collect demo",
        )
    refused(
        bare.inside(command, "demo", ECHOLM_WORKSPACE=str(bare.root / "my place")),
        1,
        "type: echolm collect demo",
    )
