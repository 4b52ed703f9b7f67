"""The grid of docs/components.md: an EchoFM pretraining, and a probe that begins from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from echolm.config import FinetuneConfig, PretrainConfig

PAGE = Path(__file__).parents[3] / "docs" / "components.md"


def test_a_probe_begins_from_echofms_pretraining(load: Any) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [text] = [block for block in blocks if "name: echofm" in block]
    grid = load(text)
    [pretraining] = grid.where(["subgrid=pretraining"])
    random, pretrained = grid.where(["subgrid=probing"])
    assert isinstance(pretraining.config, PretrainConfig)
    assert isinstance(pretrained.config, FinetuneConfig)
    assert str(pretrained.config.weights) == f"run:{pretraining.id}"
    assert (pretrained.upstream, random.upstream) == (pretraining, None)
