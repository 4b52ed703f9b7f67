"""The training loop: one for fine-tuning and pretraining, one run or a cohort, one process or many ranks.

A cohort's members have equal data, weights, views, order and batch size. Each batch goes once through the trunk, then
through every member's tail and head. The loss is the sum over the effective batch divided by its true size, so rank
count and micro-batch change nothing but rounding. A failing member leaves; the others go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import torch

from echolm.data.store import ClipStore
from echolm.encoders.base import EncoderNetwork
from echolm.errors import EchoLMError
from echolm.randomness import order, to_tensor
from echolm.tasks import Batch
from echolm.training.batches import Batches, training_rows
from echolm.training.cohorts import Compute, cohorts, hold
from echolm.training.distributed import Ranks
from echolm.training.evaluate import Evaluation, evaluate
from echolm.training.failures import Diverged, RankLost
from echolm.training.held import Held, Outcome
from echolm.training.member import Member, cut_of
from echolm.training.prepare import PreparedRun
from echolm.training.signals import Signals
from echolm.training.trunk import Trunk, first_network

Verdict = Literal["continue", "stop", "pruned"]
OnEpoch = Callable[[PreparedRun, int, dict[str, float]], Verdict]
T = TypeVar("T")


class Interrupted(Exception):
    """A watched signal came; every active run has its checkpoint."""


def keep_going(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> Verdict:
    """The callback that never stops a run."""
    return "continue"


def fit(
    runs: Sequence[PreparedRun], compute: Compute | None = None, ranks: Ranks | None = None, on_epoch: OnEpoch = keep_going,
    test: bool = True,
) -> list[Outcome]:  # fmt: skip
    """Train runs to the end, or as far as a signal, a cancel mark or a failure lets them; together where they can be.

    ``on_epoch(run, epoch, validation metrics)`` is asked on rank 0 after each epoch. Without ``test`` no sample of the
    test split is read, and the results are those of validation alone: for searches, whose records are kept apart from
    those of grids. Returns one Outcome a run, in order.
    """
    compute, ranks = compute or Compute(), ranks or Ranks()
    held = [hold(run, compute, ranks) for run in runs]
    with Signals() as signals:
        for group in cohorts([h for h in held if h.active]):
            Cohort(group, compute, ranks, signals, on_epoch, test).train()
    return [h.outcome for h in held if h.outcome]


class Cohort:
    """Runs that share their batches and stand at the same step, trained together."""

    def __init__(
        self, held: list[Held], compute: Compute, ranks: Ranks, signals: Signals, on_epoch: OnEpoch, test: bool = True
    ) -> None:
        self.held, self.compute, self.ranks, self.signals, self.on_epoch = held, compute, ranks, signals, on_epoch
        self.results = ("val", "test") if test else ("val",)
        self.config = held[0].config
        self.asked = False
        self.clock = 0.0

    @property
    def active(self) -> list[Held]:
        """Members whose runs have not ended."""
        return [h for h in self.held if h.active]

    def train(self) -> None:
        """Run all epochs; an error that is not one member's own ends them all as failed."""
        try:
            self._build()
            while self.active:
                self._finish([h for h in self.active if h.progress.done])
                if self.active:
                    self._epoch()
        except (Interrupted, RankLost) as stop:
            for h in self.active:
                h.end("interrupted", str(stop))
        except Exception as error:
            for h in self.active:
                h.fail(error)

    def _build(self) -> None:
        """Data, networks, and the state of the newest checkpoint."""
        if self.ranks.any(bool(self.signals.received)):
            raise Interrupted(self.signals.received or "signal on another rank")
        with self.ranks.together():
            self._open()
            network = first_network(self.held[0].run, self.ranks.device)
            self.trunk = Trunk(network, min(cut_of(h.config) for h in self.held))
        for h in self.held:
            state = self._guard(h, h.read_checkpoint)
            self._guard(h, self._join, h, network, state)

    def _open(self) -> None:
        """The store and its rows by split."""
        config, path = self.config, self.held[0].run.store
        store = ClipStore.open(path)
        self.batches = Batches(store, config.task, config.encoder, config.augmentation, self.ranks.device)
        self.rows = {split: training_rows(store, config.data, split) for split in ("train", "val")}
        if "test" in self.results:
            self.rows["test"] = np.array(store.split("test"), np.int64)
        for split, rows in self.rows.items():
            if not len(rows):
                raise EchoLMError(f"{path}: no sample in split {split}; a run needs {', '.join(self.rows)}")
        self.steps = math.ceil(len(self.rows["train"]) / config.batch_size)

    def _join(self, h: Held, network: EncoderNetwork, state: dict[str, Any] | None) -> None:
        """Build a run's member: at its beginning, or where its checkpoint says."""
        h.member = Member(h.config, network, self.trunk.cut, self.ranks.device)
        if state is None:
            self._begin(h)
        else:
            h.load_state(state)
        place = {"epoch": h.progress.epoch, "step": h.progress.step}
        h.event("started", world=self.ranks.world, device=str(self.ranks.device), **place)

    def _begin(self, h: Held) -> None:
        """Give the mean training target to a head that starts from it."""
        head = getattr(h.config, "head", None)
        if head is None or not head.starts_from_mean:
            return
        total, size = None, self.config.batch_size
        for start in range(0, len(self.rows["train"]), size):
            truth = self.config.task.truth(self.batches.batch(self.rows["train"][start : start + size], None)).sum(0)
            total = truth if total is None else total + truth
        h.member.model.head.begin(total / len(self.rows["train"]))  # type: ignore[union-attr,operator]

    def _epoch(self) -> None:
        """The remaining steps of the current epoch, then validation and the decisions that follow from it."""
        self.clock = time.monotonic()
        epoch, size = self.active[0].progress.epoch, self.config.batch_size
        shuffled = self.rows["train"][order(self.batches.keys[self.rows["train"]], self.config.order, epoch)]
        for step in range(self.active[0].progress.step, self.steps):
            self._step(shuffled[step * size : (step + 1) * size], epoch, step)
            if not self.active:
                return
        held = self.active
        evaluations = self._evaluate(held, "val")
        self._charge()
        for h, evaluation in zip(held, evaluations, strict=True):
            self._decide(h, evaluation)

    def _step(self, rows: np.ndarray, epoch: int, step: int) -> None:
        """One optimiser step of every active member on the batch of store rows."""
        for h in self.active:
            h.member.train(True)
            h.step_loss = 0.0
        for part in self._micro_batches(self.ranks.shard(rows)):
            self._accumulate(part, epoch, len(rows))
        self._agree(rows)
        for h in self.active:
            self._update(h, epoch, step, len(rows))
        self._charge()
        self._stop_if_asked()

    def _micro_batches(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        size = self.compute.micro_batch or max(len(rows), 1)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def _accumulate(self, rows: np.ndarray, epoch: int, total: int) -> None:
        """Add a micro-batch's gradients: the sum of its losses over ``total``, the size of the whole batch."""
        try:
            view = self.batches.view_keys(rows, self.config.view, epoch, self.config.views)
            batch = self.batches.batch(rows, view)
            state = self.trunk(batch.clips)
        except Exception as error:
            for h in self.active:
                h.error = error
        for h in self.active:
            if h.error is None:
                try:
                    h.step_loss += self._backward(h, state, batch, rows, epoch, total)
                except Exception as error:
                    h.error = error

    def _backward(self, h: Held, state: Any, batch: Batch, rows: np.ndarray, epoch: int, total: int) -> float:
        keys = to_tensor(self.batches.step_keys(rows, h.config.seed, epoch)).to(self.ranks.device)
        loss = h.member.losses(state, batch, keys)["loss"].sum()
        if h.member.parameters:
            (loss / total).backward()
        return float(loss.detach())

    def _agree(self, rows: np.ndarray) -> None:
        """Sum losses, errors, cancel marks and signals over ranks, in one collective.

        A member with an error, or a loss that is not finite, leaves as failed.
        """
        asked = bool(self.signals.received)
        facts = [[h.step_loss, h.error is not None, self._marked(h), asked] for h in self.active]
        found = self.ranks.sum(torch.tensor(facts, dtype=torch.float64, device=self.ranks.device)).tolist()
        self.asked = found[0][3] > 0
        for h, (loss, errors, cancelled, _) in zip(self.active, found, strict=True):
            h.step_loss, h.cancelled = loss, cancelled > 0
            if errors:
                self._settle(h)
            elif not math.isfinite(loss):
                samples = [self.batches.store.items[int(row)].sample for row in rows]
                h.fail(Diverged(f"the training loss is {loss}"), loss=loss, samples=samples)

    def _marked(self, h: Held) -> bool:
        return self.ranks.first and h.run.record.cancelled()

    def _update(self, h: Held, epoch: int, step: int, count: int) -> None:
        """The optimiser step. An error is kept until the ranks next agree on errors."""
        self.ranks.sum_gradients(h.member.parameters)
        try:
            h.member.step((epoch * self.steps + step) / (h.config.epochs * self.steps))
        except Exception as error:
            h.error = error
        h.progress.loss_sum += h.step_loss
        h.progress.count += count
        h.progress.step = step + 1

    def _charge(self) -> None:
        """Add the time since the last call to every active run's epoch."""
        now = time.monotonic()
        for h in self.active:
            h.progress.epoch_seconds += now - self.clock
        self.clock = now

    def _stop_if_asked(self) -> None:
        """Checkpoint cancelled runs, which leave, and all runs when a signal has come to any rank."""
        for h in self.active:
            if (self.asked or h.cancelled) and not h.progress.done:
                self._guard(h, h.save_checkpoint)
            if h.cancelled and h.active:
                h.end("cancelled", "marked as cancelled")
        if self.asked:
            raise Interrupted(self.signals.received or "signal on another rank")

    def _between(self) -> None:
        """Between two evaluation batches of a single process: stop if asked (ranks agree at the next step)."""
        if self.ranks.world == 1:
            self.asked = bool(self.signals.received)
            self._stop_if_asked()

    def _evaluate(self, held: list[Held], split: str) -> list[Evaluation]:
        """On rank 0 each member's whole Evaluation, elsewhere this rank's part. One with an error leaves as failed."""
        members, rows = [h.member for h in held], self.ranks.shard(self.rows[split])
        with self.ranks.together():
            found = evaluate(members, self.trunk, self.batches, rows, self.config.batch_size, self._between)
        for place, h in enumerate(held):
            h.error = h.error or found[place].error
            self._settle(h)
            if h.active and (parts := self.ranks.gather(found[place])):
                found[place] = Evaluation.joined(parts)
        return found

    def _decide(self, h: Held, evaluation: Evaluation) -> None:
        """After validation: best weights, schedule, event, the callback's verdict, checkpoint."""
        metrics = self._guard(h, lambda: evaluation.metrics(h.member) if self.ranks.first else {})
        verdict = self._guard(h, self._judge, h, metrics)
        if verdict is None:
            return
        h.progress.next_epoch()
        h.progress.done = verdict == "stop" or h.progress.epoch >= h.config.epochs
        self._guard(h, h.save_checkpoint)
        if verdict == "pruned" and h.active:
            h.end("pruned", f"after epoch {h.progress.epoch}")

    def _judge(self, h: Held, metrics: dict[str, float]) -> Verdict:
        """Keep weights that are the best so far, move the schedule, report the epoch, ask the callback."""
        progress, (name, direction) = h.progress, h.config.task.select
        value = metrics[name] if direction == "min" else -metrics[name]
        if not math.isfinite(value):
            raise Diverged(f"the validation metric {name} is {metrics[name]}")
        if progress.best_value is None or value < progress.best_value:
            h.keep_best(value)
        h.member.schedule = h.config.schedule.epoch(h.member.schedule, metrics["loss"])
        log = {"train/loss": progress.loss_sum / progress.count, **{f"val/{key}": metrics[key] for key in metrics}}
        step = (progress.epoch + 1) * self.steps
        h.event("epoch", epoch=progress.epoch, step=step, metrics=log, seconds=progress.epoch_seconds)
        h.log(f"epoch {progress.epoch + 1}/{h.config.epochs} " + " ".join(f"{k} {v:.5g}" for k, v in log.items()))
        return self.on_epoch(h.run, progress.epoch, metrics) if self.ranks.first else "continue"

    def _finish(self, done: list[Held]) -> None:
        """Test metrics, once, from the chosen checkpoint; per-sample rows of val and test (unless left out); the summary."""
        for h in done:
            best = self._guard(h, h.best_tensors)
            self._guard(h, h.member.load_tensors, best)
        done = [h for h in done if h.active]
        if done:
            found = [self._evaluate(done, split) for split in self.results]
            for h, *evaluations in zip(done, *found, strict=True):
                metrics = self._guard(h, self._publish, h, evaluations)
                if h.active:
                    h.end("complete", metrics=metrics)

    def _publish(self, h: Held, evaluations: list[Evaluation]) -> dict[str, float]:
        """Write the results on rank 0, which has the whole of the evaluations."""
        if not self.ranks.first:
            return {}
        metrics = {f"{split}/{k}": v for split, e in zip(self.results, evaluations, strict=True) for k, v in e.metrics(h.member).items()}
        counts = {split: len(rows) for split, rows in self.rows.items()}
        how = {"ranks": self.ranks.world, "together": len(self.held)}
        facts = {"counts": counts, "synthetic": bool(self.batches.store.info.get("synthetic")), **how}
        h.publish(metrics, pa.concat_tables([e.rows() for e in evaluations]), facts)
        return metrics

    def _guard(self, h: Held, act: Callable[..., T], *args: Any) -> T | None:
        """``act`` on every rank, without communication; rank 0's result on all of them.

        An error on any rank ends the member on all ranks: None then, and for a member that has ended before.
        """
        result = None
        if h.active and h.error is None:
            try:
                result = act(*args)
            except Exception as error:
                h.error = error
        self._settle(h)
        return self.ranks.share(result) if h.active else None

    def _settle(self, h: Held) -> None:
        """End a member as failed when it has an error on any rank."""
        if h.active:
            try:
                self.ranks.agree(h.error)
            except RankLost:
                raise
            except Exception as error:
                h.fail(error)
