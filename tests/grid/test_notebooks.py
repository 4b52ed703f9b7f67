"""The notebooks of ``examples/`` run from their first cell to their last, and hold no outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grid.api import Results

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


def read(name: str) -> dict[str, Any]:
    """A notebook's content."""
    return dict(json.loads((EXAMPLES / name).read_text(encoding="utf-8")))


def run(name: str) -> dict[str, Any]:
    """Run the code cells of a notebook, one after another, and return its variables."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(read(name)["cells"]):
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), f"{name}, cell {number}", "exec")
            exec(code, variables)
    return variables


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_valid_and_holds_no_outputs(name: str) -> None:
    """Format 4.5 (nbformat's schema): what every cell has, and ids that are told apart."""
    content = read(name)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert set(content) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in content["cells"]:
        assert cell["metadata"] == {} and "".join(cell["source"]).strip()
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
        else:
            assert cell["cell_type"] == "markdown" and "outputs" not in cell


def test_they_run_one_after_another(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grid is defined, launched and collected; then its tables and predictions are looked at."""
    assert NOTEBOOKS == ["own_grid.ipynb", "results.ipynb"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("ECHOLM_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "workspace" / "data").mkdir(parents=True)
    (tmp_path / "workspace" / "data" / "notebook-phantom").symlink_to(tiny / "store")

    launched = run("own_grid.ipynb")
    assert list(launched["launched"]["state"]) == ["complete"] * 4
    tables = launched["tables"]
    assert set(tables["head"]) == {"mlp", "mean"} and set(tables["n_patients"]) == {5}

    shown = run("results.ipynb")
    assert shown["grid"] == "own_grid" and len(shown["runs"]) == 4
    test = shown["test"]
    assert len(test) == 4 * 5 * 2, "four runs of five samples at ED and ES"
    for _, row in tables[tables["column"] == "Dice ED (%)"].iterrows():
        of_row = test[(test["axis.head"] == row["head"]) & (test["slot"] == "ED")]
        assert of_row["dice"].mean() == pytest.approx(row["mean"])
    assert shown["worst"]["truth"].shape == shown["worst"]["prediction"].shape == (80,)
    assert Results().workspace.root == tmp_path / "workspace"
