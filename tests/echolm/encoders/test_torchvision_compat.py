"""torchvision is importable beside any torch, and declarations need neither."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from echolm.encoders.torchvision_compat import import_torchvision

AFTER_A_FAILED_IMPORT = """
import sys
try:
    import torchvision
except RuntimeError:
    pass
from echolm.encoders.torchvision_compat import import_torchvision
first = import_torchvision()
import torchvision
assert first is torchvision is import_torchvision()
for name in list(sys.modules):
    if name.startswith("torchvision."):
        assert hasattr(torchvision, name.split(".")[1])
print(torchvision.models.video.r3d_18.__name__, torchvision.ops.StochasticDepth.__name__)
"""

TORCH_FREE = """
import sys
from echolm.encoders import ENCODERS
from echolm.heads import HEADS
for registry in (ENCODERS, HEADS):
    for name in registry.names():
        registry.parse(name)
print(sorted({"torch", "torchvision", "torch_geometric"} & set(sys.modules)))
"""


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_works_in_a_fresh_process_even_after_a_plain_import_failed() -> None:
    assert run(AFTER_A_FAILED_IMPORT) == "r3d_18 StochasticDepth"


def test_declarations_import_no_torch() -> None:
    assert run(TORCH_FREE) == "[]"


def test_other_failures_of_torchvision_pass_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('built for another torch')")
    monkeypatch.delitem(sys.modules, "torchvision")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="built for another torch"):
        import_torchvision()


def test_models_run() -> None:
    resnet = import_torchvision().models.video.resnet
    block = resnet.BasicBlock(3, 3, resnet.Conv3DSimple)
    assert block(torch.zeros(1, 3, 2, 4, 4)).shape == (1, 3, 2, 4, 4)
