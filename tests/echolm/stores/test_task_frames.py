"""A store that lacks the frames of a task blocks its cells, in words, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from echolm.cli import main
from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.stores.prepare_clips import prepare
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace

RUN = {
    "data": "heart",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k0",
    "head": {"name": "mlp", "width": 16},
    "epochs": 1,
}
REASON = (
    "data/heart: does not hold the frames of clip ed-to-es that landmarks is learned from: it was "
    "prepared by clip rule uniform-16; prepare another store and name it in data: "
)
COMMAND = "data prepare echonet-dynamic PATH --clips ed-to-es-16 --name NAME"


@pytest.fixture
def workspace(tmp_path: Path, tiny: Path) -> Workspace:
    """A workspace whose only store was prepared by a rule that no landmark task can use."""
    workspace = Workspace(tmp_path / "workspace")
    store = workspace.store("heart")
    prepare("echonet-dynamic", tiny / "source", store, "uniform-16", workers=1, progress=False)
    return workspace


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "hearts.yaml"
    path.write_text(yaml.safe_dump({"base": RUN, "axes": {"seed": [0, 1]}}))
    return path


def typed(workspace: Workspace, *words: object) -> Result:
    return CliRunner().invoke(main, ["-w", str(workspace.root), *(str(word) for word in words)])


def test_a_run_is_refused_before_it_has_a_record(workspace: Workspace) -> None:
    with pytest.raises(EchoLMError) as caught:
        prepare_run(parse_config(RUN), workspace)
    assert str(caught.value) == f"{workspace.root}/{REASON}echolm {COMMAND}"
    assert not workspace.runs.exists()


def test_status_tells_the_cells_as_blocked(workspace: Workspace, grid: Path) -> None:
    done = typed(workspace, "status", grid)
    assert REASON in done.output and COMMAND in done.output, done.output


def test_launch_tells_the_cells_as_blocked_and_runs_nothing(
    workspace: Workspace, grid: Path
) -> None:
    done = typed(workspace, "launch", grid, "--on", "local", "--no-collect")
    assert done.exit_code == 1 and "2 cells cannot run (" in done.output, done.output
    assert REASON in done.output and COMMAND in done.output
    assert not workspace.runs.exists()


@pytest.mark.parametrize("clips", ["all", "ed-to-es-16"])
def test_a_store_that_holds_them_is_taken(tmp_path: Path, tiny: Path, clips: str) -> None:
    workspace = Workspace(tmp_path / "workspace")
    store = workspace.store("heart")
    prepare("echonet-dynamic", tiny / "source", store, clips, workers=1, progress=False)
    assert prepare_run(parse_config(RUN), workspace).store == store
