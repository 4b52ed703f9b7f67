"""The JSON Schemas of files that people write: they take what EchoLM takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from jsonschema import Draft202012Validator

from cluster.json_schemas import KINDS, json_schema
from cluster.profile import load_profile
from echolm.config import load_config
from echolm.heads import HEADS, Head
from grid.definition.grid import load_grid

ROOT = Path(__file__).parents[2]
FILES = {
    "grid": "grid/schemas/grid.schema.json",
    "search": "grid/schemas/search.schema.json",
    "run": "grid/schemas/run.schema.json",
    "profile": "cluster/schemas/profile.schema.json",
}
SHIPPED = [
    *(("grid", path) for path in sorted(ROOT.glob("grid/grids/*.yaml"))),
    *(("search", path) for path in sorted(ROOT.glob("grid/spaces/*.yaml"))),
    *(("profile", path) for path in sorted(ROOT.glob("cluster/profiles/*.yaml"))),
]
RUN = {
    "data": "p",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k1",
    "head": {"name": "mlp", "width": 32},
    "weights": "random",
}


def errors(kind: str, content: Any) -> list[str]:
    """What the schema of a kind of file finds wrong."""
    schema = Draft202012Validator(json_schema(kind))
    return [error.message for error in schema.iter_errors(content)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one(kind: str) -> None:
    Draft202012Validator.check_schema(json_schema(kind))


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=lambda value: str(value)[-24:])
def test_every_shipped_file_is_accepted_and_names_its_schema(kind: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert errors(kind, yaml.safe_load(text)) == []
    word, _, named = text.splitlines()[0].partition("$schema=")
    assert word == "# yaml-language-server: "
    assert (path.parent / named).resolve() == ROOT / FILES[kind]


def test_the_shipped_schemas_are_those_of_the_code() -> None:
    """In a process of its own: other tests register components."""
    program = (
        "import json; from cluster.json_schemas import KINDS, json_schema\n"
        "print(json.dumps({kind: json_schema(kind) for kind in KINDS}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for kind, schema in json.loads(done.stdout).items():
        shipped = json.loads((ROOT / FILES[kind]).read_text(encoding="utf-8"))
        assert shipped == schema, f"type: echolm schema {kind} > {FILES[kind]}"


def test_every_component_of_the_shipped_grids_may_be_written_out() -> None:
    """As ``grid show --json`` prints a run, and as a run's file may hold it."""
    for name in ("demo", "nldl2026"):
        cells = load_grid(name).cells
        for cell in cells[:: max(1, len(cells) // 10)]:
            values = cell.config.model_dump(mode="json", exclude_none=True)
            assert errors("run", values) == []


def test_short_forms_are_accepted(tmp_path: Path) -> None:
    for change in ({}, {"trainable": "all"}, {"head": "mlp"}, {"data": {"name": "p"}}):
        values = {**RUN, **change}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
        load_config(tmp_path / "run.yaml")
        assert errors("run", values) == []


@pytest.mark.parametrize(
    "change",
    [
        {"head": "mpl"},
        {"head": {"name": "mlp", "widht": 32}},
        {"trainable": "k-1"},
        {"weights": "imagenet"},
        {"epochs": 0},
        {"epoch": 3},
    ],
    ids=str,
)
def test_what_is_not_valid_is_found_in_runs_grids_and_searches(change: dict[str, Any]) -> None:
    assert errors("run", {**RUN, **change})
    assert errors("grid", {"base": change, "axes": {"seed": [0]}})
    assert errors("search", {"base": change, "space": {"optimizer.lr": {"float": [0.1, 0.2]}}})


def test_a_mistyped_axis_value_is_found() -> None:
    assert not errors("grid", {"axes": {"head": ["mlp", {"label": "x", "set": {"head": "gcn"}}]}})
    assert errors("grid", {"axes": {"head": ["mpl"]}})
    assert not errors("grid", {"axes": {"anything": [{"label": 3, "set": {"epochs": 3}}]}})


def test_a_profile_takes_one_text_for_lines(tmp_path: Path) -> None:
    values = {
        "partitions": {"cpu": {"cpus_per_node": 4, "memory_gb_per_node": 8}},
        "time_minutes": 60,
        "setup": "module load x\nexport A=1",
    }
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    load_profile(tmp_path / "site.yaml")
    assert errors("profile", values) == []
    assert errors("profile", {**values, "time_minute": 60})


def test_a_plugins_component_is_in_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(Head):
        """A head that is wide."""

        name: Literal["wide-head"] = "wide-head"

    assert errors("run", {**RUN, "head": "wide-head"})
    monkeypatch.setattr(HEADS, "_classes", {**HEADS._classes})
    HEADS.register(Wide)
    assert errors("run", {**RUN, "head": "wide-head"}) == []
