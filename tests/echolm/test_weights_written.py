"""Weights of an encoder that has published ones are written, never random without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from echolm.config import load_config, parse_config
from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.identity import cell_id
from echolm.weights import random_weights
from echolm.workspace import Workspace
from grid.definition.grid import load_grid, shipped_grids
from grid.definition.settings import changed_run
from grid.explain import describe
from grid.search.definition import load_search
from grid.search.folder import start_search

BASE: dict[str, Any] = {
    "data": "d",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k0",
    "head": "mlp",
}
PUBLISHED = [name for name in ENCODERS.names() if ENCODERS.get(name).published]


def write(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("encoder", PUBLISHED)
def test_a_run_must_say_them(encoder: str, tmp_path: Path) -> None:
    path = write(tmp_path / "run.yaml", {**BASE, "encoder": encoder})
    with pytest.raises(EchoLMError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: weights: encoder {encoder} has published weights")
    for name, weights in ENCODERS.parse(encoder).published.items():
        assert f"published:{name}" in message and weights.file in message
    assert "weights: random" in message and "\n" not in message
    written = {**BASE, "encoder": encoder, "weights": "random"}
    assert load_config(write(path, written)) == parse_config({**BASE, "encoder": encoder})


def test_others_need_not(tmp_path: Path) -> None:
    for encoder in set(ENCODERS.names()) - set(PUBLISHED):
        values = {**BASE, "encoder": encoder}
        assert load_config(write(tmp_path / "run.yaml", values)) == parse_config(values)


def test_stored_configurations_that_lack_them_are_read() -> None:
    stored = {**BASE, "encoder": "r3d-18"}
    assert cell_id(parse_config(stored)) == cell_id(parse_config({**stored, "weights": "random"}))


def test_a_grid_must_say_them_of_every_cell(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    axes: dict[str, Any] = {"encoder": ["tiny-r3d", "echoprime"]}
    write(path, {"base": BASE, "axes": axes})
    with pytest.raises(EchoLMError, match="cell encoder=echoprime: weights: encoder echoprime has"):
        load_grid(str(path))
    write(path, {"base": BASE, "axes": {**axes, "weights": ["random"]}})
    assert len(load_grid(str(path)).cells) == 2
    write(path, {"base": BASE, "subgrids": {"a": {"axes": axes, "base": {"weights": "random"}}}})
    assert len(load_grid(str(path)).cells) == 2


@pytest.mark.parametrize("name", shipped_grids())
def test_shipped_grids_say_them(name: str) -> None:
    assert load_grid(name).cells


SPACE = {"optimizer.lr": {"float": [0.001, 0.01]}}


def test_a_search_must_say_them_and_an_earlier_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    base = {**BASE, "encoder": "r3d-18"}
    write(path, {"base": base, "space": SPACE})
    with pytest.raises(EchoLMError, match=r"s.yaml: weights: encoder r3d-18 has published"):
        load_search(str(path))
    write(path, {"base": {**base, "weights": "random"}, "space": SPACE})
    search = load_search(str(path))
    workspace = Workspace(tmp_path / "workspace")
    folder = start_search(search, workspace)
    stored = json.loads((folder / "search.json").read_text())
    del stored["base"]["weights"]  # as an earlier version wrote it
    (folder / "search.json").write_text(json.dumps(stored))
    assert start_search(search, workspace) == folder
    write(path, {"base": {**base, "weights": "published:kinetics400"}, "space": SPACE})
    with pytest.raises(EchoLMError, match="not what search s was started with"):
        start_search(load_search(str(path)), workspace)


def test_another_encoder_does_not_keep_the_weights() -> None:
    tiny = parse_config(BASE)
    with pytest.raises(EchoLMError, match="encoder panecho has published weights"):
        changed_run(tiny, {"encoder": "panecho"}, "here")
    changed = changed_run(tiny, {"encoder": "panecho", "weights": "random"}, "here")
    assert changed.encoder.name == "panecho"
    back = changed_run(changed, {"encoder": "tiny-r3d"}, "here")
    assert back == tiny


@pytest.mark.parametrize(
    ("encoder", "weights", "words"),
    [
        ("r3d-18", "random", "random weights"),
        ("r3d-18", None, "random weights"),
        ("r3d-18", {"source": "random"}, "random weights"),
        ("r3d-18", "published:kinetics400", ""),
        ("r3d-18", {"source": "file", "value": "x.pt"}, ""),
        ("tiny-r3d", "random", ""),
        ("none", "random", ""),
        ("of a plugin that is gone", "random", ""),
    ],
)
def test_they_are_said_where_they_matter(encoder: str, weights: Any, words: str) -> None:
    assert random_weights(encoder, weights) == words


def test_a_description_says_so() -> None:
    plain = parse_config({**BASE, "encoder": "r3d-18"}).model_dump(mode="json")
    assert describe(plain).startswith("finetune r3d-18 (random weights) k0 mlp")
