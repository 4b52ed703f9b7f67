"""``echolm train`` as typed: in processes of its own, alone and under torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from training_support import Config, Reference, Result, config, record_of

from echolm.workspace import Workspace


def written(run: Config, workspace: Workspace) -> list[str]:
    """The command's arguments for a configuration, in a file whose name needs quoting."""
    path = workspace.root / "my 'config'.yaml"
    path.write_text(yaml.safe_dump(run.model_dump(mode="json")))
    return [
        "-m",
        "echolm.cli",
        "--workspace",
        str(workspace.root),
        "train",
        str(path),
        "--device",
        "cpu",
    ]


def test_ctrl_c_and_the_same_command_again(workspace: Workspace, reference: Reference) -> None:
    """Status 3 and what to do next, then a result as if nothing had happened."""
    run = config(encoder="tiny-r3d", epochs=8)
    command = [sys.executable, *written(run, workspace)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    lines = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=400)
    record = record_of(workspace, run)
    assert lines[0] == f"cell {record.path.parent.name} in {record.path}\n"
    assert lines[1].startswith("epoch 1/8  val loss ") and "dice/ED" in lines[1]
    assert lines[1].endswith(" s\n"), "and its seconds"
    assert process.returncode == 3
    assert errors.startswith("stopping (SIGINT): the run saves a checkpoint first; ")
    assert "interrupted: SIGINT\nthe same command continues from the checkpoint\n" in rest
    assert record.state().name == "interrupted"

    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["cell"], printed["state"], printed["summary"]) == (
        record.path.parent.name,
        "complete",
        record.summary(),
    )
    assert Result.of(record) == reference(run)


def test_torchrun(workspace: Workspace) -> None:
    """Two ranks, one run: rank 0 alone writes and prints."""
    run = config(encoder="tiny-mvit", trainable="k1")
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    done = subprocess.run(
        [*torchrun, *written(run, workspace)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/2") == 1 and done.stdout.count("\ncomplete\n") == 1
    record = record_of(workspace, run)
    assert record.attempts() == [1] and record.events(1)[0]["world"] == 2
    assert len(Result.of(record).predictions) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [("data: tiny\n", "task: is missing"), ("data: [", "not valid YAML"), ("", "is empty")],
)
def test_a_mistake_in_the_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from echolm.cli import main

    (tmp_path / "c.yaml").write_text(text)
    result = CliRunner().invoke(
        main, ["--workspace", str(tmp_path), "train", str(tmp_path / "c.yaml")]
    )
    assert result.exit_code == 1
    assert message in result.output and "Traceback" not in result.output
    assert f"{tmp_path / 'c.yaml'}" in result.output


def test_a_failed_run_is_told_with_its_status(workspace: Workspace) -> None:
    from click.testing import CliRunner

    from echolm.cli import main

    run = config(encoder="tiny-r3d", optimizer={"name": "sgd", "lr": 1e30})
    result = CliRunner().invoke(main, written(run, workspace)[2:])
    assert result.exit_code == 1
    assert "failed: Diverged: the training loss is" in result.output
