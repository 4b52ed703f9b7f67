"""The wheel, installed in an empty environment outside the checkout, lists and shows a grid."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    os.environ.get("ECHOLM_TEST_SYSTEM") != "1",
    reason="installs packages; set ECHOLM_TEST_SYSTEM=1 to run it",
)


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_shows_a_grid_in_an_empty_environment(tmp_path: Path) -> None:
    """Listing grids needs click, pydantic, PyYAML and numpy alone: no torch, data or weights."""
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        tmp_path,
        CHECKOUT,
        cwd=tmp_path,
    )
    [wheel] = tmp_path.glob("echolm-*.whl")
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    # What is imported below is compiled then.
    install = (
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-compile",
    )
    run(*install, "--no-deps", wheel, cwd=tmp_path)
    run(*install, "click", "pydantic", "pyyaml", "numpy", cwd=tmp_path)
    echolm = tmp_path / "empty" / "bin" / "echolm"
    assert "demo" in run(echolm, "grid", "list", cwd=tmp_path)
    shown = run(echolm, "grid", "show", "demo", "--where", "head=gcn", cwd=tmp_path)
    assert "gcn" in shown and "mlp" not in shown.splitlines()[1]
    where = run(
        python, "-c", "import grid, echolm; print(grid.__file__, echolm.__file__)", cwd=tmp_path
    )
    assert str(CHECKOUT) not in where.replace(str(tmp_path), "")
