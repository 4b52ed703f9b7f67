"""``echolm encoder time``: what is named, and that it is what it is called. No time is asserted."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from echolm.cli.main import main
from echolm.encoders import ENCODERS, timing
from echolm.encoders.base import EncoderNetwork

QUICK = ("--seconds", "0", "--device", "cpu")


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["encoder", "time", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_parameters_flops_and_both_times_are_named() -> None:
    facts: dict[str, Any] = json.loads(run("tiny-echofm", "--json", "--batch", "3", *QUICK))
    encoder = ENCODERS.parse("tiny-echofm")
    parameters = sum(parameter.numel() for parameter in encoder.build(None).parameters())
    assert (facts["parameters"], facts["flops"]) == (parameters, encoder.forward_flops)
    for key, batch in (("latency_ms", 1), ("amortised_ms", 3)):
        times = facts[key]
        assert 0 < times["least"] <= times["median"] <= times["largest"]
        assert (times["batch"], times["passes"]) == (batch, 1)
    assert facts["device"] == "cpu" and facts["threads"] == torch.get_num_threads()
    text = run("tiny-echofm", *QUICK)
    assert "250,944" in text and "80,348,160" in text and "latency, ms a clip" in text
    assert "amortised, ms a clip" in text and "1 pass of 4 clips at once" in text


def test_amortised_time_is_divided_by_the_clips_and_one_pass_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that ticks a second a look."""
    ticks = iter(range(1000))
    shapes = []
    forward = EncoderNetwork.forward

    def watched(self: EncoderNetwork, clip: torch.Tensor) -> Any:
        shapes.append(len(clip))
        return forward(self, clip)

    monkeypatch.setattr(EncoderNetwork, "forward", watched)
    monkeypatch.setattr(timing, "count_flops", lambda encoder: 0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)))
    facts = timing.time_encoder("tiny-r3d", batch=5, seconds=3)
    assert shapes == [1] * 4 + [5] * 4
    assert facts["latency_ms"]["median"] == 1000 and facts["latency_ms"]["passes"] == 3
    assert facts["amortised_ms"]["median"] == 200


@pytest.mark.parametrize("name", ["none", "tiny-r3d", "tiny-mvit", "tiny-videomae"])
def test_every_kind_of_encoder_is_timed(name: str) -> None:
    assert json.loads(run(name, "--json", "--batch", "1", *QUICK))["encoder"] == name


def test_a_wrong_name_gets_the_nearest_one() -> None:
    output = run("echofm_l", *QUICK, code=1)
    assert output.startswith("Error: unknown encoder 'echofm_l'; did you mean 'echofm-l'?")
    assert output.count("\n") == 1


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "has 0 CUDA devices" in run("tiny-r3d", "--device", "cuda", code=1)
