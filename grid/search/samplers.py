"""Samplers choose the next trial's values, and pruners end a trial that does badly.

Both are open unions by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from echolm.registry import Component, Registry

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


class Sampler(Component):
    """A sampler.

    Its draws depend on ``seed``, a trial's number and the trials before it alone.
    """

    seed: int = Field(default=0, ge=0)

    def build(self, seed: int) -> BaseSampler:
        """Build Optuna's sampler for one trial. ``seed`` has 32 bits."""
        raise TypeError(f"sampler {self.name} does not implement build")


class Pruner(Component):
    """A pruner. It means the same on this machine, on SLURM and on Ray."""

    def build(self) -> BasePruner:
        """Build Optuna's pruner. Its steps are epochs from 0."""
        raise TypeError(f"pruner {self.name} does not implement build")


SAMPLERS: Registry[Sampler] = Registry("sampler", [])
PRUNERS: Registry[Pruner] = Registry("pruner", [])


@SAMPLERS.register
class TPESampler(Sampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), Optuna's.

    Trials that still run count as bad ones, so that workers do not try the same values at once. The
    first ``startup`` trials are random.
    """

    name: Literal["tpe"] = "tpe"
    startup: int = Field(default=10, ge=1)

    def build(self, seed: int) -> BaseSampler:
        """Build ``optuna.samplers.TPESampler``."""
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.startup, constant_liar=True, seed=seed)


@SAMPLERS.register
class RandomSampler(Sampler):
    """Independent draws: the same trials with any number of workers."""

    name: Literal["random"] = "random"

    def build(self, seed: int) -> BaseSampler:
        """Build ``optuna.samplers.RandomSampler``."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed)


@PRUNERS.register
class MedianPruner(Pruner):
    """Prune a trial that does worse than half of the others.

    Its best epoch so far is worse than the median of complete trials at the same epoch. Nothing is
    pruned before ``startup`` trials are complete, nor in a trial's first ``warmup`` epochs.
    """

    name: Literal["median"] = "median"
    startup: int = Field(default=5, ge=1)
    warmup: int = Field(default=0, ge=0)

    def build(self) -> BasePruner:
        """Build ``optuna.pruners.MedianPruner``."""
        from optuna.pruners import MedianPruner

        return MedianPruner(self.startup, self.warmup)


@PRUNERS.register
class HalvingPruner(Pruner):
    """Asynchronous successive halving, ASHA (Li et al., MLSys 2020).

    Of the trials that have come to an epoch of decision by then, the best 1 / ``factor`` go on.
    Such an epoch follows the first ``warmup`` epochs, and each ``factor`` times as many.
    """

    name: Literal["halving"] = "halving"
    warmup: int = Field(default=1, ge=1)
    factor: int = Field(default=4, ge=2)

    def build(self) -> BasePruner:
        """Build ``optuna.pruners.SuccessiveHalvingPruner``."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.warmup, reduction_factor=self.factor)


@PRUNERS.register
class NoPruner(Pruner):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"

    def build(self) -> BasePruner:
        """Build ``optuna.pruners.NopPruner``."""
        from optuna.pruners import NopPruner

        return NopPruner()
