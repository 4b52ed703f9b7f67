"""The grid ``ef-phantom`` in small: one table over three datasets, two tasks and three units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn import metrics

from echolm.datasets import DATASETS
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.api import Results
from grid.definition.grid import load_grid
from grid.plan import save_cells

SHIPPED = Path(__file__).parents[3] / "grid" / "grids" / "ef-phantom.yaml"
NAME = "ef-small"
SEEDS = 2
STORES = {
    "echonet-dynamic-phantom-videos": ("echonet-dynamic", "all", 20),
    "camus-phantom": ("camus", "all", 10),
    "tmed-2-phantom": ("tmed-2", "uniform-16", 20),
}
"""Store -> dataset, clip rule, items."""


def mean_absolute(runs: pd.DataFrame) -> float:
    errors = [abs(row.truth[0] - row.prediction[0]) for row in runs.itertuples()]
    return float(np.mean(errors))


def determination(runs: pd.DataFrame) -> float:
    return float(metrics.r2_score(np.stack(runs["truth"]), np.stack(runs["prediction"])))


def area(runs: pd.DataFrame) -> float:
    truth, score = np.stack(runs["truth"])[:, 0], np.stack(runs["score"])
    return float(metrics.roc_auc_score(truth, score[:, 0]))


def macro_area(runs: pd.DataFrame) -> float:
    truth, score = np.stack(runs["truth"])[:, 0], np.stack(runs["score"])
    areas = [metrics.roc_auc_score(truth == label, score[:, label]) for label in range(3)]
    return float(np.mean(areas))


COLUMNS = {
    "EF MAE (%)": ("EF EchoNet", mean_absolute),
    "EDV R²": ("EDV EchoNet", determination),
    "EDV MAE (ml)": ("EDV EchoNet", mean_absolute),
    "EF < 50 % AUC": ("EF < 50 % EchoNet", area),
    "CAMUS EDV MAE (ml)": ("EDV CAMUS", mean_absolute),
    "AS macro AUC": ("AS TMED-2", macro_area),
}
"""Column -> the cells that it is of, and what it is of the predictions of a run."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("ef")
    workspace = Workspace(root / "workspace")
    for store, (dataset, clips, items) in STORES.items():
        DATASETS.parse(dataset).generate_phantom(root / dataset, items, seed=0)
        out = workspace.store(store)
        prepare(dataset, root / dataset, out, clips, workers=1, progress=False)
    return workspace


@pytest.fixture(scope="module")
def results(workspace: Workspace) -> Results:
    """The shipped grid with one head, two seeds and an epoch, run in this process."""
    written: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    written["base"]["epochs"] = 1
    written["axes"] |= {"head": ["linear"], "seed": f"0-{SEEDS - 1}"}
    path = workspace.root / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(written))
    grid = load_grid(str(path))
    assert len(grid.cells) == SEEDS * len({measure for measure, _ in COLUMNS.values()})
    save_cells(grid, workspace)
    for cell in grid.cells:
        [outcome] = fit([prepare_run(cell.config, workspace)])
        assert outcome.state == "complete", outcome
    here = Results(workspace.root)
    here.collect(NAME)
    return here


def test_the_file_says_how_its_stores_are_made() -> None:
    """The commands of its comment are there, and give the stores under the names that it reads."""
    made = {}
    for line in SHIPPED.read_text().splitlines():
        if line.startswith("#   echolm data prepare "):
            dataset, _, *options = line.split()[4:]
            given = dict(zip(options[::2], options[1::2], strict=True))
            made[given.get("--name", f"{dataset}-phantom")] = (dataset, given["--clips"])
    assert made == {store: facts[:2] for store, facts in STORES.items()}


def test_a_number_of_each_column_is_that_of_its_predictions(results: Results) -> None:
    shown = results.tables(NAME)
    assert list(shown["column"]) == list(COLUMNS)
    predictions = results.predictions(NAME)
    cells = {cell.id: cell.coordinates for cell in results.grid(NAME).cells}
    measures = predictions["cell"].map(lambda cell: cells[cell]["measure"])
    for line in shown.itertuples():
        measure, statistic = COLUMNS[line.column]
        chosen = predictions[(measures == measure) & (predictions["split"] == "test")]
        values = [statistic(runs) for _, runs in chosen.groupby("cell")]
        assert len(values) == line.n_seeds == SEEDS
        assert line.mean == pytest.approx(np.mean(values), rel=1e-9), line.column


def test_ef_is_held_against_the_mean_of_the_training_videos(
    results: Results, workspace: Workspace
) -> None:
    """Whatever mark it earns: it is told beside the number."""
    store = ClipStore.open(workspace.store("echonet-dynamic-phantom-videos"))
    values = np.array(store.column("ef"))
    constant = values[store.split("train")].mean()
    errors = np.abs(values[store.split("test")] - constant)
    shown = results.tables(NAME).set_index("column").loc["EF MAE (%)"]
    assert shown["baseline"] == pytest.approx(errors.mean(), rel=1e-6)
    if shown["mean"] >= errors.mean():
        assert shown["not_better"]


def test_each_dataset_has_patients_of_its_own(results: Results, workspace: Workspace) -> None:
    for line in results.tables(NAME).itertuples():
        measure = COLUMNS[line.column][0]
        [store] = {
            cell.config.data.name
            for cell in load_grid(str(workspace.root / f"{NAME}.yaml")).cells
            if cell.coordinates["measure"] == measure
        }
        dataset, _, items = STORES[store]
        half_sequences = 2 if dataset == "camus" else 1
        assert line.n_patients == items / 5 / half_sequences, line.column
