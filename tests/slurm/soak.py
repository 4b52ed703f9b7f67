"""A long run of faults on the real SLURM: ``python -m tests.slurm.soak [--faults 100] [--seed 0]``
(``make soak``).

Continues where it was stopped, in the folder ``ECHOLM_SOAK`` (default: in the system's temporary
folder). When all is verified, what it did goes to ``results/soak.json``, and the folder is removed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))

from launch_support import Reference, faulty_heads  # noqa: E402

from tests.slurm import lab  # noqa: E402
from tests.slurm.chaos import Chaos, small_disk, verify  # noqa: E402
from tests.slurm.client import Slurm  # noqa: E402
from tests.slurm.settings import directory  # noqa: E402
from tests.slurm.site import Site  # noqa: E402

RESULT = Path(__file__).parents[2] / "results" / "soak.json"


def tiny_store(root: Path) -> Path:
    """24 phantom clips, as the tests have them."""
    from echolm.datasets.phantom.generate import generate_phantom
    from echolm.stores.prepare_clips import prepare

    if not (root / "store" / "store.json").exists():
        generate_phantom(root / "source", videos=24, seed=0)
        prepare("echonet-dynamic", root / "source", root / "store", workers=1, progress=False)
    return root / "store"


def main() -> None:
    """Bring the lab up, strike, verify, write the figure, take the lab down."""
    parser = argparse.ArgumentParser(prog="python -m tests.slurm.soak", description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    root = Path(os.environ.get("ECHOLM_SOAK") or Path(tempfile.gettempdir()) / "echolm-soak")
    (root / "site").mkdir(parents=True, exist_ok=True)
    store, healed = tiny_store(root / "data"), root / "healed"
    healed.touch()
    os.environ |= {"TEST_HEALED": str(healed), "OMP_NUM_THREADS": "1"}
    settings = lab.up(directory(), lambda line: print(line, flush=True))
    Slurm(settings).mend()  # where it was stopped within a fault; the jobs go on
    site = Site(root / "site", None if (root / "site" / "workspace").exists() else store, settings)
    if not os.path.ismount(site.workspace.runs):
        small_disk(site.workspace.runs)
    with faulty_heads():
        chaos = Chaos(
            site,
            options.seed,
            options.faults,
            30 + options.faults,
            lambda line: print(line, flush=True),
        )
        kinds = chaos.run()
        with tempfile.TemporaryDirectory() as reference:
            verify(chaos, Reference(store, Path(reference)))
        attempts = sum(site.attempts(chaos.grid))
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "seed": options.seed,
        "faults": sum(kinds.values()),
        "kinds": dict(sorted(kinds.items())),
        "cells": len(chaos.cells),
        "attempts": attempts,
        "verified": (
            "every cell complete once, metrics and files bitwise as undisturbed, "
            "each run once in MLflow"
        ),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    lab.down(directory())
    subprocess.run(["umount", str(site.workspace.runs)], check=True)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
