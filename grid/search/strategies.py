"""Samplers, which choose the next trial's values, and pruners, which end a trial that does badly: open unions by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from echolm.registry import Component, Registry

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


class Sampler(Component):
    """A sampler. ``seed`` and a trial's number are all that its draws depend on, beside the trials before it."""

    seed: int = Field(default=0, ge=0)

    def build(self, seed: int) -> BaseSampler:
        """Optuna's sampler for one trial; ``seed``: 32 bits."""
        raise TypeError(f"sampler {self.name} does not implement build")


class Pruner(Component):
    """A pruner."""

    def build(self) -> BasePruner:
        """Optuna's pruner; its steps are epochs from 0."""
        raise TypeError(f"pruner {self.name} does not implement build")


SAMPLERS: Registry[Sampler] = Registry("sampler", [])
PRUNERS: Registry[Pruner] = Registry("pruner", [])


@SAMPLERS.register
class TPE(Sampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), Optuna's. Trials that still run count as bad ones, so that
    workers do not try the same place at once. The first ``startup`` trials are random."""

    name: Literal["tpe"] = "tpe"
    startup: int = Field(default=10, ge=1)

    def build(self, seed: int) -> BaseSampler:
        """``optuna.samplers.TPESampler``."""
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.startup, constant_liar=True, seed=seed)


@SAMPLERS.register
class Random(Sampler):
    """Independent draws: the same trials with any number of workers."""

    name: Literal["random"] = "random"

    def build(self, seed: int) -> BaseSampler:
        """``optuna.samplers.RandomSampler``."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed)


@PRUNERS.register
class Median(Pruner):
    """Prune a trial whose best epoch so far is worse than the median of complete trials at the same epoch; not before
    ``startup`` trials are complete, and not in a trial's first ``warmup`` epochs."""

    name: Literal["median"] = "median"
    startup: int = Field(default=5, ge=1)
    warmup: int = Field(default=0, ge=0)

    def build(self) -> BasePruner:
        """``optuna.pruners.MedianPruner``."""
        from optuna.pruners import MedianPruner

        return MedianPruner(self.startup, self.warmup)


@PRUNERS.register
class Nothing(Pruner):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"

    def build(self) -> BasePruner:
        """``optuna.pruners.NopPruner``."""
        from optuna.pruners import NopPruner

        return NopPruner()
