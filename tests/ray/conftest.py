"""Real Ray: a cluster of this machine, with nodes that come and go."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "cluster"))

from launch_fixtures import faulty_heads, reference, shell  # noqa: E402, F401

torch.set_num_threads(1)
