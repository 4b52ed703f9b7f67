"""How long an encoder takes for a clip, and what it costs beside time.

Two times are told apart. The *latency* is that of one clip alone, from pixels on the device to
features: what somebody waits who has one clip. The *amortised* time is that of a batch divided by
its clips: what each of many clips costs. Reading and decoding files is in neither.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from echolm.encoders import ENCODERS, Encoder
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.flops import flop_counter
from echolm.provenance import cpu_name
from echolm.randomness import seeded

BATCH = 4
"""Clips at once, of the amortised time."""
SECONDS = 3.0
"""So long passes are repeated, of each time."""
MOST = 100
"""So many passes at most, of each time."""
MS = 1000

Tell = Callable[[str], None]


def time_encoder(
    name: str,
    device: str = "cpu",
    batch: int = BATCH,
    seconds: float = SECONDS,
    tell: Tell = lambda text: None,
) -> dict[str, Any]:
    """Measure an encoder with random weights, which take as long as any others, in float32.

    Args:
        name: of the encoder.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        batch: clips at once, of the amortised time.
        seconds: how long passes are repeated, of each time. One pass at least is measured.
        tell: is told what is measured now.

    Returns:
        ``encoder``, ``frames`` and ``size`` of a clip, ``parameters``, ``flops`` of a clip in one
        pass forward (a product and its sum are two), ``latency_ms`` and ``amortised_ms`` a clip
        (``median``, ``least`` and ``largest`` of their ``passes``, over a ``batch`` of clips), and
        what they were measured on: ``device``, ``device_name``, ``threads``, ``precision``,
        ``torch``.

    Raises:
        EchoLMError: there is no encoder of that name.
    """
    encoder = ENCODERS.parse(name)
    tell(f"building {encoder.name}")
    with seeded("encoder", encoder.name, 0):
        network = encoder.build(None).eval()
    network = network.to(device)
    facts = {
        "encoder": encoder.name,
        "frames": encoder.frames,
        "size": encoder.size,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "flops": count_flops(encoder),
    }
    for key, clips in (("latency_ms", 1), ("amortised_ms", batch)):
        words = "one clip" if clips == 1 else f"{clips} clips at once"
        tell(f"{encoder.name} on {device}: {words}")
        facts[key] = _time_passes(network, encoder, clips, device, seconds)
    return {**facts, **_machine(device)}


def count_flops(encoder: Encoder) -> int:
    """Count the operations of one clip in one pass forward, on a device that has shapes alone."""
    with torch.device("meta"):
        network = encoder.build(None).eval()
        clip = torch.zeros(1, 3, encoder.frames, encoder.size, encoder.size)
        with flop_counter() as counter, torch.inference_mode():
            network(clip)
    return int(counter.get_total_flops())


def _time_passes(
    network: EncoderNetwork, encoder: Encoder, clips: int, device: str, seconds: float
) -> dict[str, Any]:
    """Time passes of a batch, after one that is not timed. In milliseconds a clip."""
    shape = (clips, 3, encoder.frames, encoder.size, encoder.size)
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(shape, generator=generator).to(device)
    times: list[float] = []
    with torch.inference_mode():
        _pass(network, batch)
        while not times or (sum(times) < seconds and len(times) < MOST):
            times.append(_pass(network, batch))
    by_clip = [MS * passed / clips for passed in times]
    return {
        "median": statistics.median(by_clip),
        "least": min(by_clip),
        "largest": max(by_clip),
        "passes": len(by_clip),
        "batch": clips,
    }


def _pass(network: EncoderNetwork, batch: torch.Tensor) -> float:
    """Return the seconds of one pass, after which the device has done all of it."""
    _wait_for(batch.device)
    begun = time.perf_counter()
    network(batch)
    _wait_for(batch.device)
    return time.perf_counter() - begun


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _machine(device: str) -> dict[str, Any]:
    """Name what was measured on."""
    name = cpu_name()
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    return {
        "device": device,
        "device_name": name,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": "float32",
        "torch": torch.__version__,
    }
