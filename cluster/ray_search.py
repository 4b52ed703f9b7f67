"""Run a search on Ray: OptunaSearch of Ray Tune chooses values, and the study's pruner prunes.

The trainable is a function. What counts is the search's own study and the records of its trials: a
trainable adds its trial there, runs it by the body that all workers share, and tells it. The study
prunes, as everywhere, so Tune has no scheduler of its own: one pruner is the same in all places.
Ray keeps nothing that the next call needs. Trials that an earlier call left are finished first, by
ordinary workers as Ray tasks. SIGINT or SIGTERM stops all of them at their next optimiser step,
with checkpoints, and a second one kills them.

Without an address of a cluster, one is started on this machine and stopped at the end.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.ray.stop_flag import StopSender, stopped_by
from cluster.search_request import Workers
from echolm.arithmetic import Arithmetic
from echolm.garbage import look_for_garbage_seldom
from echolm.training.signals import request_stop
from grid.search.folder import read_search
from grid.search.study import Study
from grid.search.trial import finish, prepare_trial, run_trial, trial_result
from grid.search.worker import run_worker
from grid.units import Resources

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from ray.tune import Callback

VALUE = "value"
"""What a trainable reports after each epoch: the metric."""
MARK = "ray-trial"
"""The attribute of a trial that names Ray's trial.

In earlier versions it was ``grid.search.study.EARLIER_RAY_MARK``.
"""
STOPPED_BY_TUNE = "the end of Tune"
"""What stands in a record for a signal."""
RETRIES = 3
LOOK_S = 1.0
"""How often the launcher looks at its trials."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def run_ray(workers: Workers) -> str:
    """Run a search on Ray. See ``cluster.search.start_workers``.

    ``workers.count`` trials run at once, each on one GPU where there is one.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from cluster.ray.capacity import capacity, check_room
    from cluster.ray.connection import connected, worker_variables

    variables = worker_variables(workers.threads)
    cpus = workers.count * workers.threads
    with connected(workers.ray_address, variables, num_cpus=cpus):
        needs = Resources(gpus=_gpus(), threads=workers.threads)
        check_room(needs)
        workers = replace(workers, count=workers.count or min(capacity(needs), workers.trials))
        stop = StopSender()
        with stop.watching(), suppress(KeyboardInterrupt):
            _continue_trials(workers, stop)
            if not stop.signals:
                _tune(workers, stop)
            workers.look()
    return stop.signals[0] if stop.signals else ""


def _continue_trials(workers: Workers, stop: StopSender) -> None:
    """Finish trials that were left, or let them stop when a signal comes. None is added."""
    import ray

    left = len(Study(read_search(workers.folder), workers.folder).running())
    remote: Any = ray.remote(num_cpus=workers.threads, num_gpus=_gpus(), max_retries=RETRIES)
    task = remote(_work)
    tasks = []
    for _ in range(min(left, workers.count)):
        tasks.append(task.remote(workers.folder, _device(), workers.arithmetic, stop.flag))
    waits = tasks
    while waits:
        waits = ray.wait(waits, timeout=LOOK_S)[1]
        stop.act()
        workers.look()
    ray.get(tasks)


def _work(folder: Path, device: str, arithmetic: Arithmetic, flag: Any) -> None:
    """Run, as a task, an ordinary worker that adds no trial."""
    look_for_garbage_seldom()
    from echolm.training.cohorts import Compute

    with stopped_by(flag) as signal:
        if not signal:
            run_worker(folder, 0, device, Compute(arithmetic=arithmetic))


def _tune(workers: Workers, stop: StopSender) -> None:
    """Run the trials that are missing.

    Raises:
        KeyboardInterrupt: a signal has come, and the trials that ran have stopped.
    """
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    search = read_search(workers.folder)
    study = Study(search, workers.folder)
    known = study.trials()
    if len(known) >= workers.trials:
        return
    chooser = OptunaSearch(
        search.distributions(),  # type: ignore[arg-type]
        metric=VALUE,
        mode=search.metric.direction,
        sampler=study.sampler(len(known)),
    )
    for trial in known:
        if trial.value is not None:
            chooser.add_evaluated_point(
                trial.params,
                trial.value,
                pruned=trial.state.name == "PRUNED",
                intermediate_values=list(trial.intermediate_values.values()),
            )
    config = tune.TuneConfig(
        search_alg=chooser,
        num_samples=workers.trials - len(known),
        max_concurrent_trials=workers.count,
        reuse_actors=True,
    )
    run = tune.RunConfig(
        name=time.strftime("%Y%m%d-%H%M%S"),
        storage_path=str(workers.folder / "ray"),
        verbose=0,
        callbacks=[_watcher(workers, stop)],
        failure_config=tune.FailureConfig(max_failures=RETRIES),
    )
    trainable = tune.with_resources(
        _trainable(str(workers.folder), _device(), workers.threads, workers.arithmetic, stop.flag),
        {"cpu": float(workers.threads), "gpu": float(_gpus())},
    )
    tune.Tuner(trainable, tune_config=config, run_config=run).fit()
    _tell_ended(study, workers.folder)


def _trainable(folder: str, device: str, threads: int, arithmetic: Arithmetic, flag: Any) -> Any:
    """Return the function that Ray Tune runs in its actors.

    What starts after a signal makes no trial.
    """

    def trial(parameters: dict[str, Any]) -> None:
        with stopped_by(flag) as signal:
            if signal:
                _report(float("nan"))
            else:
                run_one(Path(folder), parameters, device, threads, arithmetic)

    return trial


def run_one(
    folder: Path,
    parameters: dict[str, Any],
    device: str,
    threads: int,
    arithmetic: Arithmetic = Arithmetic(),  # noqa: B008 - it is frozen
) -> None:
    """Run one trial inside an actor of Ray Tune.

    Each epoch is reported to Tune, for its sampler, and the study's pruner decides.
    """
    look_for_garbage_seldom()
    import torch

    from echolm.training.cohorts import Compute
    from echolm.training.distributed import Ranks, pick_device

    torch.set_num_threads(threads)
    study = Study(read_search(folder), folder)
    trial = _trial_of_this_actor(study, parameters)

    def prunes(epoch: int, value: float) -> bool:
        try:
            _report(value)
        except SystemExit:  # how Tune ends a function. The trial goes on from its checkpoint.
            request_stop(STOPPED_BY_TUNE)
            return False
        return study.prunes(trial)

    if not trial.state.is_finished():
        run = prepare_trial(trial, folder)
        result = trial_result(run.record, study.search.metric)
        if result:
            finish(study, trial, run, result)
        else:
            ranks = Ranks(device=pick_device(device))
            run_trial(study, trial, run, ranks, Compute(arithmetic=arithmetic), prunes)
    value = study.trials()[trial.number].value  # of a pruned trial, its last one
    _report(float("nan") if value is None else value)


def _report(value: float) -> None:
    from ray import tune

    tune.report({VALUE: value})


def _trial_of_this_actor(study: Study, parameters: dict[str, Any]) -> FrozenTrial:
    """Return the trial of the actor's Ray trial: a new one, unless an actor died that had it."""
    from ray import tune

    name = tune.get_context().get_trial_id()
    for trial in study.trials():
        if trial.user_attrs.get(MARK) == name:
            return trial
    return study.add(parameters, **{MARK: name})


def _tell_ended(study: Study, folder: Path) -> None:
    """Tell the study of trials that have ended untold.

    These are twins: their configuration is another trial's, which ran it at the same time.
    """
    for trial in study.running():
        run = prepare_trial(trial, folder)
        result = trial_result(run.record, study.search.metric)
        if result:
            finish(study, trial, run, result)


def _watcher(workers: Workers, stop: StopSender) -> Callback:
    """Return what looks about once a second while Tune works, and passes on signals."""
    from ray import tune

    class Watcher(tune.Callback):
        """See ``_watcher``."""

        looked = 0.0
        asked: set[str] | None = None
        """Trials that were running when a signal came and still are."""

        def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
            """Act after each event that Tune has handled, and ten times a second."""
            if stop.act():
                running = {trial.trial_id for trial in trials if trial.status == "RUNNING"}
                self.asked = running if self.asked is None else self.asked & running
                if not self.asked:
                    raise KeyboardInterrupt
            if time.monotonic() - self.looked > LOOK_S:
                workers.look()
                self.looked = time.monotonic()

    return Watcher()


def _gpus() -> int:
    """Return the GPUs of a trial: one where the cluster has any."""
    import ray

    return 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0


def _device() -> str:
    return "cuda" if _gpus() else "cpu"
