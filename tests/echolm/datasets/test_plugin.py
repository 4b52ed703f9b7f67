"""A dataset that a plugin adds: single PNG images, through the commands that a user types."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echolm.datasets import DATASETS
from echolm.stores.clips import ClipStore

PLUGIN = '''
from typing import Literal

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.scan import Problem, Scan, SourceItem, files_identity, shared_patients


@DATASETS.register
class Stills(Dataset):
    """Images that are called SPLIT-PATIENT-VIEW.png. Those of view B have no view."""

    name: Literal["stills"] = "stills"
    noun = "image"

    def scan(self, root):
        items, problems = [], []
        for path in sorted(root.glob("*.png")):
            split, patient, view = path.stem.split("-")
            if view == "X":
                problems.append(Problem(path.name, None, path.stem, "view X is no view"))
                continue
            values = {} if view == "B" else {"view": view}
            items.append(SourceItem(sample=path.stem, patient=patient, split=split, path=path,
                                    study=patient, values=values))
        sizes = {item.path.name: item.path.stat().st_size for item in items}
        return Scan(reader=self.name, root=root, items=items, problems=problems,
                    fatal=shared_patients(items), identity=files_identity(root, [], sizes))

    def remarks(self, scan):
        return ["these are stills"]
'''
NAMES = ("test-P3-A", "test-P3-B", "train-P1-A", "train-P1-X", "val-P2-C")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The plugin, and the folder ``images``, in which every image has its own size."""
    (tmp_path / "stills.py").write_text(PLUGIN)
    (tmp_path / "images").mkdir()
    for number, name in enumerate(NAMES):
        Image.fromarray(pixels(number)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (30 + number, 41), np.uint8)


def typed(root: Path, *words: str, status: int = 0) -> str:
    """What ``echolm WORDS`` prints, in a process that has the plugin."""
    environment = os.environ | {
        "ECHOLM_PLUGINS": "stills",
        "PYTHONPATH": os.pathsep.join([str(root), str(Path(__file__).parents[3])]),
    }
    command = [sys.executable, "-m", "echolm.cli", "-w", str(root / "workspace"), "data", *words]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def test_images_are_checked_prepared_opened_and_read_bitwise(root: Path) -> None:
    assert typed(root, "check", "stills", "images").splitlines() == [
        "train-P1-X.png: train-P1-X: view X is no view",
        "4 images usable (1 train, 1 val, 2 test), problems: 1",
        "these are stills",
    ]
    printed = typed(root, "prepare", "stills", "images", "--clips", "image", "--workers", "1")
    assert "stills: 4 images (1 train, 1 val, 2 test), 1 left out (problems.csv)" in printed
    store = ClipStore.open(root / "workspace" / "data" / "stills")
    assert (store.info["reader"], store.info["clips"]) == ("stills", "image")
    assert store.info["values"] == {"view": 3}
    for row, number in enumerate((0, 1, 2, 4)):
        item = store.items[row]
        assert item.sample == NAMES[number] and item.study == item.patient
        assert np.array_equal(store.read(row, np.array([0])), pixels(number)[None])
    assert [item.values["view"] for item in store.items] == ["A", None, "A", "C"]


def test_values_that_a_clip_rule_needs_and_no_item_has_are_told(root: Path) -> None:
    printed = typed(root, "prepare", "stills", "images", "--workers", "1", status=1)
    assert printed.splitlines() == [
        "Error: images: no item can be stored; the first of 4: test-P3-A.png: test-P3-A: has no "
        "value ed, es, which clip rule ed-to-es-16 needs; a clip rule that needs none takes it: "
        "--clips all"
    ]
    assert not (root / "workspace").exists()


def test_images_are_not_read_by_index(root: Path) -> None:
    words = ("prepare", "stills", "images", "--clips", "image", "--index-only", "--workers", "1")
    assert "its frames cannot be read by index; store them" in typed(root, *words, status=1)


def test_the_names_are_those_of_all_datasets(root: Path) -> None:
    names = sorted([*DATASETS.names(), "stills"])
    printed = typed(root, "check", "still", "images", status=2)
    assert "unknown dataset 'still'; did you mean 'stills'?" in printed
    assert f"valid: {', '.join(names)}" in printed
    printed = "".join(typed(root, "prepare", "--help").lower().split())
    assert f"{{{'|'.join(names)}}}" in printed
    made = [name for name in DATASETS.names() if DATASETS.get(name).has_phantom()]
    printed = typed(root, "phantom", "stills", "x", status=2)
    assert "unknown dataset 'stills'" in printed and f"valid: {', '.join(made)}" in printed


def test_a_dataset_that_breaks_its_promise_says_so(root: Path) -> None:
    (root / "images" / "val-P2-C.png").rename(root / "images" / "bad-P2-C.png")
    printed = typed(root, "check", "stills", "images", status=1)
    assert "item 'bad-P2-C' is in split 'bad'; valid: train, val, test" in printed


def test_problems_of_a_plugin_are_listed(root: Path) -> None:
    typed(root, "prepare", "stills", "images", "--clips", "all", "--workers", "1")
    with open(root / "workspace" / "data" / "stills" / "problems.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["train-P1-X.png", "", "train-P1-X", "view X is no view"]]
    [listed] = json.loads(typed(root, "list", "--json"))
    assert listed["reader"] == "stills" and listed["items"] == 4
