"""``echolm predict`` as typed."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from predict_support import CINE

from echolm.cli import main
from echolm.predict import ContourPredictor
from echolm.predict.find_ed_es import RULE
from echolm.record import RunRecord
from echolm.workspace import Workspace

Type = Callable[..., Result]


@pytest.fixture
def predict(
    record: RunRecord, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Type:
    """Type ``echolm predict RUN ...`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: object, status: int = 0) -> Result:
        arguments = [
            "--workspace",
            str(workspace.root),
            "predict",
            record.path.parent.name,
            *map(str, words),
        ]
        done = CliRunner().invoke(main, arguments, prog_name="echolm")
        assert done.exit_code == status and isinstance(done.exception, SystemExit | None), (
            done,
            done.output,
        )
        assert not re.search(r"[\r\x1b]", done.stderr), "no progress bar without a terminal"
        return done

    return typed


def test_one_file(predict: Type, predictor: ContourPredictor) -> None:
    prediction = predictor(CINE)
    assert prediction.estimate
    lines = predict(CINE).stdout.splitlines()
    ed, es = prediction.numbers
    assert lines[0].startswith(
        f"contours.png: contours at frames {ed} (ED) and {es} (ES); "
        f"EF {prediction.ejection_fraction:.1f} %"
    )
    assert lines[1].startswith(
        f"ED and ES were estimated, by the {RULE}: "
        f"agreement {100 * prediction.estimate.agreement:.0f} %"
    )
    assert predict(CINE, "--ed", 3).stdout.splitlines()[1].startswith("ES was estimated")
    given = predict(CINE, "--ed", 3, "--es", 9).stdout.splitlines()
    assert len(given) == 2, "nothing was estimated"
    assert lines[2] == given[1] == f"run {predictor.run}: {predictor.trained_on.sentence}"
    assert os.listdir() == ["contours.png"]


def test_one_file_as_json(predict: Type, predictor: ContourPredictor) -> None:
    prediction = predictor(CINE)
    assert prediction.estimate
    plain = json.loads(predict(CINE, "--json", "--video", "film.gif", "--out", "a.jpg").stdout)
    assert plain["frames"] == list(prediction.numbers)
    assert plain["estimate"] == {
        "rule": RULE,
        "ed": prediction.numbers[0],
        "es": prediction.numbers[1],
        "estimated": ["ED", "ES"],
        "agreement": pytest.approx(prediction.estimate.agreement),
        "passes": prediction.estimate.passes,
    }
    assert plain["video_frames"] == list(
        range(min(prediction.numbers), max(prediction.numbers) + 1)
    )
    with Image.open("film.gif") as film, Image.open("a.jpg") as picture:
        assert film.n_frames == len(plain["video_frames"]) and picture.format == "JPEG"  # type: ignore[attr-defined]
    given = json.loads(predict(CINE, "--json", "--ed", 3, "--es", 9).stdout)
    assert (given["estimate"], given["video"], given["video_frames"]) == (None, None, [])


def warned(out: str) -> str:
    """What the summary says of the warnings in the table."""
    with open(Path(out, "predictions.csv"), newline="") as file:
        number = sum(bool(row["warning"]) for row in csv.DictReader(file))
    return f"; {number} with a warning (column 'warning')" if number else ""


def test_a_folder_shows_its_progress_on_a_terminal(
    record: RunRecord, workspace: Workspace, clips: Path, tmp_path: Path
) -> None:
    """A bar that counts clips; lines about files and the summary are whole lines beside it."""
    number = len(os.listdir(clips))
    (clips / "broken.avi").write_bytes(b"no video")
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    words = [
        "-w",
        str(workspace.root),
        "predict",
        record.path.parent.name,
        str(clips),
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "echolm.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := os.read(ours, 65536):
            seen += part
    os.close(ours)
    out, _ = process.communicate()
    shown = seen.decode()
    assert process.returncode == 1 and b"predictions.csv" in out and b"\r" not in out, shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    counts = [int(done) for done in re.findall(rf"(\d+)/{number + 1} clips", text)]
    assert counts and counts[0] == 0 and counts[-1] == number + 1 and counts == sorted(counts), (
        shown
    )
    assert "100%" in text and "clips" in text
    assert any("broken.avi" in line and "%|" not in line for line in re.split(r"[\r\n]+", shown)), (
        shown
    )


def test_a_folder(predict: Type, clips: Path) -> None:
    """The counts, and one line for a file that cannot be read.

    Typed again, only that one is looked at.
    """
    names = sorted(os.listdir(clips))
    (clips / names[1]).write_bytes(b"no video")
    done = predict(clips, "--out", "found", status=1)
    assert (
        done.stdout.splitlines()[0]
        == f"found/predictions.csv: 4 clips: 3 predicted, 1 failed{warned('found')}"
    )
    assert re.fullmatch(
        r"ED and ES of 3 clips are estimated; agreement \d+ % \(median\)",
        done.stdout.splitlines()[1],
    )
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{clips / names[1]}: not a video")
    os.remove(clips / names[1])
    assert predict(clips, "--out", "found").stdout.startswith(
        f"found/predictions.csv: 3 clips: 3 already there{warned('found')}\n"
    )
    plain = json.loads(predict(clips, "--out", "found", "--overwrite", "--json").stdout)
    assert plain["counts"] == {"predicted": 3} and [row["file"] for row in plain["files"]] == [
        names[0],
        *names[2:],
    ]
    assert all(
        row["problem"] == "" and Path("found", row["picture"]).exists() for row in plain["files"]
    )


def test_frames_of_tracings(predict: Type, tiny: Path, clips: Path) -> None:
    tracings, clip = tiny / "source" / "VolumeTracings.csv", sorted(clips.iterdir())[0]
    whole = predict(clips, "--tracings", tracings)
    assert whole.stdout.splitlines()[0] == (
        f"contours/predictions.csv: 4 clips: 4 predicted{warned('contours')}"
    )
    assert len(whole.stdout.splitlines()) == 2, "nothing was estimated"
    plain = json.loads(predict(clip, "--tracings", tracings, "--json").stdout)
    assert plain["estimate"] is None
    row = json.loads(predict(clips, "--tracings", tracings, "--json").stdout)["files"][0]
    assert plain["frames"] == [row["ed"], row["es"]]


SYNTHETIC = "trained on SYNTHETIC DATA (phantom), which says nothing about patients: store tiny"


def test_what_the_run_was_trained_on_stands_beside_every_prediction(
    predict: Type, clips: Path
) -> None:
    """In the terminal, in both kinds of JSON, and in each row of the table."""
    one = json.loads(predict(CINE, "--json").stdout)["trained_on"]
    assert SYNTHETIC in one["sentence"] and one["synthetic"] is True
    assert (one["dataset"], one["store"]) == ("echonet-dynamic", "tiny")
    assert sum(one["splits"].values()) == 24 and list(one["splits"]) == ["train", "val", "test"]
    assert (one["encoder"], one["weights"], one["unused"]) == ("tiny-r3d", "random", [])
    whole = json.loads(predict(clips, "--json").stdout)
    assert whole["trained_on"] == one
    assert {row["trained_on"] for row in whole["files"]} == {one["sentence"]}
    for words in ([CINE], [clips]):
        assert SYNTHETIC in predict(*words).stdout


def test_what_is_skipped_is_a_line(predict: Type, clips: Path) -> None:
    (clips / "inner").mkdir()
    (clips / "inner" / "two\nlines.txt").write_text("")
    done = predict(clips)
    assert done.stderr.splitlines() == [
        f"{clips}/inner/two\\nlines.txt: skipped: neither a video by its name (.txt) nor DICOM "
        "by its content"
    ]
    assert f"4 clips: 4 predicted; 1 other file skipped{warned('contours')}" in done.stdout
    plain = json.loads(predict(clips, "--json").stdout)
    assert [skipped["file"] for skipped in plain["skipped"]] == ["inner/two\nlines.txt"]
    assert "the folder of the predictions" in predict(clips.parent, "--out", "contours").stderr


def test_names_that_are_no_text(predict: Type, clips: Path) -> None:
    """Bytes that are not UTF-8, and a line break."""
    for name in (b"\xff\xfe.avi", b"two\nlines.avi"):
        shutil.copy(sorted(clips.iterdir())[0], os.path.join(os.fsencode(clips), name))
    assert "6 clips: 6 predicted" in predict(clips).stdout
    assert "6 clips: 6 predicted" in predict(clips, "--overwrite").stdout
    assert len(json.loads(predict(clips, "--json").stdout)["files"]) == 6
    with open(os.path.join(os.fsencode(clips), b"\xff.avi"), "wb") as file:
        file.write(b"x")
    assert len(predict(clips, status=1).stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["CLIPS", "--ed", "3"], "in a folder the frames are estimated"),
        (["CLIPS", "--video", "x.mp4"], "are for one clip"),
        (["CINE", "--overwrite"], "is for a folder"),
        (["CINE", "--ed", "3", "--tracings", "FILE"], "leave out --ed and --es"),
        (["CLIPS", "--out", "FILE"], "--out the folder"),
        (["CINE", "--out", "CLIPS"], "--out the picture"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_go_together(
    words: list[str], part: str, predict: Type, clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    places = {"CLIPS": clips, "CINE": CINE, "FILE": tmp_path / "file"}
    done = predict(*[places.get(word, word) for word in words], status=2)
    assert part in done.stderr
    assert sorted(os.listdir()) == ["clips", "file"]


@pytest.mark.parametrize(
    "words",
    [["--out", "a.psd"], ["--video", "a.mkv"], ["--out", "x.png", "--ed", "77"]],
    ids=" ".join,
)
def test_nothing_is_written_for_an_error(words: list[str], predict: Type) -> None:
    assert predict(CINE, *words, status=1).stderr.startswith("Error: ")
    assert os.listdir() == []
