"""One value is of one data set, one identity of weights and one set of protocols.

Runs that were collected are real in all that identity needs: their store, weights and protocols
are those of a workspace, and then one of these changes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dice_rows import dice_at_ed

from echolm.errors import EchoLMError
from echolm.heads.mlp import MLP
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.api import Results
from grid.definition.grid import Grid, load_grid
from grid.plan import save_cells
from grid.statistics import compare
from grid.tables.compare import column_of, read_pair, selected
from grid.tables.comparison_text import remarks
from grid.tables.render.markdown import markdown
from grid.tables.table import LOCAL, Table, Value
from grid.tables.workspace_tables import built_tables

GRID = """
title: Small
base: {data: p, task: landmarks, encoder: tiny-r3d, weights: "file:WEIGHTS", trainable: k0,
  epochs: 1}
axes: {head: [mlp, gcn], seed: [0, 1, 2]}
tables:
  main: {title: T, rows: [head], columns: [{metric: dice, slot: ED, label: Dice}]}
"""
HEADS = ("mlp", "gcn")


class Place:
    """A workspace with a store, a file of weights, and a launched grid of two heads."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.workspace = Workspace(folder / "workspace")
        self.store = self.workspace.store("p")
        shutil.copytree(store, self.store)
        self.weights = folder / "weights.pt"
        self.weights.write_bytes(b"first")
        file = folder / "g.yaml"
        file.write_text(GRID.replace("WEIGHTS", str(self.weights)))
        self.grid: Grid = load_grid(str(file))
        save_cells(self.grid, self.workspace)
        self.results = self.workspace.results("g")
        self.runs: list[dict[str, Any]] = []

    def collect(self, shift: float, *seeds: str, without: tuple[str, ...] = ()) -> None:
        """Write runs of some seeds as they would be collected now, their Dice moved by ``shift``.

        Args:
            shift: of all values.
            seeds: which.
            without: columns that the file does not have.
        """
        (self.results / "predictions").mkdir(parents=True, exist_ok=True)
        for cell in self.grid.cells:
            seed = cell.coordinates["seed"]
            if seed not in seeds:
                continue
            identity = prepare_run(cell.config, self.workspace).identity
            dice = np.random.default_rng(int(seed)).normal(60 + shift, 2, 30)
            table = dice_at_ed(dice)
            truth = pa.array([[shift, 1.0]] * 30)
            path = self.results / "predictions" / f"{identity['fingerprint'][:16]}.parquet"
            pq.write_table(table.append_column("truth", truth), path)
            self.runs.append(
                {
                    "run_id": f"run-{len(self.runs)}",
                    "fingerprint": identity["fingerprint"],
                    "cell": cell.id,
                    "commit": "c0ffee",
                    "synthetic": True,
                    "end": len(self.runs),
                    "problem": None,
                    "data": identity["data"],
                    "weights": identity["weights"],
                    "protocols": json.dumps(identity["protocols"]),
                    "params.data.name": "p",
                    "params.weights": str(cell.config.weights),
                }
            )
        schema = {name: pa.string() for name in self.runs[0] if name not in ("synthetic", "end")}
        rows = pa.Table.from_pylist(
            self.runs, pa.schema({**schema, "synthetic": pa.bool_(), "end": pa.int64()})
        )
        pq.write_table(rows.drop_columns(list(without)), self.results / "runs.parquet")

    def table(self) -> Table:
        grid = load_grid(str(self.grid.path))
        [built] = built_tables(self.workspace, grid, self.results, ["main"], ("echolm",))
        return built

    def values(self) -> list[Value]:
        return [row.values[0] for row in self.table().rows]

    # What changes

    def move_labels(self) -> None:
        """Prepare the store again under its name, with other content."""
        info = json.loads((self.store / "store.json").read_text())
        info["fingerprint"] = "f" * 64
        (self.store / "store.json").write_text(json.dumps(info))

    def replace_weights(self) -> None:
        self.weights.write_bytes(b"others")


@pytest.fixture
def place(tmp_path: Path, tiny: Path) -> Place:
    return Place(tmp_path, tiny / "store")


@pytest.fixture
def changes(place: Place, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], None]]:
    return {
        "data": place.move_labels,
        "weights": place.replace_weights,
        "protocol of head:mlp": lambda: monkeypatch.setattr(MLP, "protocol", 2),
    }


KINDS = ("data", "weights", "protocol of head:mlp")


def test_sound_runs_are_averaged_as_ever(place: Place) -> None:
    place.collect(0, "0", "1", "2")
    for value in place.values():
        assert value.seeds == ("0", "1", "2")
        assert not value.notes
        assert not value.missing


@pytest.mark.parametrize("what", KINDS)
def test_runs_that_no_longer_count_are_never_averaged_with_those_that_do(
    place: Place, changes: dict[str, Callable[[], None]], what: str
) -> None:
    """Two seeds of before, one of after the change: the number is of the one, and the two told."""
    place.collect(0, "0", "1")
    changes[what]()
    place.collect(20, "2")
    value = place.values()[0]
    assert value.seeds == ("2",)
    assert value.number is not None
    assert value.number.estimate == pytest.approx(80, abs=2)
    assert [item.seed for item in value.missing] == ["0", "1"]
    for item in value.missing:
        assert "not averaged, as its run no longer counts" in item.reason
        assert f"{what} changed (" in item.reason
        assert item.command is not None
        assert item.command.verb == "launch"
    text = markdown(place.table())
    assert ": seeds 0, 1: not averaged" in text
    assert "echolm launch" in text


@pytest.mark.parametrize("what", KINDS)
def test_a_value_of_which_no_run_counts_is_no_number(
    place: Place, changes: dict[str, Callable[[], None]], what: str
) -> None:
    place.collect(0, "0", "1", "2")
    changes[what]()
    value = place.values()[0]
    assert value.number is None
    assert value.refused
    text = markdown(place.table())
    assert "not averaged" in text.splitlines()[4]
    assert "No run was collected yet" not in text
    with pytest.raises(EchoLMError, match=f"{what} changed .*echolm launch .*echolm collect"):
        read_pair(place.workspace, str(place.grid.path), "head=mlp", "head=gcn", "", LOCAL)
    frame = Results(place.workspace.root).tables("g")
    assert frame["mean"].isna().tolist()[0]


def test_a_protocol_of_one_head_leaves_the_other_as_it_is(
    place: Place, changes: dict[str, Callable[[], None]]
) -> None:
    place.collect(0, "0", "1", "2")
    changes["protocol of head:mlp"]()
    mlp, gcn = place.values()
    assert mlp.number is None
    assert gcn.seeds == ("0", "1", "2")


@pytest.mark.parametrize("what", KINDS)
def test_runs_that_were_collected_before_these_columns_were_there(
    place: Place, changes: dict[str, Callable[[], None]], what: str
) -> None:
    """Their fingerprint tells all the same."""
    old = ("data", "weights", "protocols", "params.weights")
    place.collect(0, "0", "1", "2", without=old)
    assert [value.seeds for value in place.values()] == [("0", "1", "2")] * 2
    changes[what]()
    value = place.values()[0]
    assert value.number is None
    assert "no longer counts" in value.missing[0].reason


def test_a_run_that_counts_again_is_used_again(place: Place) -> None:
    """The weights come back: of two runs a seed, it is the older one that counts."""
    place.collect(0, "0", "1", "2")
    place.replace_weights()
    place.collect(20, "0", "1", "2")
    value = place.values()[0]
    assert value.number is not None
    assert value.number.estimate == pytest.approx(80, abs=2)
    assert "the one of today's data, weights and protocols is used" in value.notes[0]
    place.weights.write_bytes(b"first")
    value = place.values()[0]
    assert value.number is not None
    assert value.number.estimate == pytest.approx(60, abs=2)


@pytest.mark.parametrize("what", ["data", "weights"])
def test_where_nothing_is_known_of_today_the_runs_must_agree(
    place: Place, changes: dict[str, Callable[[], None]], what: str
) -> None:
    """As where results alone were copied."""
    place.collect(0, "0", "1")
    changes[what]()
    place.collect(20, "2")
    shutil.rmtree(place.store)
    place.weights.unlink()
    for value in place.values():
        assert value.number is None
        assert f"its runs are of different {what} (seeds 0, 1: " in value.refused
        assert "'echolm launch' runs what changed" in value.refused
    assert "not averaged" in markdown(place.table())
    with pytest.raises(EchoLMError, match=f"of different {what}"):
        read_pair(place.workspace, str(place.grid.path), "head=mlp", "head=gcn", "", LOCAL)
    place.runs = [run for run in place.runs if run["end"] < 4]
    place.collect(0)
    assert [value.seeds for value in place.values()] == [("0", "1")] * 2


def test_protocols_must_agree_where_the_configuration_is_not_known(place: Place) -> None:
    place.collect(0, "0", "1")
    protocols = json.loads(place.runs[0]["protocols"])
    place.runs[0]["protocols"] = json.dumps({**protocols, "head:mlp": 7})
    (place.workspace.grids / "g" / "cells.json").unlink()
    place.collect(0)
    opened = Results(place.workspace.root).tables(str(place.grid.path))
    assert opened["mean"].isna().tolist() == [True, False]


def test_a_launched_cell_that_was_collected_elsewhere_says_what_its_state_needs(
    place: Place,
) -> None:
    """Of a run that counts today and is complete, ``collect`` is what helps."""
    place.collect(0, "0", "1", "2")
    place.move_labels()
    cell = place.grid.cells[0]
    prepared = prepare_run(cell.config, place.workspace)
    prepared.record.create(prepared.identity)
    (prepared.record.path / "summary.json").write_text("{}")
    prepared.record.attempt_path(1).mkdir()
    first, *others = place.values()[0].missing
    assert first.command is not None
    assert first.command.verb == "collect"
    assert "the run was not collected" in first.reason
    assert {item.command.verb for item in others if item.command} == {"launch"}


class TestOtherTruth:
    """Two stores of the same patients, which runs of one grid are of by design."""

    @pytest.fixture
    def two(self, place: Place) -> Callable[[bool], None]:
        def make(moved: bool) -> None:
            """The second head's runs are of another store, of the same truth or of another."""
            place.collect(0, "0", "1", "2")
            for run in place.runs:
                if run["cell"] in {cell.id for cell in place.grid.cells[3:]}:
                    run["data"] = "e" * 64
                    path = place.results / "predictions" / f"{run['fingerprint'][:16]}.parquet"
                    table = pq.read_table(path)
                    truth = pa.array([[0.5 * moved, 1.0]] * 30)
                    pq.write_table(table.drop_columns("truth").append_column("truth", truth), path)
            shutil.rmtree(place.store)
            place.collect(0)

        return make

    def test_values_of_another_truth_are_not_compared(
        self, place: Place, two: Callable[[bool], None]
    ) -> None:
        two(True)
        with pytest.raises(EchoLMError, match="the same patients have other true values"):
            read_pair(place.workspace, str(place.grid.path), "head=mlp", "head=gcn", "", LOCAL)
        reasons = [value.standing.reason for value in place.values() if value.standing]
        assert sum("other true values than the best" in reason for reason in reasons) == 1
        assert Results(place.workspace.root).comparisons("g", "main").empty

    def test_a_store_with_the_same_truth_is_compared(
        self, place: Place, two: Callable[[bool], None]
    ) -> None:
        two(False)
        pair = read_pair(place.workspace, str(place.grid.path), "head=mlp", "head=gcn", "", LOCAL)
        first, second = pair.sides
        assert np.isfinite(compare(first.resampled, second.resampled).difference)


def test_a_comparison_tells_which_seeds_are_not_in_it(place: Place) -> None:
    place.collect(0, "0", "1")
    place.move_labels()
    place.collect(5, "2")
    pair = read_pair(place.workspace, str(place.grid.path), "head=mlp", "head=gcn", "", LOCAL)
    text = "\n".join(remarks(pair.sides))
    assert "head=mlp: without seeds 0, 1: not averaged, as its run no longer counts: data" in text
    chosen = selected(pair.grid, "head=mlp"), selected(pair.grid, "head=gcn")
    assert column_of(pair.grid, chosen).heading == "Dice"
