"""Measure what a GPU has to show.

These are training rates and memory, waiting for input, resuming, and agreement with the CPU.

python -m tests.benchmarks.gpu                        everything; without a GPU: "not measured"
python -m tests.benchmarks.gpu --device cpu --tiny    every step of it at its smallest size, to see
                                                      that it runs
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from echolm.arithmetic import Arithmetic
from echolm.config import FinetuneConfig, parse_config
from echolm.datasets.phantom.generate import generate_phantom
from echolm.encoders.memory_format import lay_out
from echolm.stores.prepare_clips import prepare
from echolm.tasks import Batch
from echolm.training.distributed import Ranks, pick_device
from echolm.training.feed import ClipFeed, open_feed
from echolm.training.loop import fit
from echolm.training.member import Member, cut_of
from echolm.training.prepare import PreparedRun, prepare_run
from echolm.training.trunk import first_network
from echolm.workspace import Workspace
from tests.benchmarks.measure import circumstances, number, spread
from tests.benchmarks.report import RESULTS, write

READER, STORE = "echonet-dynamic", "phantom"
MODES = ("fp32", "bf16", "compiled")
METRIC = "test/mke/ED"


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    encoder: str = "mvit-v2-s"
    batch: int = 20
    steps: int = 10
    rounds: int = 5
    seeds: int = 5
    epochs: int = 8
    videos: int = 120


TINY = Sizes(encoder="tiny-mvit", batch=2, steps=1, rounds=1, seeds=2, epochs=2, videos=12)


def main() -> None:
    """Measure, print, and keep what was printed."""
    options = _options()
    if options.device == "cuda" and not torch.cuda.is_available():
        why = "not measured: no CUDA device"
        print(why)
        write(options.out, "gpu", {"circumstances": circumstances(), "not measured": why})
        return
    sizes = TINY if options.tiny else Sizes()
    device = pick_device(options.device)
    sections: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = _workspace(Path(folder) / "main", sizes)
        for title, act in SECTIONS.items():
            print(title, flush=True)
            sections[title] = []
            for line in act(workspace, device, sizes):
                print(f"  {line}", flush=True)
                sections[title].append(line)
    if not options.tiny:
        write(options.out, "gpu", {"circumstances": circumstances(), "sections": sections})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes; nothing is kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    return parser.parse_args()


def _workspace(root: Path, sizes: Sizes) -> Workspace:
    """Make a workspace with a store of phantom clips."""
    workspace = Workspace(root)
    source = root / "source"
    generate_phantom(source, sizes.videos, seed=0)
    prepare(READER, source, workspace.store(STORE), workers=1, progress=False)
    return workspace


def _config(encoder: str, **changes: Any) -> FinetuneConfig:
    plain = {
        "data": STORE,
        "task": "landmarks",
        "encoder": encoder,
        "trainable": "all",
        "head": "mlp",
        "augmentation": "bhoodoo2026",
    }
    config = parse_config(plain | changes)
    assert isinstance(config, FinetuneConfig)
    return config


# Rates and memory


def rates(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """Measure training steps on batches that lie on the device: forward, backward, optimiser."""
    yield f"{sizes.encoder}, batch {sizes.batch}; {sizes.rounds} rounds of {sizes.steps} steps"
    for trainable in ("k0", "k2", "all"):
        for mode in MODES:
            step = TrainingStep(
                prepare_run(_config(sizes.encoder, trainable=trainable), workspace), device, mode
            )
            _reset_peak(device)
            batch = step.batch(sizes.batch, 0)
            seconds = _rounds(lambda step=step, batch=batch: step.run(batch), sizes, device)
            clips = [sizes.batch * sizes.steps / spent for spent in seconds]
            yield f"{trainable}, {mode}: {spread(clips)} clips/s, peak memory {_peak(device)}"
            torch._dynamo.reset()


class TrainingStep:
    """The loop's step of one run.

    Its precision is ``fp32``, ``bf16`` (autocast), or fp32 ``compiled``.
    """

    def __init__(self, run: PreparedRun, device: torch.device, mode: str) -> None:
        assert isinstance(run.config, FinetuneConfig)
        self.config, self.device, self.mode = run.config, device, mode
        network, cut = first_network(run, device), cut_of(run.config)
        lay_out(network, run.config.encoder, device)
        compiles = mode == "compiled" and device.type == "cuda"
        arithmetic = Arithmetic("bf16" if mode == "bf16" else "fp32", compiles)
        feed = open_feed(run, network, cut, device, arithmetic)
        assert isinstance(feed, ClipFeed)
        self.feed = feed
        self.member = Member(run.config, network, cut, device, arithmetic)
        self.member.train(True)
        self.rows = np.array(feed.store.split("train"), np.int64)
        if mode == "compiled" and not compiles:
            self._trace([*network.stages()[:cut], *self.member.model.encoder.stages()[cut:]])

    def _trace(self, stages: list[torch.nn.Module]) -> None:
        """Trace all stages, and run them without a compiler: on a CPU that is enough to see."""
        keys = self.member.keys
        # Keyed draws of stochastic depth are 64-bit integers, which Dynamo cannot guard.
        keys.drops = torch.compiler.disable(keys.drops)  # type: ignore[method-assign]
        for stage in stages:
            stage.compile(backend="aot_eager")

    def batch(self, size: int, epoch: int) -> tuple[Batch, np.ndarray]:
        """Make a training batch as the loop does: read, copied, augmented, normalised.

        The keys of its samples come with it.
        """
        batches = self.feed.batches
        rows = np.resize(self.rows, size)
        view = batches.view_keys(rows, self.config.view, epoch, self.config.views)
        return batches.batch(rows, view), self.feed.keys[rows]

    def run(self, batch_and_keys: tuple[Batch, np.ndarray]) -> None:
        """Train one step."""
        batch, keys = batch_and_keys
        losses = self.member.losses(self.feed.state(batch), batch, keys, 0, 0)
        loss = losses["loss"].sum() / len(batch.clips)
        if self.member.parameters:
            loss.backward()
        self.member.step(0.0)


def _rounds(act: Callable[[], object], sizes: Sizes, device: torch.device) -> list[float]:
    """Measure wall seconds of rounds of ``sizes.steps`` calls, after one that does not count."""
    seconds = []
    for _ in range(1 + sizes.rounds):
        _wait(device)
        began = time.perf_counter()
        for _ in range(sizes.steps):
            act()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> str:
    if device.type != "cuda":
        return "not measured on a CPU"
    return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB"


# Waiting for input


def waiting(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """Measure steps with a new batch each time, against steps on a batch that is there already."""
    for trainable in ("k0", "all"):
        step = TrainingStep(
            prepare_run(_config(sizes.encoder, trainable=trainable), workspace), device, "fp32"
        )
        ready, epochs = step.batch(sizes.batch, 0), iter(range(1_000_000))
        fed = _rounds(
            lambda step=step, epochs=epochs: step.run(step.batch(sizes.batch, next(epochs))),
            sizes,
            device,
        )
        alone = _rounds(lambda step=step, ready=ready: step.run(ready), sizes, device)
        pairs = zip(fed, alone, strict=True)
        shares = [100 * (1 - alone_seconds / fed_seconds) for fed_seconds, alone_seconds in pairs]
        input_share = f"{spread(shares)} % of a step's time is its input"
        yield f"{trainable}, fp32: {input_share} (read, copy, augment, normalise)"


# Resuming


def resuming(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """Compare a run that was killed after its first epoch with two that nothing happened to."""
    config = _config("tiny-r3d", epochs=max(3, sizes.epochs // 2), batch_size=5)
    weights = []
    for name in ("whole-0", "whole-1"):
        weights.append(_best(_train(config, _beside(workspace, name), device)))
    killed = _beside(workspace, "killed")
    process = get_context("spawn").Process(
        target=_train_until_killed, args=(config, killed, str(device))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode
    run = _train(config, killed, device)
    assert run.record.attempts() == [1, 2], run.record.attempts()
    yield f"two uninterrupted runs: {_grade(_difference(weights[0], weights[1]))}"
    continued = _grade(_difference(weights[0], _best(run)))
    killed_after = f"killed after epoch 1 of {config.epochs}"
    yield f"{killed_after} and continued, against the first of them: {continued}"


def _beside(workspace: Workspace, name: str) -> Workspace:
    """Make an empty workspace with the same store."""
    other = Workspace(workspace.root.parent / name)
    other.store(STORE).parent.mkdir(parents=True)
    other.store(STORE).symlink_to(workspace.store(STORE))
    return other


def _train(config: FinetuneConfig, workspace: Workspace, device: torch.device) -> PreparedRun:
    run = prepare_run(config, workspace)
    [outcome] = fit([run], ranks=Ranks(device=device))
    assert outcome.state == "complete", outcome
    return run


def _train_until_killed(config: FinetuneConfig, workspace: Workspace, device: str) -> None:
    def kill_in_second_epoch(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> Any:
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "continue"

    fit(
        [prepare_run(config, workspace)],
        ranks=Ranks(device=pick_device(device)),
        on_epoch=kill_in_second_epoch,
    )


def _best(run: PreparedRun) -> dict[str, Tensor]:
    return dict(load_file(run.record.file("best.safetensors")))


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference of two sets of weights, relative to the tensor's largest."""
    assert one.keys() == other.keys()
    differences = []
    for name, weights in one.items():
        if weights.is_floating_point() and weights.numel():
            weights = weights.double()
            apart = (weights - other[name].double()).abs().max()
            differences.append(float(apart / weights.abs().max().clamp_min(1e-12)))
    return max(differences)


def _grade(difference: float) -> str:
    if difference == 0:
        return "bitwise equal best weights"
    return f"best weights differ by {difference:.1e} of the largest"


# Agreement with the CPU


def agreement(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """Compare the same tiny runs on the device and on the CPU, over seeds."""
    on_cpu, on_device = [], []
    for seed in range(sizes.seeds):
        config = _config("tiny-r3d", epochs=sizes.epochs, batch_size=8, seed=seed)
        on_cpu.append(_metric(config, _beside(workspace, f"cpu-{seed}"), torch.device("cpu")))
        on_device.append(_metric(config, _beside(workspace, f"device-{seed}"), device))
    deviation = statistics.stdev(on_cpu)
    apart = abs(statistics.mean(on_cpu) - statistics.mean(on_device))
    verdict = "inside" if apart <= deviation else "OUTSIDE"
    yield f"{METRIC}, tiny-r3d, {sizes.epochs} epochs, seeds 0 to {sizes.seeds - 1}"
    yield f"cpu: {' '.join(number(value) for value in on_cpu)} px"
    yield f"{device}: {' '.join(number(value) for value in on_device)} px"
    yield (
        f"means differ by {number(apart)} px; standard deviation over seeds on the CPU"
        f" {number(deviation)} px: {verdict} the spread"
    )


def _metric(config: FinetuneConfig, workspace: Workspace, device: torch.device) -> float:
    """Train a run and return its test metric."""
    summary = _train(config, workspace, device).record.summary()
    assert summary
    return float(summary["metrics"][METRIC])


SECTIONS: dict[str, Callable[[Workspace, torch.device, Sizes], Iterator[str]]] = {
    "Training rate and peak memory": rates,
    "Waiting for input": waiting,
    "Kill and continue": resuming,
    "Agreement with the CPU over seeds": agreement,
}

if __name__ == "__main__":
    main()
