"""Files of weights: what is recorded is what was loaded, whatever times and sizes say."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_support import config, record_of, train

from echolm.errors import EchoLMError
from echolm.training import prepare as preparation
from echolm.training.prepare import Inputs, file_sha256, prepare_run
from echolm.training.trunk import first_network
from echolm.workspace import Workspace


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two files of equal size and time."""
    first, second = tmp_path / "w1.pt", tmp_path / "w2.pt"
    first.write_bytes(b"one" * 1000)
    second.write_bytes(b"two" * 1000)
    os.utime(first, (0, 0))
    os.utime(second, (0, 0))
    return first, second


def replaced(files: tuple[Path, Path], how: str) -> None:
    """Bring the second file to the place of the first, with its size and times."""
    first, second = files
    time.sleep(0.02)  # a file system's clock is coarse
    if how == "moved":
        second.replace(first)
    elif how == "copied":
        shutil.copy2(second, first)
    else:
        first.write_bytes(second.read_bytes())
    os.utime(first, (0, 0))


@pytest.mark.parametrize("how", ["moved", "copied", "written"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_file_of_equal_size_and_time_is_another(
    files: tuple[Path, Path], tmp_path: Path, how: str, cached: bool
) -> None:
    cache = tmp_path / "cache" / "sha256.json" if cached else None
    first, second = files
    digests = [file_sha256(first, cache), file_sha256(second, cache)]
    assert digests[0] != digests[1]
    replaced(files, how)
    assert file_sha256(first, cache) == digests[1]


def test_what_another_process_read_is_not_read_again(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "sha256.json"
    digest = file_sha256(files[0], cache)
    file_sha256(files[1], cache)
    monkeypatch.setattr(preparation, "_digests", {})
    monkeypatch.setattr(preparation.hashlib, "file_digest", None)
    assert file_sha256(files[0], cache) == digest
    assert len(json.loads(cache.read_text())) == 2


def test_lines_of_an_earlier_cache_are_replaced(files: tuple[Path, Path], tmp_path: Path) -> None:
    """They were made of path, size and time."""
    cache, (first, _) = tmp_path / "sha256.json", files
    status = first.stat()
    old = {f"{first}|{status.st_size}|{status.st_mtime_ns}": "0" * 64, "/other|1|2": "1" * 64}
    cache.write_text(json.dumps(old))
    digest = file_sha256(first, cache)
    known = json.loads(cache.read_text())
    assert digest != "0" * 64 and known.pop("/other|1|2") == "1" * 64
    assert list(known.values()) == [digest]


def test_a_file_that_is_being_written_is_not_remembered(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = preparation.hashlib.file_digest

    def slow(file: object, name: str) -> object:
        digest = read(file, name)  # type: ignore[arg-type]
        with open(files[0], "ab") as more:
            more.write(b"more")
        return digest

    monkeypatch.setattr(preparation.hashlib, "file_digest", slow)
    with pytest.raises(EchoLMError, match=r"w1.pt: changed while it was read; wait until it is"):
        file_sha256(files[0], tmp_path / "sha256.json")
    monkeypatch.undo()
    assert not (tmp_path / "sha256.json").exists()


@pytest.fixture
def checkpoints(tmp_path: Path) -> tuple[Path, Path]:
    """Two files of weights of one encoder."""
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        path = tmp_path / f"{seed}.safetensors"
        save_file(config().encoder.build(None).state_dict(), path)
        os.utime(path, (0, 0))
        paths.append(path)
    return paths[0], paths[1]


def test_a_file_that_is_exchanged_before_it_is_loaded_trains_nothing(
    workspace: Workspace, checkpoints: tuple[Path, Path]
) -> None:
    run = config(weights=f"file:{checkpoints[0]}", epochs=1)
    prepared = prepare_run(run, workspace, Inputs(workspace))
    first_network(prepared, torch.device("cpu"))
    replaced(checkpoints, "copied")
    with pytest.raises(EchoLMError, match=r"1.safetensors: its SHA-256 is not the one that the"):
        first_network(prepared, torch.device("cpu"))
    again = prepare_run(run, workspace)
    assert again.keys["weights"] != prepared.keys["weights"]
    first_network(again, torch.device("cpu"))


def test_best_weights_that_were_damaged_start_no_run(workspace: Workspace) -> None:
    upstream = config(epochs=1)
    [outcome] = train(workspace, upstream)
    best = record_of(workspace, upstream).file("best.safetensors")
    tensors = load_file(best)
    name = next(name for name in tensors if name.startswith("encoder."))
    tensors[name] = tensors[name] + 1
    save_file(tensors, best)
    [failed] = train(workspace, config(weights=f"run:{outcome.cell}", epochs=1))
    assert failed.state == "failed" and "best.safetensors: its SHA-256 is not" in failed.detail
