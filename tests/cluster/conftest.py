"""Launches of small grids on the tiny store, in real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from launch_fixtures import faulty_heads, reference, shell  # noqa: E402, F401

from tests.slurm.fixtures import lab, slurm  # noqa: E402, F401

torch.set_num_threads(1)
