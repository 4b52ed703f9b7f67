"""``--set``, ``--size``, ``--clips`` and ``data phantom`` as they are typed and completed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from toy_dataset import Toy, write_png

from echolm.cli.data import data
from echolm.datasets import DATASETS, choose_dataset
from echolm.datasets.scan import files_identity
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore, choice_options
from echolm.workspace import Workspace
from echolm.yaml_files import parse_yaml

LETTERS = st.characters(codec="ascii", exclude_categories=["Cc"])
Listed = Callable[..., Path]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def root(toy: type[Toy], listed: Listed) -> Path:
    """Two pictures."""
    names = ("a", "b")
    root = listed(*({"sample": name, "files": [f"{name}.png"]} for name in names))
    for number, name in enumerate(names):
        write_png(root / f"{name}.png", np.full((12, 20), 50 + number, np.uint8))
    return root


def run(workspace: Workspace, *arguments: object) -> Result:
    result = CliRunner().invoke(data, [str(argument) for argument in arguments], obj=workspace)
    if isinstance(result.exception, EchoLMError):
        raise result.exception
    return result


def test_choices_and_size_are_typed(root: Path, workspace: Workspace) -> None:
    words = ("prepare", "toy", root, "--set", "fold=3", "--clips", "image", "--workers", 1)
    words = (*words, "--set", "colour=gray", "--size", 8)
    told = json.loads(run(workspace, *words, "--json").stdout)
    assert told["dataset"] == {"fold": 3, "colour": "gray"} and told["size"] == 8
    store = ClipStore.open(workspace.store("toy"))
    assert store.read(1, np.array([0])).tolist() == np.full((1, 8, 8), 51).tolist()
    printed = run(workspace, *words).output.splitlines()
    assert printed[2:4] == [
        "choices: fold=3, colour=gray",
        "frames resized to 8 x 8 pixels by area, whatever their proportions were",
    ]
    with pytest.raises(EchoLMError, match="was made with other choices"):
        run(workspace, *words[:3], *words[5:])
    told = json.loads(run(workspace, "check", "toy", root, "--set", "fold=1", "--json").stdout)
    assert told["choices"] == {"fold": 1}
    assert "choices" not in json.loads(run(workspace, "check", "toy", root, "--json").stdout)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("flod=1", "--set flod: no field of dataset toy; did you mean 'fold'? valid: any_codec, "),
        ("fold=one", "--set of dataset toy: fold: 'one' is not valid; valid: a whole number"),
        ("fold=yes", "fold: True is not a number"),
        (
            "colour=blue",
            "--set of dataset toy: colour: 'blue' is not valid; valid: gray, refuse",
        ),
        ("name=other", "--set name: no field of dataset toy; valid: "),
        ("fold", "--set 'fold': valid: FIELD=VALUE, such as fold=1"),
        ("=1", "--set '=1': valid: FIELD=VALUE"),
        ("fold=[1", "--set fold: not valid YAML"),
        ("fold=1:30", "--set fold: line 1: "),
    ],
)
def test_a_mistake_in_a_choice_is_one_line(
    root: Path, workspace: Workspace, choice: str, message: str
) -> None:
    for verb in ("check", "prepare"):
        with pytest.raises(EchoLMError) as caught:
            run(workspace, verb, "toy", root, "--set", choice)
        text = str(caught.value)
        assert text.startswith(message) or message in text, text
        assert "\n" not in text
    assert not workspace.root.exists()


def test_a_choice_is_made_once(root: Path, workspace: Workspace) -> None:
    with pytest.raises(EchoLMError, match="--set fold: is given twice"):
        run(workspace, "check", "toy", root, "--set", "fold=1", "--set", "fold=2")
    with pytest.raises(
        EchoLMError, match="--set fold: no field of dataset echonet-dynamic; valid: disag"
    ):
        choose_dataset("echonet-dynamic", {"fold": 1})


def test_choices_differ_from_the_default() -> None:
    assert Toy().choices() == Toy(fold=0).choices() == {}
    assert Toy(fold=2, any_codec=True).choices() == {"fold": 2, "any_codec": True}


@given(st.dictionaries(st.sampled_from("abc"), st.text(LETTERS) | st.integers() | st.booleans()))
def test_choices_are_spelled_so_that_they_are_read_again(chosen: dict[str, Any]) -> None:
    spelled = choice_options(chosen)
    assert spelled[::2] == ["--set"] * len(chosen)
    read = {}
    for word in spelled[1::2]:
        field, _, text = word.partition("=")
        read[field] = parse_yaml(text, "--set")
    assert read == chosen


def test_the_identity_of_files_depends_on_choices(tmp_path: Path) -> None:
    """Without choices it is what it was before datasets had some."""
    (tmp_path / "t.csv").write_text("x")
    plain = files_identity(tmp_path, ["t.csv"], {"a": 1})
    tables = {"t.csv": hashlib.sha256(b"x").hexdigest()}
    text = json.dumps({"tables": tables, "videos": [["a", 1]]}, separators=(",", ":"))
    assert plain == hashlib.sha256(text.encode()).hexdigest()
    assert files_identity(tmp_path, ["t.csv"], {"a": 1}, {}) == plain
    chosen = files_identity(tmp_path, ["t.csv"], {"a": 1}, {"fold": 1})
    other = files_identity(tmp_path, ["t.csv"], {"a": 1}, {"fold": 2})
    assert len({plain, chosen, other}) == 3


def test_a_phantom_of_every_dataset_that_makes_one(
    root: Path, workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "phantom"
    done = run(workspace, "phantom", "toy", folder, "--items", 3, "--set", "fold=9")
    next_command = f"echolm data prepare toy {folder} --set fold=9 --clips all"
    assert done.output == f"{folder}: 3 items; next: {next_command}\n"
    assert sorted(path.name for path in folder.glob("*.png")) == ["0.png", "1.png", "2.png"]
    assert "echonet-dynamic" in run(workspace, "phantom", "--help").output
    assert DATASETS.get("echonet-dynamic").has_phantom()


def completed(*words: str, incomplete: str) -> list[str]:
    found = ShellComplete(data, {}, "echolm", "_C").get_completions(list(words), incomplete)
    return [item.value for item in found]


def test_names_are_completed(root: Path) -> None:
    rules = completed("prepare", "toy", str(root), "--clips", incomplete="")
    assert {"all", "image", "uniform-16", "uniform-", "every-"} <= {*rules}
    assert completed("prepare", "toy", str(root), "--clips", incomplete="ev") == ["every-"]
    for verb in ("prepare", "check"):
        assert completed(verb, "toy", str(root), "--set", incomplete="st") == ["stills="]
    assert completed("check", "toys", str(root), "--set", incomplete="") == []
    assert "toy" in completed("phantom", incomplete="t")
