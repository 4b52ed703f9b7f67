"""Measure what a launch costs on a real SLURM: ``python -m tests.benchmarks.slurm``.

It runs as root, and installs and starts the lab of tests/slurm. It measures the seconds to submit
1,000 cells, the seconds from submission to the first epoch, start-up a cell when a job trains one
cell or eight, and the status of 10,000 cells. They are wall seconds on two cores. The machine's
load is printed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))

from launch_support import until  # noqa: E402

from tests.benchmarks import records  # noqa: E402
from tests.benchmarks.measure import circumstances  # noqa: E402
from tests.benchmarks.report import RESULTS, write  # noqa: E402
from tests.slurm import lab  # noqa: E402
from tests.slurm.settings import directory  # noqa: E402
from tests.slurm.site import BLANK, Site  # noqa: E402
from tests.slurm.soak import tiny_store  # noqa: E402

TARGET_S = 2
"""Most seconds that the status of 10,000 cells may take."""


def clocked(site: Site, *words: object) -> tuple[float, float]:
    """Measure wall and user CPU seconds of a command, which must not fail."""
    cpu_before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    began = time.monotonic()
    done = site(*map(str, words))
    wall = time.monotonic() - began
    assert done.status == 0, done
    return wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - cpu_before


def target(seconds: float) -> str:
    """Spell what the status of 10,000 cells is held against."""
    return f"; target {TARGET_S} s: {'met' if seconds < TARGET_S else 'missed'}"


def submission(site: Site, cells: int, per_job: int) -> str:
    """Submit cells at once, some a job, behind a job that has all nodes."""
    profile = site.profile(units_per_job=per_job, jobs_at_once=100)
    grid = site.grid({"head": ["mlp"], "seed": list(range(cells))}, name=f"cells-{cells}", **BLANK)
    site.slurm(
        "sbatch",
        "--parsable",
        "-p",
        "high",
        f"-N{site.settings.nodes}",
        "--exclusive",
        "-o",
        "/dev/null",
        "--wrap",
        "sleep 600",
    )
    wall, user = clocked(site, "launch", grid, "--on", "slurm", "--profile", profile)
    queue = site.slurm("squeue", "-h", "-r", "-n", f"echolm-cells-{cells}", "-o", "%i")
    jobs = len(queue.split())
    again, _ = clocked(site, "launch", grid, "--on", "slurm", "--profile", profile)
    look, _ = clocked(site, "status", grid)
    site.slurm("scancel", "-u", "root")
    until(lambda: not site.slurm("squeue", "-h", "-o", "%i").strip(), "an empty queue")
    return (
        f"submitting {cells:,} cells as {jobs:,} jobs: {wall:.1f} s (user CPU {user:.1f} s);"
        f" launching again: {again:.1f} s; status: {look:.1f} s{target(look)}"
    )


def start(site: Site) -> list[str]:
    """Measure from the command to the first epoch, and what starting costs a cell."""
    profile = site.profile(units_per_job=1, jobs_at_once=1)
    first = site.grid({"head": ["mlp"]}, name="first", epochs=2)
    began = time.monotonic()
    clocked(site, "launch", first, "--on", "slurm", "--profile", profile)
    submitted = time.monotonic() - began
    until(lambda: site.epochs(site.cells(first)[0]) > 0, "an epoch")
    epoch = time.monotonic() - began
    lines = [
        f"one cell: the command returned after {submitted:.1f} s,"
        f" the first epoch was there after {epoch:.1f} s"
    ]
    grid = site.grid({"head": ["mlp"], "seed": list(range(16))}, name="short", **BLANK, epochs=1)
    began = time.monotonic()
    launch = ("launch", grid, "--on", "slurm", "--profile")
    for seed in range(8):
        clocked(site, *launch, profile, "--where", f"seed={seed}")
        until(lambda seed=seed: ended(site, grid, seed), "complete")  # type: ignore[misc]
    seconds = (time.monotonic() - began) / 8
    lines.append(f"eight short cells, each launched alone, a job a cell: {seconds:.1f} s a cell")
    began = time.monotonic()
    clocked(site, *launch, site.profile(units_per_job=8, jobs_at_once=1))
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    seconds = (time.monotonic() - began) / 8
    lines.append(f"eight such cells in one job: {seconds:.1f} s a cell")
    return lines


def ended(site: Site, grid: Path, cell: int) -> bool:
    """Check whether a cell is complete and no job of its grid is left."""
    return site.states(grid)[cell] == "complete" and not site.jobs(grid)


def status(root: Path, settings: lab.Settings) -> list[str]:
    """Measure the status of 10,000 cells in every state, and of 10,000 half done."""
    lines = []
    for name, states in (
        ("a fifth in each of five states", records.STATES),
        ("half complete, half pending", ("pending", "complete")),
    ):
        folder = root / name.replace(" ", "-")
        folder.mkdir(parents=True)
        site = Site(folder, None, settings)
        records.store(site.workspace)
        cells = records.grid(folder / "ten.yaml", 10_000)
        records.put(site.workspace, cells, states)
        looks = [clocked(site, "status", folder / "ten.yaml") for _ in range(5)]
        wall = median(wall for wall, _ in looks)
        user = median(user for _, user in looks)
        lines.append(
            f"status of {len(cells):,} cells, {name} (median of 5):"
            f" {wall:.1f} s (user CPU {user:.1f} s){target(wall)}"
        )
    return lines


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.slurm", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    settings = lab.up(directory(), print)
    with tempfile.TemporaryDirectory() as folder:
        store = tiny_store(Path(folder) / "data")
        (Path(folder) / "site").mkdir()
        site = Site(Path(folder) / "site", store, settings)
        lines = [
            submission(site, 1000, 1),
            submission(site, 10_000, 10),
            *start(site),
            *status(Path(folder) / "ten", settings),
        ]
    version = subprocess.run(
        ["scontrol", "--version"], env=settings.environment(), capture_output=True, text=True
    ).stdout.strip()
    sections = {f"{version}, four nodes on this machine": lines}
    for title in sections:
        print("\n  ".join([title, *lines]))
    write(options.out, "slurm", {"circumstances": circumstances(), "sections": sections})
    lab.down(directory())


if __name__ == "__main__":
    main()
