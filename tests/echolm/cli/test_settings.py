"""``train FILE field=value`` and ``launch GRID --set field=value --limit N``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from launch_support import Shell

from echolm.config import parse_config
from echolm.errors import EchoLMError
from grid.definition.grid import load_grid
from grid.definition.launched import open_tables
from grid.definition.settings import changed_run, load_changed_run, read_settings
from grid.plan import cell_statuses

RUN = {
    "data": "tiny",
    "task": "landmarks",
    "encoder": "none",
    "trainable": "k0",
    "head": "mean",
    "epochs": 1,
}


class TestSettings:
    """FIELD=VALUE."""

    def test_values_are_yaml(self) -> None:
        texts = ["epochs=3", "optimizer.lr=1.0e-3", "head={name: mlp, width: 8}", "views=fresh"]
        assert read_settings([*texts, "weights=file:/a=b.pt"]) == {
            "epochs": 3,
            "optimizer.lr": 0.001,
            "head": {"name": "mlp", "width": 8},
            "views": "fresh",
            "weights": "file:/a=b.pt",
        }

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("epochs", "'epochs' sets nothing: write FIELD=VALUE"),
            ("=3", "sets nothing"),
            ("epochs= ", "sets nothing"),
            ("epoch=3", "a run has no field 'epoch'; did you mean 'epochs'"),
            ("seed=010", "seed=010: line 1: YAML reads 010 as 8"),
            ("head=[mlp", "not valid YAML"),
        ],
    )
    def test_mistakes(self, text: str, words: str) -> None:
        with pytest.raises(EchoLMError) as caught:
            read_settings([text])
        assert words in str(caught.value)

    def test_a_field_is_set_once(self) -> None:
        with pytest.raises(EchoLMError, match="epochs=2: epochs is set twice"):
            read_settings(["epochs=1", "epochs=2"])

    def test_a_run_with_other_values(self, tmp_path: Path) -> None:
        settings = read_settings(["head=mlp", "head.width=8", "data.fraction=0.5", "trainable=k0"])
        expected = parse_config(
            {
                **RUN,
                "head": {"name": "mlp", "width": 8},
                "data": {"name": "tiny", "fraction": 0.5},
            }
        )
        assert changed_run(parse_config(RUN), settings, "here") == expected
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(RUN))
        assert load_changed_run(path, settings) == expected
        assert load_changed_run(path, {}) == parse_config(RUN)
        with pytest.raises(EchoLMError, match=r"run.yaml: epochs: .*whole number"):
            load_changed_run(path, {"epochs": "ten"})
        with pytest.raises(EchoLMError, match=r"run.yaml: epochs.x: epochs is 1, which has no"):
            load_changed_run(path, {"epochs.x": 1})


def test_train_with_other_values_is_another_run(shell: Shell) -> None:
    path = shell.root / "run.yaml"
    path.write_text(yaml.safe_dump(RUN))
    done = shell.inside("train", path, "seed=4", "batch_size=5", "--json")
    assert done.status == 0, done.err
    cell = json.loads(done.out)["cell"]
    [record] = (shell.workspace.runs / cell).iterdir()
    config = parse_config(json.loads((record / "config.json").read_text())["config"])
    assert config == parse_config({**RUN, "seed": 4, "batch_size": 5})
    again = shell.inside("train", cell[:10], "seed=5", "--json")
    assert again.status == 0 and json.loads(again.out)["cell"] != cell
    assert shell.inside("train", path, "sed=4").status == 1
    assert len(list(shell.workspace.runs.iterdir())) == 2, "nothing of a mistake is stored"


class TestSmoke:
    """launch GRID --set FIELD=VALUE --limit N."""

    def test_it_never_mixes_with_the_grid(self, shell: Shell) -> None:
        grid = shell.grid({"head": ["mean", "mlp"], "seed": [0, 1]}, encoder="none", trainable="k0")
        done = shell("launch", grid, "--set", "epochs=1", "--limit", "3", "--slots", "1", "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["grid"] == "toy-smoke"
        assert json.loads(done.out)["states"] == {"complete": 3}
        assert shell.states(grid) == ["pending"] * 4
        assert not (shell.workspace.grids / "toy").exists()
        path = shell.workspace.grids / "toy-smoke" / "toy-smoke.yaml"
        smoke = load_grid(str(path))
        assert [cell.coordinates for cell in smoke.cells] == [
            {"set": "epochs=1", "head": "mean", "seed": "0"},
            {"set": "epochs=1", "head": "mean", "seed": "1"},
            {"set": "epochs=1", "head": "mlp", "seed": "0"},
        ]
        assert {cell.config.epochs for cell in smoke.cells} == {1}
        assert not {cell.id for cell in smoke.cells} & {cell.id for cell in shell.cells(grid)}
        assert {status.state.name for status in cell_statuses(smoke.cells, shell.workspace)} == {
            "complete"
        }
        printed = shell.inside("tables", path)
        assert printed.status == 0, printed.err
        assert "smoke run of toy with epochs=1: no results" in printed.out
        assert shell.inside("tables", "toy-smoke").out == printed.out
        assert shell.inside("status", path).out.startswith("toy-smoke: 3 cells: 3 complete")

    def test_a_dry_run_writes_nothing(self, shell: Shell) -> None:
        grid = shell.grid({"seed": [0, 1, 2]}, head="mean", encoder="none", trainable="k0")
        done = shell.inside("launch", grid, "--set", "epochs=1", "--limit", "2", "--dry-run")
        assert "toy-smoke: 2 cells: 2 pending; would run 2 in" in done.out, done.err
        assert "set=epochs=1 seed=0" in done.out
        assert not shell.workspace.grids.exists()

    def test_limit_alone_takes_the_first_cells_of_the_grid(self, shell: Shell) -> None:
        grid = shell.grid({"seed": [0, 1, 2]}, head="mean", encoder="none", trainable="k0")
        words = ["launch", grid, "--dry-run", "--json", "--where", "seed=1,2", "--limit", "1"]
        facts = json.loads(shell.inside(*words).out)
        assert (facts["grid"], facts["units"]) == ("toy", [[shell.cells(grid)[1].id]])

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("epochs=2", "is one of toy itself, and a smoke run must not count there"),
            ("epochs=ten", "with epochs=ten: epochs: "),
            ("epoch=1", "did you mean 'epochs'"),
        ],
    )
    def test_mistakes(self, shell: Shell, text: str, words: str) -> None:
        grid = shell.grid({"seed": [0]}, head="mean", encoder="none", trainable="k0")
        done = shell.inside("launch", grid, "--set", text)
        assert done.status == 1 and words in done.err
        assert not shell.workspace.grids.exists()

    def test_earlier_smoke_runs_stay(self, shell: Shell) -> None:
        from grid.definition.smoke import smoke_grid, write_smoke_grid

        grid = load_grid(str(shell.grid({"seed": [0]}, head="mean", trainable="k0")))
        for epochs in (1, 3):
            smoke, cells = smoke_grid(
                shell.workspace, grid, grid.cells, {"epochs": epochs, "optimizer.betas": [0.9, 0.9]}
            )
            assert [cell.config.epochs for cell in cells] == [epochs]
            write_smoke_grid(smoke)
        assert [cell.config.epochs for cell in load_grid(str(smoke.path)).cells] == [1, 3]
        table = open_tables(shell.workspace, str(smoke.path))[0].tables["results"]
        assert table.rows == ("set",)
        smoke.path.write_text("subgrids: {a: 3}\n")
        with pytest.raises(EchoLMError, match="is not a file that EchoLM wrote; move it away"):
            smoke_grid(shell.workspace, grid, grid.cells, {"epochs": 1})
