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

from echolm.datasets.phantom.generate import write_mjpeg
from echolm.errors import EchoLMError, StorageError
from echolm.media.read import read_video
from echolm.predict import ContourPredictor
from echolm.predict.find_clips import find_clips
from echolm.predict.folder import COLUMNS, TABLE, Ends, Folder, from_tracings
from echolm.stores.clips import ClipStore
from echolm.training.loop import fit
from echolm.workspace import Workspace


def estimated(_: Path) -> None:
    """No frames are given."""


def run(
    predictor: ContourPredictor,
    folder: Path,
    out: Path,
    ends: Ends = estimated,
    overwrite: bool = False,
) -> dict[str, bool]:
    """Predict a folder. Return its files, and whether they were predicted now."""
    target = Folder(predictor, folder, out, ends, overwrite)
    return {row.file: new for row, new in target.predict(find_clips(folder, out).clips)}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def table(out: Path) -> dict[str, dict[str, str]]:
    """The rows of the CSV by file."""
    with open(out / TABLE, encoding="utf-8", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == list(COLUMNS)
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    return {row["file"]: row for row in rows}


def test_a_row_and_a_picture_a_file(
    predictor: ContourPredictor, clips: Path, tmp_path: Path
) -> None:
    """What the predictor says of each file alone.

    Names may be hostile. DICOM files need no extension.
    """
    shutil.copy(CINE, clips / "an echo")
    shutil.copy(CINE, clips / "1.2.840.1")
    shutil.copy(clips / sorted(os.listdir(clips))[0], clips / 'it\'s, "an"\nécho ☃.AVI')
    (clips / "folder.avi").mkdir()  # nothing is in it
    for name in ("notes.txt", ".hidden.avi", "report"):
        (clips / name).write_text("dear colleague")
    run(predictor, clips, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert len(rows) == 7
    for name, row in rows.items():
        prediction = predictor(clips / name)
        assert prediction.estimate
        assert (int(row["ed"]), int(row["es"])) == prediction.numbers
        assert (row["phases"], row["problem"], row["run"]) == ("estimated", "", predictor.run)
        assert float(row["agreement"]) == pytest.approx(prediction.estimate.agreement, abs=6e-4)
        assert float(row["ef"]) == pytest.approx(prediction.ejection_fraction, abs=6e-3)
        assert (float(row["area_ed"]), float(row["area_es"])) == pytest.approx(
            prediction.areas, abs=0.06
        )
        assert int(row["bytes"]) == (clips / name).stat().st_size
        with Image.open(tmp_path / "out" / row["picture"]) as picture:
            assert picture.size == (904, 448)
    assert len(list((tmp_path / "out").iterdir())) == 7 + 1


def test_files_that_cannot_be_read_are_a_row_and_not_the_end(
    predictor: ContourPredictor, clips: Path, tmp_path: Path
) -> None:
    names = sorted(os.listdir(clips))
    (clips / names[0]).write_bytes((clips / names[0]).read_bytes()[:9000])
    (clips / names[2]).write_bytes(b"")
    write_mjpeg(clips / "z.avi", read_video(clips / names[1]).frames[:1], 50)
    assert all(run(predictor, clips, tmp_path / "out").values())
    rows = table(tmp_path / "out")
    assert [name for name, row in rows.items() if not row["problem"]] == [names[1], names[3]]
    assert "truncated" in rows[names[0]]["problem"]
    assert names[2] in rows[names[2]]["problem"]
    assert "holds 1 frame" in rows["z.avi"]["problem"]
    assert names_in(tmp_path / "out") == {TABLE, f"{names[1]}.png", f"{names[3]}.png"}
    shutil.copy(clips / names[1], clips / names[2])
    again = run(predictor, clips, tmp_path / "out")
    assert [name for name, new in again.items() if new] == [names[0], names[2], "z.avi"], (
        "problems are looked at again"
    )
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
    for number, line in enumerate(lines):
        if line.startswith(name):
            lines[number] = line[:40] + "\n"
    (out / TABLE).write_text("".join(lines))


def damaged_cell(out: Path, name: str, clips: Path) -> None:
    (out / TABLE).write_text((out / TABLE).read_text().replace(f"\n{name},", f"\n{name},x"))


HARM: list[Callable[[Path, str, Path], None]] = [
    lost_picture,
    newer_clip,
    other_size,
    cut_row,
    damaged_cell,
]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_only_what_is_missing_is_predicted_again(
    harm: Callable[[Path, str, Path], None],
    predictor: ContourPredictor,
    clips: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    for path in sorted(clips.iterdir())[3:]:
        path.unlink()
    run(predictor, clips, out)
    before = table(out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    name = sorted(before)[1]
    harm(out, name, clips)
    assert run(predictor, clips, out) == {file: file == name for file in sorted(before)}
    for file, row in table(out).items():
        assert {**row, "bytes": ""} == {**before[file], "bytes": ""}
    for path, time in times.items():
        assert (path.stat().st_mtime_ns != time) == (path.name == f"{name}.png")
    assert not any(run(predictor, clips, out).values())


def test_stopped_on_the_way(predictor: ContourPredictor, clips: Path, tmp_path: Path) -> None:
    """As Ctrl-C stops it: the rows so far are there, and nothing temporary."""
    target = Folder(predictor, clips, tmp_path / "out", estimated)
    going = target.predict(find_clips(clips).clips)
    done = [next(going)[0].file, next(going)[0].file]
    going.close()
    assert list(table(tmp_path / "out")) == done
    assert names_in(tmp_path / "out") == {TABLE, *(f"{name}.png" for name in done)}
    again = run(predictor, clips, tmp_path / "out")
    assert again == {name: name not in done for name in sorted(os.listdir(clips))}


def test_another_run_does_not_mix_in(
    predictor: ContourPredictor, workspace: Workspace, clips: Path, tmp_path: Path
) -> None:
    retrained = prepared(workspace, seed=1)
    fit([retrained])
    other = ContourPredictor(retrained.record, workspace)
    run(predictor, clips, tmp_path / "out")
    with pytest.raises(
        EchoLMError,
        match=f"{TABLE}: holds predictions of run {predictor.run}; choose another --out",
    ):
        Folder(other, clips, tmp_path / "out", estimated)
    run(other, clips, tmp_path / "out", overwrite=True)
    assert other.run != predictor.run
    for row in table(tmp_path / "out").values():
        assert row["run"] == other.run


def test_another_program_s_table_is_left_alone(predictor: ContourPredictor, tmp_path: Path) -> None:
    (tmp_path / TABLE).write_text("a,b\n1,2\n")
    with pytest.raises(EchoLMError, match=f"{TABLE}: its header"):
        Folder(predictor, tmp_path, tmp_path, estimated)


def test_frames_of_a_tracings_file(
    predictor: ContourPredictor, tiny: Path, clips: Path, tmp_path: Path
) -> None:
    """The store's frames. A clip that is not in it is estimated.

    Asked for otherwise, all are predicted again.
    """
    (clips / "other.avi").write_bytes((clips / sorted(os.listdir(clips))[0]).read_bytes())
    ends = from_tracings(tiny / "source" / "VolumeTracings.csv")
    run(predictor, clips, tmp_path / "out", ends)
    rows = table(tmp_path / "out")
    store = ClipStore.open(tiny / "store")
    values_of = {f"{item.sample}.avi": item.values for item in store.items}
    assert rows.pop("other.avi")["phases"] == "estimated"
    for name, row in rows.items():
        assert int(row["ed"]) == values_of[name]["ed"]
        assert int(row["es"]) == values_of[name]["es"]
        assert (row["phases"], row["agreement"]) == ("given", "")
    assert not any(run(predictor, clips, tmp_path / "out", ends).values())
    again = run(predictor, clips, tmp_path / "out")
    assert [name for name, new in again.items() if not new] == ["other.avi"]


def test_unsound_tracings_are_a_problem_of_their_clip(
    predictor: ContourPredictor, tiny: Path, clips: Path, tmp_path: Path
) -> None:
    names = sorted(os.listdir(clips))
    lines = (tiny / "source" / "VolumeTracings.csv").read_text().splitlines(keepends=True)
    traced = {}
    for name in names:
        traced[name] = [line for line in lines if line.startswith(name)]
    cut_off = traced[names[0]][:30]
    late = traced[names[1]]
    for number in range(21):
        late[number] = late[number].rsplit(",", 1)[0] + ",5000\n"
    rows = [lines[0], *cut_off, *late, *traced[names[3]]]
    (tmp_path / "t.csv").write_text("".join(rows))
    run(predictor, clips, tmp_path / "out", from_tracings(tmp_path / "t.csv"))
    problems = [row["problem"] for row in table(tmp_path / "out").values()]
    assert "t.csv:23: " in problems[0] and "traced by 9 rows" in problems[0]
    assert "has no frame 5000" in problems[1]
    assert problems[2:] == ["", ""]


def test_a_folder_that_cannot_be_written_is_the_end(
    predictor: ContourPredictor, clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file: cannot be written"):
        run(predictor, clips, tmp_path / "file")


def test_folders_without_clips(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    with pytest.raises(EchoLMError, match="no clip in it, nor in the folders in it; valid: videos"):
        find_clips(tmp_path)
    (tmp_path / "deeper" / "notes.txt").write_text("")
    with pytest.raises(EchoLMError, match="1 file skipped, first deeper/notes.txt: neither a vid"):
        find_clips(tmp_path)
    with pytest.raises(EchoLMError, match="nosuch: cannot be read: No such file"):
        find_clips(tmp_path / "nosuch")


def test_folders_in_a_folder(predictor: ContourPredictor, clips: Path, tmp_path: Path) -> None:
    """Files of one name in three folders have a row and a picture each, and nothing is lost."""
    names = sorted(os.listdir(clips))
    source = tmp_path / "source"
    for place, name in (("", names[0]), ("a", names[1]), ("a/b", names[2])):
        (source / place).mkdir(exist_ok=True, parents=True)
        shutil.copy(clips / name, source / place / "beat.avi")
    run(predictor, source, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert list(rows) == ["a/b/beat.avi", "a/beat.avi", "beat.avi"]
    pictures = set()
    for file, row in rows.items():
        assert row["picture"] == f"{file}.png" and row["problem"] == ""
        assert (int(row["ed"]), int(row["es"])) == predictor(source / file).numbers
        pictures.add((tmp_path / "out" / row["picture"]).read_bytes())
    assert len(pictures) == 3
    assert not any(run(predictor, source, tmp_path / "out").values())


def test_what_is_skipped_has_a_reason(clips: Path, tmp_path: Path) -> None:
    """Every file of a folder is a clip or has a reason. An index of DICOM files is no clip."""
    from pydicom.data import get_testdata_file

    index = CINE.parent / "dicomdirtests" / "DICOMDIR"
    shutil.copy(index, clips / "DICOMDIR")
    shutil.copy(str(get_testdata_file("test-SR.dcm")), clips / "report.dcm")
    shutil.copy(CINE, clips / "echo.IMA")
    out = clips / "contours"
    for name in (".hidden.avi", "notes.txt", "README", "frame.png", "contours/x.avi"):
        (clips / name).parent.mkdir(exist_ok=True)
        (clips / name).write_text("x")
    (clips / ".git").mkdir()
    (clips / "loop").symlink_to(clips)
    (clips / "gone.avi").symlink_to(clips / "nowhere.avi")
    os.mkfifo(clips / "pipe.avi")
    files = find_clips(clips, out)
    reasons = {skipped.file: skipped.reason for skipped in files.skipped}
    assert [path.name for path in files.clips if path.suffix != ".avi"] == ["echo.IMA"]
    assert len(files.clips) == 5
    expected = {
        ".git": "a hidden folder",
        ".hidden.avi": "a hidden file",
        "DICOMDIR": "a DICOM file without pictures (Media Storage Directory",
        "README": "neither a video by its name (no extension) nor DICOM",
        "contours": "the folder of the predictions",
        "frame.png": "a still picture",
        "gone.avi": "not a file, or a link to nothing",
        "loop": "a link to a folder",
        "notes.txt": "neither a video by its name (.txt) nor DICOM",
        "pipe.avi": "not a file",
        "report.dcm": "a DICOM file without pictures (Comprehensive SR",
    }
    assert list(reasons) == sorted(expected)
    for file, reason in expected.items():
        assert reasons[file].startswith(reason), file


def test_other_codecs_are_clips(predictor: ContourPredictor, clips: Path, tmp_path: Path) -> None:
    """MP4 of an AVI's frames: nearly its contours, in a table beside it."""
    import av
    import numpy as np

    name = sorted(os.listdir(clips))[0]
    source = tmp_path / "source"
    source.mkdir()
    frames = read_video(clips / name).frames
    with av.open(str(source / "beat.MP4"), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=50)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], "yuv420p"
        stream.codec_context.options = {"crf": "4"}
        for picture in frames:
            rgb = np.repeat(picture[..., None], 3, -1)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            file.mux(stream.encode(frame.reformat(format="yuv420p")))
        file.mux(stream.encode(None))
    run(predictor, source, tmp_path / "out", lambda _: (2, 9))
    assert table(tmp_path / "out")["beat.MP4"]["problem"] == ""
    of_mp4 = predictor(source / "beat.MP4", 2, 9)
    of_avi = predictor(clips / name, 2, 9)
    assert np.abs(of_mp4.frames.astype(int) - of_avi.frames).mean() < 2
    assert np.abs(of_mp4.contours - of_avi.contours).mean() < 2
