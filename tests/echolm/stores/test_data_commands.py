"""``echolm data``: what the commands print, where stores go, and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from echolm.cli import main
from echolm.cli.data import data
from echolm.config import parse_config
from echolm.datasets.phantom.generate import write_mjpeg
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.search.trial import TRIAL_SPLITS

NAME = "echonet-dynamic"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work space")


def run(workspace: Workspace, *arguments: object) -> Result:
    result = CliRunner().invoke(data, [str(argument) for argument in arguments], obj=workspace)
    if isinstance(result.exception, EchoLMError):
        raise result.exception
    return result


def test_check_prints_every_problem_and_the_counts(dataset: Any, workspace: Workspace) -> None:
    dataset.files[1]["EF"] = "nan"
    result = run(workspace, "check", NAME, dataset.write())
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "FileList.csv:3: 0XA2: EF is 'nan', not a number",
        "3 videos usable (2 train, 0 val, 1 test), problems: 1",
        "warning: no run can be trained on it: no sample in split val; a run needs train, val, "
        "test",
        "ED is the larger of the two traced areas; ES is traced first in 0 videos",
    ]


def test_check_of_an_unusable_set_exits_with_1(dataset: Any, workspace: Workspace) -> None:
    for row in dataset.files:
        row["EF"] = "?"
    result = run(workspace, "check", NAME, dataset.write(), "--json")
    summary = json.loads(result.output)
    assert (
        result.exit_code == 1
        and summary["fatal"] == ["no video is usable"]
        and not summary["usable"]
    )
    assert summary["problems"][0] == {
        "file": "FileList.csv",
        "row": 2,
        "sample": "0XA1",
        "reason": "EF is '?', not a number",
    }


def test_check_lists_videos_without_landmarks_apart(dataset: Any, workspace: Workspace) -> None:
    """They are used for what they have, so a strict check does not count them."""
    del dataset.tracings[:42]
    result = run(workspace, "check", NAME, dataset.write(), "--strict")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "without landmarks:",
        "FileList.csv:2: 0XA1: needs exactly two traced frames, has 0 (none)",
        "4 videos usable (2 train, 1 val, 1 test), problems: 0, without landmarks: 1",
        "ED is the larger of the two traced areas; ES is traced first in 0 videos",
        "with landmarks: 3 videos (1 train, 1 val, 1 test)",
    ]
    summary = json.loads(run(workspace, "check", NAME, dataset.root, "--json").output)
    assert [note["sample"] for note in summary["notes"]] == ["0XA1"]


def damage(dataset: Any) -> list[str]:
    """Damage all videos but one, and return the beginnings of the lines that say so."""
    videos = dataset.root / "Videos"
    content = (videos / "0XA1.avi").read_bytes()
    (videos / "0XA1.avi").write_bytes(content[: len(content) // 2])
    (videos / "0XA2.avi").write_bytes(b"")
    (videos / "0XA3.avi").write_text("dear colleague")
    return [
        "Videos/0XA1.avi: 0XA1: damaged or truncated: holds ",
        "Videos/0XA2.avi: 0XA2: not a video, or its header is damaged",
        "Videos/0XA3.avi: 0XA3: not a video, or its header is damaged",
        "1 videos usable (1 train, 0 val, 0 test), problems: 3",
    ]


def test_check_opens_every_video(dataset: Any, workspace: Workspace) -> None:
    said = damage(dataset)
    lines = run(workspace, "check", NAME, dataset.write()).output.splitlines()
    assert len(lines) == 6
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=False)), lines
    told = json.loads(run(workspace, "check", NAME, dataset.root, "--json").output)
    assert told["videos_opened"] and told["items"] == 1 and len(told["problems"]) == 3
    assert told["no_run"].startswith("no run can be trained on it: no sample in split val and test")


def test_check_says_when_videos_were_not_opened(dataset: Any, workspace: Workspace) -> None:
    damage(dataset)
    done = run(workspace, "check", NAME, dataset.write(), "--no-videos", "--strict")
    assert done.exit_code == 0 and done.output.splitlines() == [
        "4 videos usable (2 train, 1 val, 1 test), problems: 0",
        "ED is the larger of the two traced areas; ES is traced first in 0 videos",
        "videos were not opened (--no-videos)",
    ]
    told = json.loads(run(workspace, "check", NAME, dataset.root, "--no-videos", "--json").output)
    assert told["videos_opened"] is False


def test_check_of_a_picture_of_another_size(dataset: Any, workspace: Workspace) -> None:
    for row in dataset.files:
        row["FrameWidth"] = 64
    video = dataset.root / "Videos" / "0XA2.avi"
    write_mjpeg(video, np.zeros((12, 64, 96), np.uint8), 50)
    output = run(workspace, "check", NAME, dataset.write()).output
    assert "0XA2: is 96 x 64 pixels; its labels are for 64 x 112 or 112 x 112" in output


def test_a_strict_check_ends_with_3_when_anything_is_wrong(
    dataset: Any, workspace: Workspace
) -> None:
    assert run(workspace, "check", NAME, dataset.write(), "--strict").exit_code == 0
    dataset.files[0]["EF"] = "nan"
    assert run(workspace, "check", NAME, dataset.write()).exit_code == 0
    assert run(workspace, "check", NAME, dataset.root, "--strict").exit_code == 3
    dataset.files.clear()
    assert run(workspace, "check", NAME, dataset.write(), "--strict").exit_code == 1


def test_no_video_that_can_be_read_is_fatal(dataset: Any, workspace: Workspace) -> None:
    for video in (dataset.root / "Videos").iterdir():
        video.write_bytes(b"")
    done = run(workspace, "check", NAME, dataset.write())
    assert done.exit_code == 1 and "unusable: no video can be read" in done.output


def equal_clips(dataset: Any, recoded: bool) -> None:
    """Make 0XA3 (test) the clip of 0XA1 (train), in the same bytes or in others."""
    videos = dataset.root / "Videos"
    content = (videos / "0XA1.avi").read_bytes()
    if recoded:
        content += b"JUNK\x04\0\0\0abcd"
    (videos / "0XA3.avi").write_bytes(content)


def test_check_finds_equal_files_of_two_splits(dataset: Any, workspace: Workspace) -> None:
    equal_clips(dataset, recoded=False)
    done = run(workspace, "check", NAME, dataset.write(), "--strict")
    line = "in split test, its file is byte for byte that of 0XA1 in split train"
    assert done.output.splitlines()[0] == f"Videos/0XA3.avi: 0XA3: {line}"
    assert done.exit_code == 3 and "4 videos usable" in done.output
    for row in dataset.files:
        row["Split"] = "TRAIN"
    assert "problems: 0" in run(workspace, "check", NAME, dataset.write()).output


@pytest.mark.parametrize("recoded", [False, True])
def test_prepare_refuses_equal_clips_of_two_splits_or_keeps_them_and_says_so(
    dataset: Any, workspace: Workspace, recoded: bool
) -> None:
    equal_clips(dataset, recoded)
    words = ("prepare", NAME, dataset.write(), "--workers", 1)
    with pytest.raises(EchoLMError) as caught:
        run(workspace, *words)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("Videos/0XA3.avi: 0XA3: in split test, its f")
    assert first.endswith(" 0XA1 in split train")
    assert lines[0].startswith("1 clip of one split equal clips of another") and (
        "--keep-equal" in lines[1]
    )
    assert not (workspace.store(NAME) / "store.json").exists()
    warning = "warning: 1 clip of one split equal clips of another (problems.csv): results on them"
    for _ in range(2):
        done = run(workspace, *words, "--keep-equal")
        assert done.exit_code == 0 and warning in done.output
        words = ("prepare", NAME, dataset.root)
    store = ClipStore.open(workspace.store(NAME))
    assert (len(store.items), store.info["problems"], store.info["equal_clips"]) == (4, 0, 1)
    assert "0XA1 in split train; kept" in (store.path / "problems.csv").read_text()
    [listed] = json.loads(run(workspace, "list", "--json").output)
    assert listed["problem"].startswith("1 clip of one split equal")


def test_one_clip_twice_in_one_split_is_no_problem(dataset: Any, workspace: Workspace) -> None:
    equal_clips(dataset, recoded=False)
    dataset.files[0]["Split"] = "TEST"
    assert run(workspace, "prepare", NAME, dataset.write(), "--workers", 1).exit_code == 0


@pytest.mark.parametrize("split", ["TRAIN", "VAL", "TEST"])
def test_an_empty_split_is_told_by_check_prepare_and_the_dry_run(
    dataset: Any, workspace: Workspace, tmp_path: Path, split: str
) -> None:
    others = [name for name in ("TRAIN", "VAL", "TEST") if name != split]
    for number, row in enumerate(dataset.files):
        row["Split"] = others[number % 2]
    reason = f"no run can be trained on it: no sample in split {split.lower()}; a run needs train"
    assert reason in run(workspace, "check", NAME, dataset.write()).output
    prepared = run(workspace, "prepare", NAME, dataset.root, "--workers", 1, "--name", "p")
    assert prepared.exit_code == 0 and f"warning: {reason}" in prepared.output
    base = {"data": "p", "task": "landmarks", "encoder": "tiny-r3d"}
    base |= {"trainable": "k0", "head": "mlp", "epochs": 1}
    grid = tmp_path / "g.yaml"
    grid.write_text(json.dumps({"base": base, "axes": {"seed": [0, 1]}}))
    words = ["-w", str(workspace.root), "launch", str(grid), "--on", "local", "--dry-run"]
    planned = CliRunner().invoke(main, words)
    assert "2 cells cannot run (" in planned.output and reason in planned.output
    config = parse_config(base)
    if split == "TEST":  # a trial of a search reads no test sample
        assert prepare_run(config, workspace, splits=TRIAL_SPLITS).store == workspace.store("p")
    else:
        with pytest.raises(EchoLMError, match="a run needs train, val; name another store"):
            prepare_run(config, workspace, splits=TRIAL_SPLITS)


def test_prepare_into_the_workspace(dataset: Any, workspace: Workspace) -> None:
    result = run(workspace, "prepare", NAME, dataset.write(), "--workers", 1)
    assert (
        result.exit_code == 0 and "4 videos (2 train, 1 val, 1 test), 0 left out" in result.output
    )
    assert len(ClipStore.open(workspace.store(NAME)).items) == 4


def test_an_index_alone_says_where_the_frames_are(dataset: Any, workspace: Workspace) -> None:
    result = run(workspace, "prepare", NAME, dataset.write(), "--index-only", "--workers", 1)
    assert result.exit_code == 0 and f"frames in {dataset.root}" in result.output
    store = ClipStore.open(workspace.store(NAME))
    assert store.read(0, store.items[0].frames).any() and not (store.path / "frames.bin").exists()
    [listed] = json.loads(run(workspace, "list", "--json").output)
    assert listed["index_only"] and listed["videos"] == str(dataset.root)


def test_prepare_elsewhere_links_it(dataset: Any, workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "große 'Platte'" / "store"
    arguments = (
        "prepare",
        NAME,
        dataset.write(),
        "--out",
        out,
        "--name",
        "mine",
        "--clips",
        "all",
        "--json",
    )
    described = json.loads(run(workspace, *arguments, "--workers", 1).stdout)
    assert (
        described["path"] == str(out)
        and described["clips"] == "all"
        and described["name"] == "mine"
    )
    assert workspace.store("mine").is_symlink() and workspace.store("mine").samefile(out)
    assert run(workspace, *arguments).exit_code == 0
    with pytest.raises(EchoLMError, match="mine: is another store already"):
        run(workspace, "prepare", NAME, dataset.root, "--out", tmp_path / "other", "--name", "mine")
    assert not (tmp_path / "other").exists()


def test_a_name_that_is_no_name(dataset: Any, workspace: Workspace) -> None:
    with pytest.raises(EchoLMError, match="--name '../x': valid: letters"):
        run(workspace, "prepare", NAME, dataset.write(), "--name", "../x")


def test_phantom_prepare_list(workspace: Workspace, tmp_path: Path) -> None:
    printed = run(
        workspace,
        "phantom",
        NAME,
        tmp_path / "ph",
        "--videos",
        3,
        "--seed",
        4,
        "--clips-per-patient",
        1,
    )
    assert (
        printed.output
        == f"{tmp_path / 'ph'}: 3 clips; next: echolm data prepare {NAME} {tmp_path / 'ph'}\n"
    )
    assert run(workspace, "prepare", NAME, tmp_path / "ph").exit_code == 0
    (workspace.store("broken")).mkdir()
    listed = json.loads(run(workspace, "list", "--json").stdout)
    assert [store["name"] for store in listed] == ["broken", f"{NAME}-phantom"]
    assert "not a clip store" in listed[0]["problem"] and listed[1]["synthetic"] is True
    lines = run(workspace, "list").output.splitlines()
    assert len(lines) == 3 and listed[1]["fingerprint"][:16] in lines[2]


def test_a_stopped_phantom_says_how_to_continue(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*values: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("echolm.datasets.phantom.generate.write_mjpeg", stop)
    words = ("phantom", NAME, tmp_path / "ph", "--videos", 2)
    stopped = run(workspace, *words)
    assert stopped.exit_code == 1 and "stopped; the same command continues" in stopped.output
    monkeypatch.undo()
    assert run(workspace, *words).exit_code == 0
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        run(workspace, *words)


def test_an_empty_workspace_lists_nothing(workspace: Workspace) -> None:
    assert json.loads(run(workspace, "list", "--json").stdout) == []
