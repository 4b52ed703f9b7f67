"""Values are held against the constant prediction without being asked.

It is what the head ``mean`` predicts, fitted without a run, of the same data and the same part of
the training rows.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from echolm.cli import main
from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.tasks import TASKS, Batch, Sample, Task
from echolm.training.loop import fit as train
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.definition.grid import Grid, load_grid
from grid.definition.tables import TableDefinition
from grid.plan import save_cells
from grid.statistics.baseline import constant_words
from grid.tables.compare import read_pair
from grid.tables.comparison_text import remarks
from grid.tables.constants import NOT_FITTED, constant_path, fit, fit_constants
from grid.tables.interactions import in_subgroups
from grid.tables.render.markdown import markdown
from grid.tables.store_values import StoreValues, keep_store_values, store_values_path
from grid.tables.table import LOCAL, Table
from grid.tables.workspace_tables import built_tables

GRID = """
title: Own
base: {data: {name: p}, task: landmarks, encoder: tiny-r3d, trainable: k0, epochs: 1}
axes:
  head: [mlp, gcn, mean]
  fraction:
    - {label: all, set: {data.fraction: 1.0}}
    - {label: half, set: {data.fraction: 0.5}}
tables:
  main:
    title: T
    rows: [head, fraction]
    columns: [{metric: dice, slot: ED, label: Dice}, {metric: mke, slot: ES, label: MKE}]
"""


@pytest.fixture
def workspace(tmp_path: Path, tiny: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(tiny / "store", workspace.store("p"))
    return workspace


@pytest.mark.parametrize("fraction", [1.0, 0.3])
def test_it_is_what_the_mean_head_predicts(workspace: Workspace, fraction: float) -> None:
    """Of an encoder that reads 16 pixels a side: the size of its frames does not matter."""
    mean = {"encoder": "none", "trainable": "k0", "head": "mean", "epochs": 1}
    data = {"name": "p", "fraction": fraction}
    config = parse_config({**mean, "data": data, "task": "landmarks"})
    prepared = prepare_run(config, workspace)
    [outcome] = train([prepared])
    assert outcome.state == "complete", outcome
    trained = pq.read_table(prepared.record.file("predictions.parquet"))
    trained = trained.filter(pc.equal(trained["split"], "test"))
    other = parse_config(
        {**mean, "encoder": "tiny-r3d", "head": "mlp", "data": data, "task": "landmarks"}
    )
    fitted = fit(ClipStore.open(prepared.store), other)  # type: ignore[arg-type]
    assert fitted is not None
    assert fitted.column_names == trained.column_names
    for name in ("sample", "patient", "split", "target", "slot"):
        assert fitted[name].to_pylist() == trained[name].to_pylist()
    for name in ("truth", "prediction"):
        ours, theirs = (np.array(table[name].to_pylist()) for table in (fitted, trained))
        assert ours == pytest.approx(theirs, abs=1e-3)
    for name, tolerance in (("dice", 0.5), ("mke", 1e-3)):
        assert fitted[name].to_numpy() == pytest.approx(trained[name].to_numpy(), abs=tolerance)


class Own:
    """A launched grid of its own, without any baseline, and its collected runs."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        file = folder / "own.yaml"
        file.write_text(GRID)
        self.workspace = workspace
        self.grid: Grid = load_grid(str(file))
        save_cells(self.grid, workspace)
        self.results = workspace.results("own")
        (self.results / "predictions").mkdir(parents=True)

    def collect(self, better: dict[str, float]) -> None:
        """Write runs whose Dice and error are those of the constant, and so much better by head."""
        runs = []
        for cell in self.grid.cells:
            identity = prepare_run(cell.config, self.workspace).identity
            store = ClipStore.open(self.workspace.store("p"))
            table = fit(store, cell.config)  # type: ignore[arg-type]
            assert table is not None
            gain = better[cell.coordinates["head"]]
            for name, sign in (("dice", 1), ("mke", -1)):
                values = pc.add(table[name], sign * gain)
                table = table.set_column(table.column_names.index(name), name, values)
            name = f"{identity['fingerprint'][:16]}.parquet"
            pq.write_table(table, self.results / "predictions" / name)
            data = cell.config.data
            runs.append(
                {
                    "run_id": f"run-{cell.id}",
                    "fingerprint": identity["fingerprint"],
                    "cell": cell.id,
                    "commit": "c0ffee",
                    "synthetic": True,
                    "end": len(runs),
                    "problem": "",
                    "data": identity["data"],
                    "params.data.fraction": str(data.fraction),
                    "params.data.subset_seed": str(data.subset_seed),
                    "params.head.name": cell.coordinates["head"],
                    "params.task.name": "landmarks",
                }
            )
        pq.write_table(pa.Table.from_pylist(runs), self.results / "runs.parquet")

    def table(self) -> Table:
        [built] = built_tables(self.workspace, self.grid, self.results, ["main"], ("echolm",))
        return built

    def constants(self) -> list[Path]:
        return sorted((self.results / "constant").glob("*.parquet"))


@pytest.fixture
def own(tmp_path: Path, workspace: Workspace) -> Own:
    made = Own(tmp_path, workspace)
    made.collect({"mlp": 1.0, "gcn": -1.0, "mean": 0.0})
    return made


def test_own_grids_are_held_against_it_and_keep_it(own: Own) -> None:
    """One for each fraction. Tables have it without the store too; another store has its own."""
    built = own.table()
    marked = {}
    for row in built.rows:
        marked[row.labels] = [value.not_better for value in row.values]
        if row.labels[0] != "mean":
            assert all(value.baseline is not None for value in row.values)
    for fraction in ("all", "half"):
        assert marked["mlp", fraction] == [False, False]
        assert marked["gcn", fraction] == [True, True]
        assert marked["mean", fraction] == [False, False], "it is not held against itself"
    reached = {
        row.labels[1]: row.values[1].baseline for row in built.rows if row.labels[0] == "mlp"
    }
    assert reached["all"] != reached["half"]
    assert "¶ not better than the mean contour of the training data" in markdown(built)
    assert len(own.constants()) == 2
    before = [path.stat().st_mtime_ns for path in own.constants()]
    store = own.workspace.store("p")
    shutil.move(store, store.with_name("away"))
    assert markdown(own.table()) == markdown(built)
    assert [path.stat().st_mtime_ns for path in own.constants()] == before


def test_without_the_store_it_is_said_that_it_lacks(own: Own) -> None:
    store = own.workspace.store("p")
    shutil.move(store, store.with_name("away"))
    text = markdown(own.table())
    assert text.count(NOT_FITTED) == 1
    assert "¶" not in text
    shutil.move(store.with_name("away"), store)
    assert fit_constants(own.workspace, "own", own.results) == 2
    assert fit_constants(own.workspace, "own", own.results) == 0
    assert NOT_FITTED not in markdown(own.table())


def test_it_is_fitted_from_the_data_of_the_run_alone(own: Own) -> None:
    """A store of the same name with other content gives no constant prediction for these runs."""
    runs = pq.read_table(own.results / "runs.parquet").to_pylist()
    others = [{**run, "data": "e" * 64} for run in runs]
    pq.write_table(pa.Table.from_pylist(others), own.results / "runs.parquet")
    assert fit_constants(own.workspace, "own", own.results) == 0
    paths = {constant_path(own.results, run) for run in runs}
    assert len(paths) == 2
    assert not paths & {constant_path(own.results, run) for run in others}


def test_a_comparison_tells_it_too(own: Own) -> None:
    where = "fraction=all"
    arguments: tuple[Any, ...] = (f"head=mlp,{where}", f"head=gcn,{where}", "", LOCAL)
    pair = read_pair(own.workspace, str(own.grid.path), *arguments)
    text = remarks(pair.sides)[0]
    assert text.startswith(f"head=gcn,{where}: not better than the mean contour (")


def test_what_a_store_says_of_its_samples_is_kept_beside_the_results(own: Own) -> None:
    """By the fingerprint of its runs: another store of that name is not taken for it."""
    runs = pq.read_table(own.results / "runs.parquet").to_pylist()
    named = [{**run, "params.data.name": "p"} for run in runs]
    pq.write_table(pa.Table.from_pylist(named), own.results / "runs.parquet")
    assert keep_store_values(own.workspace, own.results) == 1
    assert keep_store_values(own.workspace, own.results) == 0
    data = runs[0]["data"]
    store = ClipStore.open(own.workspace.store("p"))
    items = [store.items[row] for row in store.split("test")]
    kept = StoreValues(own.results)
    assert kept.dataset(data) == store.info["reader"]
    names = [item.sample for item in items]
    assert kept.values(data, names, "ef") == [item.values["ef"] for item in items]
    low = kept.chosen(data, np.array(names), {"ef": "<50"})
    assert low.tolist() == [item.values["ef"] < 50 for item in items]
    columns = pq.read_schema(store_values_path(own.results, data)).names
    assert "landmarks_ed" not in columns
    assert "sha256" not in columns
    others = [{**run, "data": "e" * 64} for run in named]
    pq.write_table(pa.Table.from_pylist(others), own.results / "runs.parquet")
    assert keep_store_values(own.workspace, own.results) == 0


def test_a_table_of_subgroups_of_a_real_store(own: Own) -> None:
    """By ``tables`` alone, which keeps what it needs where the store lies."""
    runs = pq.read_table(own.results / "runs.parquet").to_pylist()
    named = [{**run, "params.data.name": "p"} for run in runs]
    pq.write_table(pa.Table.from_pylist(named), own.results / "runs.parquet")
    definition = own.grid.tables["main"].model_dump()
    definition |= {"subgroups": {"ef": ["<55", ">=55"]}}
    own.grid.tables["main"] = TableDefinition.model_validate(definition)
    built = own.table()
    rows = [row for row in built.rows if row.labels[:2] == ("mlp", "all")]
    assert [row.labels[2] for row in rows] == ["all", "ef <55", "ef >=55"]
    whole, low, high = (row.values[0].number.patients for row in rows)  # type: ignore[union-attr]
    assert low + high == whole
    assert min(low, high) > 0
    assert rows[1].values[0].baseline is not None


def test_two_values_in_subgroups(own: Own) -> None:
    runs = pq.read_table(own.results / "runs.parquet").to_pylist()
    named = [{**run, "params.data.name": "p"} for run in runs]
    pq.write_table(pa.Table.from_pylist(named), own.results / "runs.parquet")
    arguments: tuple[Any, ...] = ("head=mlp,fraction=all", "head=gcn,fraction=all", "", LOCAL)
    whole = read_pair(own.workspace, str(own.grid.path), *arguments)
    found = in_subgroups(own.workspace, whole, "ef=<55|>=55|>200")
    assert [group.name for group in found.groups] == ["ef <55", "ef >=55"]
    differences = [group.comparison.difference for group in found.groups]
    assert differences == pytest.approx([2.0, 2.0])
    [one] = found.interactions
    assert (one.group, one.reference) == ("ef >=55", "ef <55")
    assert one.comparison.difference == pytest.approx(0, abs=1e-9)
    assert found.notes[0] == "Without test patients: ef >200."
    assert found.facts()["interactions"][0]["group"] == "ef >=55"
    assert found.rows()[0][0] == "ef <55"
    for text, words in (
        ("ef", "is a number; name its groups"),
        ("sex", "the store of these runs has no such value; valid: "),
        ("ef=>200|<0", "0 groups with test patients; an interaction needs two"),
        ("=", "write the name of a value"),
    ):
        with pytest.raises(EchoLMError, match=re.escape(words)):
            in_subgroups(own.workspace, whole, text)


class ToyValue(Task):
    """A task of one value that says which constant fits best."""

    name: Literal["toy-constant"] = "toy-constant"
    best: float | None = None

    def outputs(self) -> tuple[int, ...]:
        return (1,)

    def prepare(self, item: Any, frames: int) -> Sample:
        return Sample(np.arange(frames), targets={"ef": np.array([item.values["ef"]], np.float32)})

    def start(self, items: Any) -> Any:
        return None if self.best is None else torch.tensor([self.best], dtype=torch.float64)

    def truth(self, batch: Batch) -> Any:
        return batch.targets["ef"]

    def rows(self, outputs: Any, batch: Batch) -> pa.Table:
        samples = [item.sample for item in batch.items]
        return pa.table({"sample": samples, "prediction": outputs[:, 0].tolist()})


def test_a_task_may_say_which_constant_fits_best(workspace: Workspace) -> None:
    """Such as the log odds of a class. Else it is the mean of the targets."""
    TASKS.register(ToyValue)
    try:
        store = ClipStore.open(workspace.store("p"))
        run = {"data": {"name": "p"}, "encoder": "tiny-r3d", "trainable": "k0", "head": "mean"}
        for best in (None, 12.5):
            task = {"name": "toy-constant", "best": best}
            config = parse_config({**run, "task": task, "epochs": 1})
            fitted = fit(store, config)  # type: ignore[arg-type]
            assert fitted is not None
            train = [store.items[row].values["ef"] for row in store.split("train")]
            expected = np.mean(train) if best is None else best
            assert fitted["prediction"].to_pylist() == pytest.approx(
                [expected] * len(store.split("test")), rel=1e-5
            )
    finally:
        del TASKS._classes["toy-constant"]


def test_other_tasks_have_no_contour() -> None:
    assert constant_words("landmarks") == constant_words("") == "the mean contour"
    assert constant_words("regression") == constant_words("classification")
    assert constant_words("regression") == "a constant prediction"


def test_compare_prints_subgroups(own: Own) -> None:
    runs = pq.read_table(own.results / "runs.parquet").to_pylist()
    named = [{**run, "params.data.name": "p"} for run in runs]
    pq.write_table(pa.Table.from_pylist(named), own.results / "runs.parquet")
    words = ["-w", str(own.workspace.root), "compare", str(own.grid.path)]
    words += ["head=mlp,fraction=all", "head=gcn,fraction=all"]
    done = CliRunner().invoke(main, [*words, "--subgroup", "ef=<55|>=55"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "Dice: head=mlp,fraction=all - head=gcn,fraction=all, by ef"
    assert any(line.startswith("ef >=55 - ef <55") for line in lines)
    assert "adjusted by Holm over 1 interaction" in done.output
    document = json.loads(
        CliRunner().invoke(main, [*words, "--subgroup", "ef=<55|>=55", "--json"]).output
    )
    assert [one["group"] for one in document["groups"]] == ["ef <55", "ef >=55"]
    alone = CliRunner().invoke(main, [*words[:-2], "head", "--subgroup", "ef=<55|>=55"])
    assert alone.exit_code == 2
    assert "--subgroup compares two values: give A and B" in alone.output
