"""An own module that is called like one of EchoLM's packages: one line, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = (str(Path(sys.executable).with_name("echolm")),)
MODULE = (sys.executable, "-m", "echolm.cli")


def typed(
    command: tuple[str, ...], folder: Path, pythonpath: str | None = None
) -> subprocess.CompletedProcess[str]:
    """``--version`` of the command, typed in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if pythonpath is not None:
        environment["PYTHONPATH"] = pythonpath
    return subprocess.run(
        [*command, "--version"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def own_module(folder: Path, name: str) -> Path:
    """A module of one's own, or a package where the name has no ending."""
    path = folder / name
    if path.suffix:
        path.write_text("raise RuntimeError('this is not EchoLM')\n")
    else:
        path.mkdir()
        (path / "__init__.py").write_text("raise RuntimeError('this is not EchoLM')\n")
    return path


@pytest.mark.parametrize("command", [SCRIPT, MODULE], ids=["echolm", "python -m"])
@pytest.mark.parametrize("name", ["grid.py", "cluster.py", "grid", "cluster"])
def test_on_pythonpath_it_is_named_with_the_remedy(
    tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    own = own_module(tmp_path, name)
    done = typed(command, ROOT.parent, f"{tmp_path}{os.pathsep}{ROOT}")
    package = name.removesuffix(".py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {own} hides EchoLM's package '{package}': rename it, or take {tmp_path} "
        "out of PYTHONPATH\n"
    )


def test_in_the_current_folder_it_hides_from_python_m_alone(tmp_path: Path) -> None:
    own = own_module(tmp_path, "grid.py")
    hidden = typed(MODULE, tmp_path, str(ROOT))
    assert (hidden.returncode, hidden.stdout) == (1, "")
    assert hidden.stderr == (
        f"Error: {own} hides EchoLM's package 'grid': rename it, or type the command in another "
        "folder\n"
    )
    assert typed(SCRIPT, tmp_path).returncode == 0


def test_an_empty_entry_of_pythonpath_is_the_current_folder(tmp_path: Path) -> None:
    own = own_module(tmp_path, "cluster.py")
    done = typed(SCRIPT, tmp_path, f"{ROOT / 'nowhere'}{os.pathsep}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {own} hides EchoLM's package 'cluster': rename it, or t")


def test_a_folder_that_is_no_package_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "cluster").mkdir()
    done = typed(SCRIPT, tmp_path, str(tmp_path))
    assert done.returncode == 0 and done.stdout.startswith("echolm, version"), done
