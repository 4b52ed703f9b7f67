"""The training loop: one for fine-tuning and pretraining, one run or a cohort, one process or many.

A cohort's members have equal data, weights, views, order and batch size. Each batch goes once
through the trunk, then through every member's tail and head. The loss is the sum over the batch by
its true size, so ranks and micro-batch change nothing but rounding. A failing member leaves.

Read it top down: ``fit``, then ``Cohort.train``, ``_epoch``, ``_step``. What a step does is in
``echolm.training.steps``. How ranks agree is in ``echolm.training.consensus``: there it says why
errors are kept on the run until the next collective, in place of being raised where they happen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from echolm.arithmetic import NO_TF32
from echolm.config import PretrainConfig, splits_read
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.memory_format import lay_out
from echolm.provenance import code_facts
from echolm.randomness import order
from echolm.states import RunState
from echolm.training import callbacks
from echolm.training.checkpoint_times import CheckpointTimes
from echolm.training.closed_form import fit_closed_form, is_closed_form
from echolm.training.cohorts import Compute, acquire, cohorts
from echolm.training.consensus import Consensus, Interrupted
from echolm.training.cost import network_cost
from echolm.training.distributed import Ranks
from echolm.training.evaluate import Evaluation, evaluate
from echolm.training.failures import Diverged, RankLost
from echolm.training.feed import Feed, open_feed
from echolm.training.head_start import set_start
from echolm.training.live import EVERY_S, LiveProgress
from echolm.training.member import Member, cut_of
from echolm.training.patience import AfterWait, Patience, interrupted_by_outage
from echolm.training.prepare import PreparedRun
from echolm.training.run_handle import Outcome, RunHandle
from echolm.training.selection import select_rows
from echolm.training.signals import StopRequest
from echolm.training.steps import OptimiserStep, OptimiserSteps
from echolm.training.stored_feed import keep_states
from echolm.training.trunk import first_network

Verdict = callbacks.Verdict


def fit(
    runs: Sequence[PreparedRun],
    compute: Compute | None = None,
    ranks: Ranks | None = None,
    on_epoch: callbacks.OnEpoch = callbacks.keep_going,
    test: bool = True,
    on_live: callbacks.OnLive = callbacks.show_nowhere,
    on_outage: Callable[[str], None] = callbacks.tell_on_stderr,
) -> list[Outcome]:
    """Train runs to the end, together where they can be.

    A signal, a cancel mark or a failure ends them before. What goes away meanwhile is waited for.

    Args:
        runs: the prepared runs.
        compute: how they are computed.
        ranks: this process among others. None: a single process on the CPU.
        on_epoch: ``on_epoch(run, epoch, validation metrics)`` is asked on rank 0 after each epoch.
        test: False: no sample of the test split is read, and the results are those of validation
            alone. For searches, whose records are kept apart from those of grids.
        on_live: ``on_live(run, progress)`` is called on rank 0, about once a second.
        on_outage: is called on rank 0 with a line when something is away, and when it is back.

    Returns:
        One Outcome a run, in order.
    """
    compute = compute or Compute()
    ranks = ranks or Ranks()
    handles = [acquire(run, compute, ranks) for run in runs]
    arithmetic = compute.arithmetic.on(ranks.device)
    with StopRequest() as stop, arithmetic.switches():

        def train(taken: list[RunHandle]) -> None:
            for group in cohorts([run for run in taken if run.active], compute, ranks):
                Cohort(group, compute, ranks, stop, on_epoch, test, on_live).train()

        train(handles)
        patience = Patience(ranks, stop, on_outage, compute.outage_s)
        try:
            while lost := interrupted_by_outage(handles, ranks):
                verdict = patience.wait_for_runs([handles[index] for index in lost])
                if verdict == AfterWait.OVER:
                    break
                for index in lost:
                    handles[index].write_owed_ending()
                    excuses = verdict == AfterWait.AGAIN
                    handles[index] = acquire(runs[index], compute, ranks, excuses)
                train([handles[index] for index in lost])
        except RankLost as loss:
            for run in handles:
                if run.active:
                    run.end(RunState.INTERRUPTED, str(loss))
    return [run.outcome for run in handles if run.outcome]


class Cohort:
    """Runs that share their batches and stand at the same step, trained together."""

    def __init__(
        self,
        runs: list[RunHandle],
        compute: Compute,
        ranks: Ranks,
        stop: StopRequest,
        on_epoch: callbacks.OnEpoch,
        test: bool = True,
        on_live: callbacks.OnLive = callbacks.show_nowhere,
    ) -> None:
        self.runs = runs
        self.compute = compute
        self.ranks = ranks
        self.checkpoints = CheckpointTimes(ranks, compute.checkpoint_s)
        self.consensus = Consensus(ranks, stop, self.checkpoints.is_due)
        self.on_epoch = on_epoch
        self.on_live = on_live
        self.config = runs[0].config
        read = splits_read(self.config) if test else ("train", "val")
        self.result_splits = read[1:]
        self.arithmetic = compute.arithmetic.on(ranks.device)
        self.feed: Feed = None  # type: ignore[assignment]
        """It is opened by ``_build``."""
        self._clock = 0.0
        self._shown = time.monotonic()
        """When it was last shown where the runs stand."""

    @property
    def active(self) -> list[RunHandle]:
        """Members whose runs have not ended."""
        return [run for run in self.runs if run.active]

    def train(self) -> None:
        """Run all epochs. An error that is not one member's own ends them all as failed."""
        try:
            self._build()
            while self.active:
                self._finish([run for run in self.active if run.progress.done])
                if self.active:
                    self._epoch()
        except (Interrupted, RankLost) as stop:
            for run in self.active:
                run.end(RunState.INTERRUPTED, str(stop))
        except Exception as error:
            for run in self.active:
                run.fail(error)
        finally:
            if self.feed is not None:
                self.feed.close()
            self._release_ended()  # the next cohort needs their memory

    def _release_ended(self) -> None:
        """Release what runs that have ended hold: networks, and activations of a failed step."""
        for run in self.runs:
            if not run.active:
                run.release_memory()

    # Beginning

    def _build(self) -> None:
        """Build feed and networks, and load the state of the newest checkpoints."""
        self.consensus.stop_before_start()
        with self.ranks.together():
            network = self._open()
        new = []
        for run in self.runs:
            state = self.consensus.on_all_ranks(run, run.read_checkpoint)
            self.consensus.on_all_ranks(run, self._join, run, network, state)
            if state is None:
                new.append(run)
        fit_closed_form(new, self.feed, self.rows["train"], self.consensus)

    def _open(self) -> EncoderNetwork:
        """Open the feed and choose its rows by split. Returns the encoder's first network."""
        prepared = self.runs[0].prepared
        network = first_network(prepared, self.ranks.device)
        cuts = [cut_of(run.config) for run in self.runs]
        lay_out(network, prepared.config.encoder, self.ranks.device)
        source = open_feed(prepared, network, cuts, self.ranks.device, self.arithmetic)
        selection = select_rows(source.store, self.config, ("train", *self.result_splits))
        self.rows = selection.rows
        self.left_out = selection.left_out
        self.feed = keep_states(source, self.runs, self.rows, self.ranks, self.compute)
        self.steps = math.ceil(len(self.rows["train"]) / self.config.batch_size)
        self.optimiser_steps = OptimiserSteps(
            self.runs,
            self.feed,
            self.ranks,
            self.consensus,
            self.compute.micro_batch,
            self.steps,
            self.arithmetic,
        )
        return network

    def _join(self, run: RunHandle, network: EncoderNetwork, state: dict[str, Any] | None) -> None:
        """Build a run's member: at its beginning, or where its checkpoint says."""
        cut = cut_of(run.config)
        run.member = Member(run.config, network, cut, self.ranks.device, self.arithmetic)
        if state is None:
            set_start(run, self.feed, self.rows["train"])
        else:
            run.load_state(state)
        run.event(
            "started",
            world=self.ranks.world,
            device=str(self.ranks.device),
            epoch=run.progress.epoch,
            step=run.progress.step,
            **self.arithmetic.facts,
            **code_facts(run.config),
        )
        if self.arithmetic.precision != self.compute.arithmetic.precision:
            run.log(NO_TF32)

    # Training

    def _epoch(self) -> None:
        """Take the remaining steps of the current epoch, validate, and decide what follows."""
        self._clock = time.monotonic()
        progress = self.active[0].progress
        epoch = progress.epoch
        rows = self.rows["train"]
        shuffled = rows[order(self.feed.keys[rows], self.config.order, epoch)]
        size = self.config.batch_size
        coming = []
        for number in range(progress.step, self.steps):
            batch_rows = shuffled[number * size : (number + 1) * size]
            coming.append(OptimiserStep(epoch, number, batch_rows))
        self.optimiser_steps.announce(coming)
        for step in coming:
            self._step(step)
            if not self.active:
                return
        self.optimiser_steps.settle()
        runs = self.active
        if not runs:
            return
        evaluations = self._evaluate(runs, "val")
        self._add_elapsed_time()
        self.checkpoints.end_epoch(runs)
        for run, evaluation in zip(runs, evaluations, strict=True):
            self._finish_epoch(run, evaluation)

    def _step(self, step: OptimiserStep) -> None:
        """Take one optimiser step of every active member."""
        self.optimiser_steps.take(step)
        self._release_ended()
        self._add_elapsed_time()
        if self.consensus.take_save_request():
            self.checkpoints.save(self.active)
        self._show("training", step.number + 1, self.steps)
        self.consensus.stop_if_requested(self.active)

    def _add_elapsed_time(self) -> None:
        """Add the time since the last call to every active run's epoch."""
        now = time.monotonic()
        for run in self.active:
            run.progress.epoch_seconds += now - self._clock
        self._clock = now

    def _show(self, phase: str, step: int, steps: int) -> None:
        """Show where the runs stand, now and then: in their records, and to who called ``fit``.

        Args:
            phase: of ``LiveProgress``.
            step: steps of the phase that are done.
            steps: how many it has.
        """
        now = time.monotonic()
        if not self.ranks.first or now - self._shown < EVERY_S:
            return
        self._shown = now
        for run in self.active:
            progress = run.progress
            live = LiveProgress(
                phase=phase,
                epoch=min(progress.epoch + 1, run.config.epochs),
                epochs=run.config.epochs,
                step=step,
                steps=steps,
                seconds_left=progress.seconds_left(run.config.epochs, self.steps),
            )
            run.show(live)
            self.on_live(run.prepared, live)

    # Validation

    def _evaluate(
        self, runs: list[RunHandle], split: str, phase: str = "validation", passes: int = 1
    ) -> list[Evaluation]:
        """Evaluate members on a split. One with an error leaves as failed.

        Args:
            runs: the members' runs.
            split: its name.
            phase: of ``LiveProgress``.
            passes: clips that are seen of each sample.

        Returns:
            On rank 0 each member's whole Evaluation, elsewhere this rank's part.
        """
        rows = self.ranks.shard(self.rows[split])
        batches = math.ceil(len(rows) / self.config.batch_size)
        done = 0

        def after_batch() -> None:
            nonlocal done
            done += 1
            self._show(phase, done, batches)
            self.consensus.poll_signals(self.active)

        with self.ranks.together():
            members = [run.member for run in runs]
            size = self.config.batch_size
            evaluations = evaluate(members, self.feed, rows, size, after_batch, passes)
        for index, run in enumerate(runs):
            run.error = run.error or evaluations[index].error
            self.consensus.fail_if_any_rank_failed(run)
            if run.active and (parts := self.ranks.gather(evaluations[index])):
                evaluations[index] = Evaluation.joined(parts)
        return evaluations

    def _finish_epoch(self, run: RunHandle, evaluation: Evaluation) -> None:
        """Follow a validation: keep or not, go on or stop, and checkpoint."""
        metrics = self.consensus.on_all_ranks(run, self._validation_metrics, run, evaluation)
        verdict = self.consensus.on_all_ranks(run, self._after_validation, run, metrics)
        if verdict is None:
            return
        is_last = run.progress.epoch + 1 >= run.config.epochs or is_closed_form(run.member)
        run.progress.done = verdict == "stop" or is_last
        if run.config.select == "last" and run.progress.done:
            self.consensus.on_all_ranks(run, run.keep_best, run.selecting_value)
        run.progress.next_epoch()
        is_over = run.progress.done or verdict == "pruned"
        if self.checkpoints.wants(is_over):
            self.consensus.on_all_ranks(run, run.save_checkpoint, is_over)
        if verdict == "pruned" and run.active:
            run.end(RunState.PRUNED, f"after epoch {run.progress.epoch}")

    def _validation_metrics(self, run: RunHandle, evaluation: Evaluation) -> dict[str, float]:
        """Compute the metrics on rank 0, which has the whole of the evaluation."""
        return evaluation.metrics(run.member) if self.ranks.first else {}

    def _after_validation(self, run: RunHandle, metrics: dict[str, float]) -> Verdict:
        """Keep the best weights, move the schedule, report the epoch, ask the callback.

        With ``select: last`` the weights are kept when the last epoch is over.
        """
        progress, member = run.progress, run.member
        name, direction = run.config.goal.select
        value = metrics[name] if direction == "min" else -metrics[name]
        if not math.isfinite(value):
            raise Diverged(f"the validation metric {name} is {metrics[name]}")
        run.selecting_value = value
        is_better = progress.best_value is None or value < progress.best_value
        if run.config.select == "best" and is_better:
            run.keep_best(value)
        member.schedule = run.config.schedule.epoch(member.schedule, metrics["loss"])
        self._report_epoch(run, metrics)
        if not self.ranks.first:
            return "continue"  # rank 0's verdict is shared
        return self.on_epoch(run.prepared, progress.epoch, metrics)

    def _report_epoch(self, run: RunHandle, metrics: dict[str, float]) -> None:
        """Write the epoch into the attempt's events and log."""
        progress = run.progress
        values = {"train/loss": progress.loss_sum / (progress.count or 1)}
        for name, value in metrics.items():
            values[f"val/{name}"] = value
        run.event(
            "epoch",
            epoch=progress.epoch,
            step=(progress.epoch + 1) * self.steps,
            metrics=values,
            seconds=progress.epoch_seconds,
        )
        text = " ".join(f"{name} {value:.5g}" for name, value in values.items())
        run.log(f"epoch {progress.epoch + 1}/{run.config.epochs} {text}")

    # End

    def _finish(self, runs: list[RunHandle]) -> None:
        """Complete runs from their chosen checkpoints: evaluate once, and write the results."""
        for run in runs:
            best = self.consensus.on_all_ranks(run, run.best_tensors)
            self.consensus.on_all_ranks(run, run.member.load_tensors, best)
        runs = [run for run in runs if run.active]
        if not runs:
            return
        passes = self.config.clip.passes()
        by_split = []
        for split in self.result_splits:
            by_split.append(self._evaluate(runs, split, "final evaluation", passes))
        for run, *evaluations in zip(runs, *by_split, strict=True):
            metrics = self.consensus.on_all_ranks(run, self._publish, run, evaluations)
            if run.active:
                run.end(RunState.COMPLETE, metrics=metrics)

    def _publish(self, run: RunHandle, evaluations: list[Evaluation]) -> dict[str, float]:
        """Write the results on rank 0, which has the whole of the evaluations."""
        if not self.ranks.first:
            return {}
        metrics = {}
        for split, evaluation in zip(self.result_splits, evaluations, strict=True):
            for name, value in evaluation.metrics(run.member).items():
                metrics[f"{split}/{name}"] = value
        facts = {
            "counts": {split: len(rows) for split, rows in self.rows.items()},
            "left_out": self.left_out,
            "synthetic": bool(self.feed.store.info.get("synthetic")),
            "ranks": self.ranks.world,
            "together": len(self.runs),
            **run.arithmetic_facts(),
            "cost": network_cost(run.member, self.feed, int(self.rows["train"][0])),
        }
        rows = None
        if not isinstance(run.config, PretrainConfig) or run.config.predictions:
            rows = pa.concat_tables([evaluation.rows() for evaluation in evaluations])
        run.publish(metrics, rows, facts)
        return metrics
