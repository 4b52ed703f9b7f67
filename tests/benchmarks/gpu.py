"""What a GPU has to show: training rates and memory, waiting for input, resuming, agreement with the CPU.

    python -m tests.benchmarks.gpu                        on a GPU: everything; without one: "not measured"
    python -m tests.benchmarks.gpu --device cpu --tiny    every step of it at its smallest size, to see that it runs
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from echolm.config import FinetuneConfig, parse_config
from echolm.data.phantom import phantom
from echolm.data.prepare import prepare
from echolm.data.store import ClipStore
from echolm.randomness import to_tensor
from echolm.tasks import Batch
from echolm.training.batches import Batches
from echolm.training.distributed import Ranks, pick_device
from echolm.training.loop import fit
from echolm.training.member import Member, cut_of
from echolm.training.prepare import PreparedRun, prepare_run
from echolm.training.trunk import Trunk, first_network
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
    device, found = pick_device(options.device), {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = _workspace(Path(folder) / "main", sizes)
        for title, act in SECTIONS.items():
            print(title, flush=True)
            found[title] = []
            for line in act(workspace, device, sizes):
                print(f"  {line}", flush=True)
                found[title].append(line)
    if not options.tiny:
        write(options.out, "gpu", {"circumstances": circumstances(), "sections": found})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes; nothing is kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    return parser.parse_args()


def _workspace(root: Path, sizes: Sizes) -> Workspace:
    """A new workspace with a store of phantom clips."""
    workspace = Workspace(root)
    source = root / "source"
    phantom(source, sizes.videos, seed=0)
    prepare(READER, source, workspace.store(STORE), workers=1, progress=False)
    return workspace


def _config(encoder: str, **changes: Any) -> FinetuneConfig:
    plain = {"data": STORE, "task": "landmarks", "encoder": encoder, "trainable": "all", "head": "mlp", "augmentation": "bhoodoo2026"}
    config = parse_config(plain | changes)
    assert isinstance(config, FinetuneConfig)
    return config


# Rates and memory


def rates(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """Training steps on batches that lie on the device: forward, backward, optimiser."""
    yield f"{sizes.encoder}, batch {sizes.batch}; {sizes.rounds} rounds of {sizes.steps} steps"
    for trainable in ("k0", "k2", "all"):
        for mode in MODES:
            step = TrainingStep(prepare_run(_config(sizes.encoder, trainable=trainable), workspace), device, mode)
            _reset_peak(device)
            batch = step.batch(sizes.batch, 0)
            seconds = _rounds(lambda step=step, batch=batch: step.run(batch), sizes, device)
            clips = [sizes.batch * sizes.steps / spent for spent in seconds]
            yield f"{trainable}, {mode}: {spread(clips)} clips/s, peak memory {_peak(device)}"
            torch._dynamo.reset()


class TrainingStep:
    """The loop's step of one run, in one precision: ``fp32``, ``bf16`` (autocast), or fp32 ``compiled``."""

    def __init__(self, run: PreparedRun, device: torch.device, mode: str) -> None:
        assert isinstance(run.config, FinetuneConfig)
        self.config, self.device, self.mode = run.config, device, mode
        network, cut = first_network(run, device), cut_of(run.config)
        self.member, self.trunk = Member(run.config, network, cut, device), Trunk(network, cut)
        self.member.train(True)
        store = ClipStore.open(run.store)
        self.batches = Batches(store, run.config.task, run.config.encoder, run.config.augmentation, device)
        self.rows = np.array(store.split("train"), np.int64)
        if mode == "compiled":
            self._compile([*network.stages()[:cut], *self.member.model.encoder.stages()[cut:]])

    def _compile(self, stages: list[torch.nn.Module]) -> None:
        """All stages; the keyed draws of stochastic depth stay as they are (64-bit integers that Dynamo cannot guard).
        On a CPU they are traced and run without a compiler."""
        self.member.keys.draw = torch.compiler.disable(self.member.keys.draw)  # type: ignore[method-assign]
        for stage in stages:
            stage.compile(backend="inductor" if self.device.type == "cuda" else "aot_eager")

    def batch(self, size: int, epoch: int) -> tuple[Batch, Tensor]:
        """A training batch as the loop makes it: read, copied, augmented, normalised; and the keys of its draws."""
        rows = np.resize(self.rows, size)
        view = self.batches.view_keys(rows, self.config.view, epoch, self.config.views)
        keys = to_tensor(self.batches.step_keys(rows, self.config.seed, epoch)).to(self.device)
        return self.batches.batch(rows, view), keys

    def run(self, given: tuple[Batch, Tensor]) -> None:
        """One step."""
        batch, keys = given
        with torch.autocast(self.device.type, torch.bfloat16) if self.mode == "bf16" else nullcontext():
            loss = self.member.losses(self.trunk(batch.clips), batch, keys)["loss"].sum() / len(batch.clips)
        if self.member.parameters:
            loss.backward()
        self.member.step(0.0)


def _rounds(act: Callable[[], object], sizes: Sizes, device: torch.device) -> list[float]:
    """Wall seconds of each round of ``sizes.steps`` calls, after one round that does not count."""
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
    return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB" if device.type == "cuda" else "not measured on a CPU"


# Waiting for input


def waiting(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """Steps with a new batch each time, against the same steps on a batch that is there already."""
    for trainable in ("k0", "all"):
        step = TrainingStep(prepare_run(_config(sizes.encoder, trainable=trainable), workspace), device, "fp32")
        ready, epochs = step.batch(sizes.batch, 0), iter(range(1_000_000))
        fed = _rounds(lambda step=step, epochs=epochs: step.run(step.batch(sizes.batch, next(epochs))), sizes, device)
        alone = _rounds(lambda step=step, ready=ready: step.run(ready), sizes, device)
        shares = [100 * (1 - b / a) for a, b in zip(fed, alone, strict=True)]
        yield f"{trainable}, fp32: {spread(shares)} % of a step's time is its input (read, copy, augment, normalise)"


# Resuming


def resuming(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """A run killed after its first epoch and continued, against two runs that nothing happened to."""
    config = _config("tiny-r3d", epochs=max(3, sizes.epochs // 2), batch_size=5)
    weights = [_best(_train(config, _beside(workspace, f"whole-{n}"), device)) for n in range(2)]
    killed = _beside(workspace, "killed")
    process = get_context("spawn").Process(target=_train_until_killed, args=(config, killed, str(device)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode
    run = _train(config, killed, device)
    assert run.record.attempts() == [1, 2], run.record.attempts()
    continued = _best(run)
    again, own = _difference(weights[0], weights[1]), _difference(weights[0], continued)
    yield f"two uninterrupted runs: {_grade(again)}"
    yield f"killed after epoch 1 of {config.epochs} and continued, against the first of them: {_grade(own)}"


def _beside(workspace: Workspace, name: str) -> Workspace:
    """An empty workspace with the same store."""
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

    fit([prepare_run(config, workspace)], ranks=Ranks(device=pick_device(device)), on_epoch=kill_in_second_epoch)


def _best(run: PreparedRun) -> dict[str, Tensor]:
    return dict(load_file(run.record.file("best.safetensors")))


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference of two sets of weights, relative to the largest weight of the tensor."""
    assert one.keys() == other.keys()
    pairs = [(one[name].double(), other[name].double()) for name in one if one[name].is_floating_point()]
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) for a, b in pairs if a.numel())


def _grade(difference: float) -> str:
    return "bitwise equal best weights" if difference == 0 else f"best weights differ by {difference:.1e} of the largest"


# Agreement with the CPU


def agreement(workspace: Workspace, device: torch.device, sizes: Sizes) -> Iterator[str]:
    """The same tiny runs on the device and on the CPU, over seeds."""
    found: dict[str, list[float]] = {"cpu": [], "device": []}
    for seed in range(sizes.seeds):
        config = _config("tiny-r3d", epochs=sizes.epochs, batch_size=8, seed=seed)
        for name, place in (("cpu", torch.device("cpu")), ("device", device)):
            run = _train(config, _beside(workspace, f"{name}-{seed}"), place)
            found[name].append(run.record.summary()["metrics"][METRIC])  # type: ignore[index]
    means = {name: statistics.mean(values) for name, values in found.items()}
    deviation, apart = statistics.stdev(found["cpu"]), abs(means["cpu"] - means["device"])
    verdict = "inside" if apart <= deviation else "OUTSIDE"
    yield f"{METRIC}, tiny-r3d, {sizes.epochs} epochs, seeds 0 to {sizes.seeds - 1}"
    for name, values in (("cpu", found["cpu"]), (str(device), found["device"])):
        yield f"{name}: {' '.join(number(value) for value in values)} px"
    yield f"means differ by {number(apart)} px; standard deviation over seeds on the CPU {number(deviation)} px: {verdict} the spread"


SECTIONS: dict[str, Callable[[Workspace, torch.device, Sizes], Iterator[str]]] = {
    "Training rate and peak memory": rates,
    "Waiting for input": waiting,
    "Kill and continue": resuming,
    "Agreement with the CPU over seeds": agreement,
}

if __name__ == "__main__":
    main()
