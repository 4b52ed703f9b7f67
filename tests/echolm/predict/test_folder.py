"""A folder of clips: a row and a picture each, continued where it was stopped."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from predict_support import CINE, prepared

from echolm.data.phantom import write_mjpeg
from echolm.data.store import ClipStore
from echolm.data.video import read_video
from echolm.errors import EchoLMError, StorageError
from echolm.predict import Predictor
from echolm.predict.folder import COLUMNS, TABLE, Ends, Folder, clips, from_tracings
from echolm.training.loop import fit
from echolm.workspace import Workspace


def estimated(_: Path) -> None:
    """No frames are given."""


def run(predictor: Predictor, folder: Path, out: Path, ends: Ends = estimated, overwrite: bool = False) -> dict[str, bool]:
    """Predict a folder: its files, and whether they were predicted now."""
    return {row.file: new for row, new in Folder(predictor, out, ends, overwrite).predict(clips(folder))}


def table(out: Path) -> dict[str, dict[str, str]]:
    """The rows of the CSV by file."""
    with open(out / TABLE, encoding="utf-8", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == list(COLUMNS)
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    return {row["file"]: row for row in rows}


def test_a_row_and_a_picture_a_file(predictor: Predictor, clips: Path, tmp_path: Path) -> None:
    """What the predictor says of each file alone. Names may be hostile; DICOM files need no extension."""
    shutil.copy(CINE, clips / "an echo")
    shutil.copy(CINE, clips / "1.2.840.1")
    shutil.copy(clips / sorted(os.listdir(clips))[0], clips / 'it\'s, "an"\nécho ☃.AVI')
    (clips / "folder.avi").mkdir()
    for name in ("notes.txt", ".hidden.avi", "report"):
        (clips / name).write_text("dear colleague")
    run(predictor, clips, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert len(rows) == 7
    for name, row in rows.items():
        found = predictor(clips / name)
        assert found.estimate
        assert (int(row["ed"]), int(row["es"])) == found.numbers
        assert (row["phases"], row["problem"], row["run"]) == ("estimated", "", predictor.run)
        assert float(row["agreement"]) == pytest.approx(found.estimate.agreement, abs=6e-4)
        assert float(row["ef"]) == pytest.approx(found.ejection_fraction, abs=6e-3)
        assert (float(row["area_ed"]), float(row["area_es"])) == pytest.approx(found.areas, abs=0.06)
        assert int(row["bytes"]) == (clips / name).stat().st_size
        with Image.open(tmp_path / "out" / row["picture"]) as picture:
            assert picture.size == (904, 448)
    assert len(list((tmp_path / "out").iterdir())) == 7 + 1


def test_files_that_cannot_be_read_are_a_row_and_not_the_end(predictor: Predictor, clips: Path, tmp_path: Path) -> None:
    names = sorted(os.listdir(clips))
    (clips / names[0]).write_bytes((clips / names[0]).read_bytes()[:9000])
    (clips / names[2]).write_bytes(b"")
    write_mjpeg(clips / "z.avi", read_video(clips / names[1]).frames[:1], 50)
    assert all(run(predictor, clips, tmp_path / "out").values())
    rows = table(tmp_path / "out")
    assert [name for name, row in rows.items() if not row["problem"]] == [names[1], names[3]]
    assert "truncated" in rows[names[0]]["problem"] and names[2] in rows[names[2]]["problem"] and "holds 1 frame" in rows["z.avi"]["problem"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {TABLE, f"{names[1]}.png", f"{names[3]}.png"}
    shutil.copy(clips / names[1], clips / names[2])
    again = run(predictor, clips, tmp_path / "out")
    assert [name for name, new in again.items() if new] == [names[0], names[2], "z.avi"], "problems are looked at again"
    assert table(tmp_path / "out")[names[2]]["problem"] == ""


def lost_picture(out: Path, name: str, clips: Path) -> None:
    (out / f"{name}.png").unlink()


def newer_clip(out: Path, name: str, clips: Path) -> None:
    earlier = (clips / name).stat().st_mtime_ns - 10**9
    os.utime(out / f"{name}.png", ns=(earlier, earlier))


def other_size(out: Path, name: str, clips: Path) -> None:
    before = (clips / name).stat()
    with open(clips / name, "ab") as file:
        file.write(b"\0" * 64)
    os.utime(clips / name, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut_row(out: Path, name: str, clips: Path) -> None:
    lines = (out / TABLE).read_text().splitlines(keepends=True)
    (out / TABLE).write_text("".join(line[:40] + "\n" if line.startswith(name) else line for line in lines))


def damaged_cell(out: Path, name: str, clips: Path) -> None:
    (out / TABLE).write_text((out / TABLE).read_text().replace(f"\n{name},", f"\n{name},x"))


HARM: list[Callable[[Path, str, Path], None]] = [lost_picture, newer_clip, other_size, cut_row, damaged_cell]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_only_what_is_missing_is_predicted_again(harm: Callable[[Path, str, Path], None], predictor: Predictor, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for path in sorted(clips.iterdir())[3:]:
        path.unlink()
    run(predictor, clips, out)
    before, times = table(out), {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    name = sorted(before)[1]
    harm(out, name, clips)
    assert run(predictor, clips, out) == {file: file == name for file in sorted(before)}
    assert {file for file, row in table(out).items() if {**row, "bytes": ""} != {**before[file], "bytes": ""}} == set()
    assert {path.name for path, time in times.items() if path.stat().st_mtime_ns != time} == {f"{name}.png"}
    assert not any(run(predictor, clips, out).values())


def test_stopped_on_the_way(predictor: Predictor, clips: Path, tmp_path: Path) -> None:
    """As Ctrl-C stops it: the rows so far are there, and nothing temporary."""
    from echolm.predict.folder import clips as files

    going = Folder(predictor, tmp_path / "out", estimated).predict(files(clips))
    done = [next(going)[0].file, next(going)[0].file]
    going.close()
    assert list(table(tmp_path / "out")) == done
    assert {path.name for path in (tmp_path / "out").iterdir()} == {TABLE, *(f"{name}.png" for name in done)}
    assert run(predictor, clips, tmp_path / "out") == {name: name not in done for name in sorted(os.listdir(clips))}


def test_another_run_does_not_mix_in(predictor: Predictor, workspace: Workspace, clips: Path, tmp_path: Path) -> None:
    made = prepared(workspace, seed=1)
    fit([made])
    other = Predictor(made.record, workspace)
    run(predictor, clips, tmp_path / "out")
    with pytest.raises(EchoLMError, match=f"{TABLE}: holds predictions of run {predictor.run}; choose another --out"):
        Folder(other, tmp_path / "out", estimated)
    run(other, clips, tmp_path / "out", overwrite=True)
    assert {row["run"] for row in table(tmp_path / "out").values()} == {other.run} != {predictor.run}


def test_another_program_s_table_is_left_alone(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / TABLE).write_text("a,b\n1,2\n")
    with pytest.raises(EchoLMError, match=f"{TABLE}: its header"):
        Folder(predictor, tmp_path, estimated)


def test_frames_of_a_tracings_file(predictor: Predictor, tiny: Path, clips: Path, tmp_path: Path) -> None:
    """The store's frames; a clip that is not in it is estimated; asked for otherwise, all are predicted again."""
    (clips / "other.avi").write_bytes((clips / sorted(os.listdir(clips))[0]).read_bytes())
    ends = from_tracings(tiny / "source" / "VolumeTracings.csv")
    run(predictor, clips, tmp_path / "out", ends)
    rows, items = table(tmp_path / "out"), {f"{item.sample}.avi": item.values for item in ClipStore.open(tiny / "store").items}
    assert rows.pop("other.avi")["phases"] == "estimated"
    for name, row in rows.items():
        assert (int(row["ed"]), int(row["es"])) == (items[name]["ed"], items[name]["es"])
        assert (row["phases"], row["agreement"]) == ("given", "")
    assert not any(run(predictor, clips, tmp_path / "out", ends).values())
    assert [name for name, new in run(predictor, clips, tmp_path / "out").items() if not new] == ["other.avi"]


def test_unsound_tracings_are_a_problem_of_their_clip(predictor: Predictor, tiny: Path, clips: Path, tmp_path: Path) -> None:
    names = sorted(os.listdir(clips))
    lines = (tiny / "source" / "VolumeTracings.csv").read_text().splitlines(keepends=True)
    header, own = lines[0], {name: [line for line in lines if line.startswith(name)] for name in names}
    late = [line.rsplit(",", 1)[0] + ",5000\n" if line in own[names[1]][:21] else line for line in own[names[1]]]
    (tmp_path / "t.csv").write_text(header + "".join(own[names[0]][:30] + late + own[names[3]]))
    run(predictor, clips, tmp_path / "out", from_tracings(tmp_path / "t.csv"))
    problems = [row["problem"] for row in table(tmp_path / "out").values()]
    assert "t.csv:23: " in problems[0] and "traced by 9 rows" in problems[0]
    assert "has no frame 5000" in problems[1]
    assert problems[2:] == ["", ""]


def test_a_folder_that_cannot_be_written_is_the_end(predictor: Predictor, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file: cannot be written"):
        run(predictor, clips, tmp_path / "file")


def test_folders_without_clips(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "deeper").mkdir()
    shutil.copy(CINE, tmp_path / "deeper")
    with pytest.raises(EchoLMError, match="no AVI or DICOM file directly in it"):
        clips(tmp_path)
    with pytest.raises(EchoLMError, match="nosuch: cannot be read: No such file"):
        clips(tmp_path / "nosuch")


