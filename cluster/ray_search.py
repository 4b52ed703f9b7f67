"""A search on Ray: Ray Tune's OptunaSearch chooses values, its ASHA scheduler prunes, over a function trainable.

What counts is still the search's own study and the records of its trials: a trainable adds its trial there, runs it by
the body that all workers share, and tells it. Ray keeps nothing that the next call needs. Trials that an earlier call
left are finished first, by ordinary workers as Ray tasks. SIGINT or SIGTERM stops all of them at their next optimiser step,
with checkpoints; a second one kills them.

Without an address of a cluster, one is started on this machine and stopped at the end.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.ray.stopping import Stopping, listening
from cluster.search import Workers
from grid.plan import Resources
from grid.search.folder import read_search
from grid.search.study import Study, Verdict
from grid.search.trial import finish, judge, prepare_trial, run_trial
from grid.search.worker import run_worker

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from ray.tune import Callback, ResultGrid

VALUE, EPOCH = "value", "epoch"
"""What a trainable reports: the metric, after so many epochs."""
MARK = "ray"
"""The attribute of a trial that names Ray's trial."""
RETRIES = 3
LOOK_S = 1.0
"""How often the launcher looks at its trials."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}  # fmt: skip


def run_ray(workers: Workers) -> str:
    """See ``cluster.search.start_workers``. ``workers.count`` trials run at once, each on one GPU where there is one."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from cluster.ray.capacity import capacity, check_room
    from cluster.ray.connection import connected, worker_variables

    with connected(workers.ray_address, worker_variables(workers.threads), num_cpus=workers.count * workers.threads):
        needs = Resources(gpus=_gpus(), threads=workers.threads)
        check_room(needs)
        workers = replace(workers, count=workers.count or min(capacity(needs), workers.trials))
        stopping = Stopping()
        with stopping.watching(), suppress(KeyboardInterrupt):
            _continue_trials(workers, stopping)
            if not stopping.signals:
                _tune(workers, stopping)
            workers.look()
    return stopping.signals[0] if stopping.signals else ""


def _continue_trials(workers: Workers, stopping: Stopping) -> None:
    """Finish trials that were left, or let them stop when a signal comes; none is added."""
    import ray

    left = len(Study(read_search(workers.folder), workers.folder).running())
    remote: Any = ray.remote(num_cpus=workers.threads, num_gpus=_gpus(), max_retries=RETRIES)
    task = remote(_work)
    tasks = [task.remote(workers.folder, _device(), stopping.bell) for _ in range(min(left, workers.count))]
    waits = tasks
    while waits:
        waits = ray.wait(waits, timeout=LOOK_S)[1]
        stopping.obey()
        workers.look()
    ray.get(tasks)


def _work(folder: Path, device: str, bell: Any) -> None:
    """The task: an ordinary worker that adds no trial."""
    with listening(bell) as stopped:
        if not stopped:
            run_worker(folder, 0, device)


def _tune(workers: Workers, stopping: Stopping) -> None:
    """Run the trials that are missing. KeyboardInterrupt: a signal has come, and the trials that ran have stopped."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    search = read_search(workers.folder)
    study = Study(search, workers.folder)
    known, mode = study.trials(), search.metric.direction
    if len(known) >= workers.trials:
        return
    space = search.distributions()
    chooser = OptunaSearch(space, metric=VALUE, mode=mode, sampler=study.sampler(len(known)))  # type: ignore[arg-type]
    for trial in known:
        if trial.value is not None:
            pruned, values = trial.state.name == "PRUNED", list(trial.intermediate_values.values())
            chooser.add_evaluated_point(trial.params, trial.value, pruned=pruned, intermediate_values=values)
    body = _trainable(str(workers.folder), _device(), workers.threads, stopping.bell)
    config = tune.TuneConfig(
        search_alg=chooser, scheduler=_scheduler(study), num_samples=workers.trials - len(known),
        max_concurrent_trials=workers.count, reuse_actors=True,
    )  # fmt: skip
    run = tune.RunConfig(
        name=time.strftime("%Y%m%d-%H%M%S"), storage_path=str(workers.folder / "ray"), verbose=0, callbacks=[_watcher(workers, stopping)],
        failure_config=tune.FailureConfig(max_failures=RETRIES),
    )  # fmt: skip
    resources = {"cpu": float(workers.threads), "gpu": float(_gpus())}
    results = tune.Tuner(tune.with_resources(body, resources), tune_config=config, run_config=run).fit()
    _settle(study, workers.folder, results)


def _scheduler(study: Study) -> Any:
    """ASHA, beginning after the pruner's ``warmup`` epochs; None for the pruner ``none``."""
    from ray.tune.schedulers import ASHAScheduler

    search = study.search
    pruner = search.definition.pruner
    if pruner.name == "none":
        return None
    most = max(search.config(sample).epochs for sample in search.samples())
    grace = min(max(1, getattr(pruner, "warmup", 1)), most)
    return ASHAScheduler(time_attr=EPOCH, metric=VALUE, mode=search.metric.direction, max_t=most, grace_period=grace)


def _trainable(folder: str, device: str, threads: int, bell: Any) -> Any:
    """The function that Ray Tune runs in its actors. What starts after a signal makes no trial."""

    def trial(parameters: dict[str, Any]) -> None:
        with listening(bell) as stopped:
            if stopped:
                _report(float("nan"), 1)
            else:
                run_one(Path(folder), parameters, device, threads)

    return trial


def run_one(folder: Path, parameters: dict[str, Any], device: str, threads: int) -> None:
    """One trial inside an actor of Ray Tune: reports each epoch, and stops as pruned when Tune has stopped it."""
    import torch

    from echolm.training.distributed import Ranks, pick_device
    from echolm.training.loop import Compute

    torch.set_num_threads(threads)
    study = Study(read_search(folder), folder)
    trial = _own(study, parameters)
    stopped = False

    def prunes(epoch: int, value: float) -> bool:
        nonlocal stopped
        try:
            _report(value, epoch + 1)
        except SystemExit:  # how Tune ends a function
            stopped = True
        return stopped

    if not trial.state.is_finished():
        run = prepare_trial(trial, folder)
        verdict = judge(run.record, study.search.metric)
        if verdict:
            finish(study, trial, run, verdict)
        else:
            run_trial(study, trial, run, Ranks(device=pick_device(device)), Compute(), prunes)
    if stopped:
        sys.exit(0)
    trial = study.trials()[trial.number]
    epochs = trial.user_attrs["config"]["epochs"] if "config" in trial.user_attrs else 1
    _report(float("nan") if trial.value is None else trial.value, epochs)


def _report(value: float, epochs: int) -> None:
    from ray import tune

    tune.report({VALUE: value, EPOCH: epochs})


def _own(study: Study, parameters: dict[str, Any]) -> FrozenTrial:
    """The trial of the actor's Ray trial: a new one, unless an actor died that had it before."""
    from ray import tune

    name = tune.get_context().get_trial_id()
    known = [trial for trial in study.trials() if trial.user_attrs.get(MARK) == name]
    return known[0] if known else study.add(parameters, **{MARK: name})


def _settle(study: Study, folder: Path, results: ResultGrid) -> None:
    """Tell trials that have ended untold: another's twins, and those whose actor Tune ended before it could tell."""
    all_results = [results[number] for number in range(len(results))]
    ended = {result.metrics["trial_id"] for result in all_results if result.metrics and not result.error}
    for trial in study.running():
        run = prepare_trial(trial, folder)
        verdict = judge(run.record, study.search.metric)
        if verdict is None and trial.user_attrs.get(MARK) in ended and len(trial.intermediate_values) < run.config.epochs:
            verdict = Verdict("pruned")
        if verdict:
            finish(study, trial, run, verdict)


def _watcher(workers: Workers, stopping: Stopping) -> Callback:
    """Looks about once a second while Tune works, and passes on signals."""
    from ray import tune

    class Watcher(tune.Callback):
        """See ``_watcher``."""

        looked = 0.0
        asked: set[str] | None = None
        """Trials that were running when a signal came and still are."""

        def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
            """After each event that Tune has handled, and ten times a second."""
            if stopping.obey():
                running = {trial.trial_id for trial in trials if trial.status == "RUNNING"}
                self.asked = running if self.asked is None else self.asked & running
                if not self.asked:
                    raise KeyboardInterrupt
            if time.monotonic() - self.looked > LOOK_S:
                workers.look()
                self.looked = time.monotonic()

    return Watcher()


def _gpus() -> int:
    """GPUs of a trial: one where the cluster has any."""
    import ray

    return 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0


def _device() -> str:
    return "cuda" if _gpus() else "cpu"
