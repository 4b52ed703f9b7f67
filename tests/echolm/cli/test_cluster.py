"""Site profiles at the command line, on a machine that is no login node."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from launch_support import Shell

from cluster.profile import example


def test_the_example_is_printed_as_it_is(bare: Shell) -> None:
    done = bare.inside("cluster", "example")
    assert (done.status, done.out) == (0, example())
    assert json.loads(bare.inside("cluster", "example", "--json").out) == yaml.safe_load(example())


def test_without_slurm_the_missing_commands_are_named(bare: Shell, tmp_path: Path) -> None:
    (bare.root / "site.yaml").write_text(example())
    done = bare.inside("cluster", "check", "site.yaml", PATH=str(tmp_path))
    assert done.status == 1 and done.err.startswith(
        "Error: sbatch, squeue, scancel, scontrol, sinfo: not found here"
    ), done
    assert "login node" in done.err


def test_a_controller_that_does_not_answer_is_told_in_its_words(
    bare: Shell, tmp_path: Path
) -> None:
    (bare.root / "site.yaml").write_text(example())
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo"):
        (tmp_path / name).write_text(
            "#!/bin/sh\n"
            "echo slurm_load_ctl_conf error: Unable to contact slurm controller >&2; exit 1\n"
        )
        (tmp_path / name).chmod(0o755)
    done = bare.inside("cluster", "check", "site.yaml", PATH=f"{tmp_path}:/bin")
    assert (done.status, done.out) == (1, "")
    words = (
        "Error: scontrol show config: slurm_load_ctl_conf error: Unable to contact slurm"
        " controller; run this on a login node"
    )
    assert done.err.startswith(words) and done.err.count("\n") == 1, done


def test_a_profile_with_a_mistake_is_told_before_slurm_is_asked(
    bare: Shell, tmp_path: Path
) -> None:
    (bare.root / "site.yaml").write_text(example().replace("account:", "acount:"))
    done = bare.inside("cluster", "check", "site.yaml", PATH=str(tmp_path))
    assert (
        done.status == 1
        and "site.yaml: unknown field 'acount'; did you mean 'account'?" in done.err
    ), done
    assert "nosuch.yaml: cannot be read" in bare.inside("cluster", "check", "nosuch.yaml").err
