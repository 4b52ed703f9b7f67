"""Optimisers and learning-rate schedules as configuration.

The loop builds them for a member's trainable parameters.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from echolm.identity import Neutral
from echolm.registry import Component, Registry

if TYPE_CHECKING:
    import torch

    OptimizerT = TypeVar("OptimizerT", bound=torch.optim.Optimizer)
    NamedParameters = Iterable[tuple[str, torch.nn.Parameter]]

Decay = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Component):
    """An optimiser.

    ``lr`` is the peak of the schedule, where its factor is 1.
    """

    lr: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: Annotated[float | None, Field(gt=0), Neutral(None)] = None
    """The largest norm of all gradients together. Larger ones are scaled down to it."""
    decay: Annotated[Literal["all", "weights"], Neutral("all")] = "all"
    """What decays. ``weights`` leaves out biases and norms: what has fewer than two axes."""
    layer_decay: Annotated[float, Field(gt=0, le=1), Neutral(1.0)] = 1.0
    """Factor from the rate of a stage of the encoder to the rate of the stage before it.

    Readout, fusion, head and objective have the whole rate, the last block ``layer_decay`` of it
    (BEiT, Bao et al. 2022).
    """

    def groups(self, parameters: NamedParameters) -> list[dict[str, Any]]:
        """Sort parameters into groups of equal rate and decay, as torch's optimisers take them.

        Names are left out: given to torch they would become part of its state, and of checkpoints.

        Args:
            parameters: name and parameter, as ``named_parameters`` of a run's model gives them.
        """
        named = list(parameters)
        blocks = 1 + max((_block(name) for name, _ in named), default=-1)
        groups: dict[tuple[float, float], dict[str, Any]] = {}
        for name, parameter in named:
            lr = self.lr * self.layer_decay ** _stages_above(name, blocks)
            decay = self.weight_decay
            if self.decay == "weights" and parameter.dim() < 2:
                decay = 0.0
            group = {"params": [], "lr": lr, "weight_decay": decay}
            groups.setdefault((lr, decay), group)["params"].append(parameter)
        return list(groups.values())

    def build(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        """Build the torch optimiser over parameters that require gradients.

        It may sort parameters into groups by name, each with a rate and a decay of its own. The
        schedule multiplies each group's rate.

        Args:
            parameters: name and parameter, as ``named_parameters`` gives them. Not empty.
        """
        raise TypeError(f"optimizer {self.name} does not implement build")


class Schedule(Component):
    """A learning-rate schedule as a factor of the optimiser's rates.

    Its whole state is a plain dict.
    """

    def start(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {}

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """Return the factor for the coming step.

        Args:
            state: the state after the last epoch.
            progress: the share of all optimiser steps taken, in [0, 1).
        """
        raise TypeError(f"schedule {self.name} does not implement factor")

    def epoch(self, state: dict[str, Any], loss: float) -> dict[str, Any]:
        """Return the state after an epoch whose validation loss was ``loss``."""
        return state

    def progress(self, epoch: int, step: int, epochs: int, steps: int) -> float:
        """Return the share of the training that is over before a step, in [0, 1).

        Args:
            epoch: of the step, from 0.
            step: its number in the epoch, from 0.
            epochs: how many the run has.
            steps: how many an epoch has.
        """
        return (epoch * steps + step) / (epochs * steps)


OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", [])
SCHEDULES: Registry[Schedule] = Registry("schedule", [])


@OPTIMIZERS.register
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), torch's implementation."""

    name: Literal["adam"] = "adam"
    betas: tuple[Decay, Decay] = (0.9, 0.999)

    def build(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        """Build ``torch.optim.Adam``."""
        import torch

        parameters = list(parameters)
        return without_compiler(torch.optim.Adam)(
            self.groups(parameters),
            lr=self.lr,
            betas=self.betas,
            weight_decay=self.weight_decay,
            fused=_in_one_kernel(parameters),
        )


ADAMW_RECIPES: dict[str, dict[str, Any]] = {
    "echofm": {
        "lr": 2.5e-4,
        "betas": (0.9, 0.95),
        "weight_decay": 0.05,
        "clip": 0.02,
        "decay": "weights",
    },
}
"""``echofm`` is that of the released script, for 64 clips a step: the rate is 1e-3 x 64 / 256."""


@OPTIMIZERS.register
class AdamW(Optimizer):
    """Adam with decoupled weight decay, torch's implementation.

    ``recipe`` stands for the fields that one of ``ADAMW_RECIPES`` gives. Fields that are written
    beside it come first.
    """

    name: Literal["adamw"] = "adamw"
    recipe: Annotated[Literal["echofm"] | None, Neutral(None)] = None
    betas: tuple[Decay, Decay] = (0.9, 0.999)

    @model_validator(mode="before")
    @classmethod
    def _follow_recipe(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("recipe") not in ADAMW_RECIPES:
            return values
        written = {name: value for name, value in values.items() if name != "recipe"}
        return {**ADAMW_RECIPES[values["recipe"]], **written}

    def build(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        """Build ``torch.optim.AdamW``."""
        import torch

        parameters = list(parameters)
        return without_compiler(torch.optim.AdamW)(
            self.groups(parameters),
            lr=self.lr,
            betas=self.betas,
            weight_decay=self.weight_decay,
            fused=_in_one_kernel(parameters),
        )


@OPTIMIZERS.register
class SGD(Optimizer):
    """Stochastic gradient descent, torch's implementation."""

    name: Literal["sgd"] = "sgd"
    momentum: Decay = 0.9

    def build(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        """Build ``torch.optim.SGD``."""
        import torch

        return without_compiler(torch.optim.SGD)(
            self.groups(parameters),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )


@SCHEDULES.register
class ConstantRate(Schedule):
    """The learning rate stays."""

    name: Literal["constant"] = "constant"

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """Return 1."""
        return 1.0


@SCHEDULES.register
class PlateauRate(Schedule):
    """Multiplies the rate by ``reduce`` when the validation loss stays on a plateau.

    A plateau is no improvement by a relative ``threshold`` for more than ``patience`` epochs:
    torch's ReduceLROnPlateau in its default mode, without its least step ``eps`` (NLDL 2026 §4.1:
    0.5, 5).
    """

    name: Literal["plateau"] = "plateau"
    reduce: float = Field(default=0.5, gt=0, lt=1)
    patience: int = Field(default=5, ge=0)
    threshold: float = Field(default=1e-4, ge=0)

    def start(self) -> dict[str, Any]:
        """Return ``factor``, ``best`` loss (None before the first epoch), ``bad`` epochs since."""
        return {"factor": 1.0, "best": None, "bad": 0}

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """Return the factor reached so far."""
        return state["factor"]

    def epoch(self, state: dict[str, Any], loss: float) -> dict[str, Any]:
        """Count a bad epoch or remember a better loss. Reduce after too many bad ones."""
        best, bad, factor = state["best"], state["bad"], state["factor"]
        if best is None or loss < best * (1 - self.threshold):
            return {"factor": factor, "best": loss, "bad": 0}
        if bad + 1 > self.patience:
            return {"factor": factor * self.reduce, "best": best, "bad": 0}
        return {"factor": factor, "best": best, "bad": bad + 1}


@SCHEDULES.register
class CosineRate(Schedule):
    """Linear warm-up over the first ``warmup`` share of the training, then a half cosine.

    The warm-up goes from ``begin`` to 1, the cosine from 1 to ``floor``. They are factors of the
    optimiser's ``lr``, the peak. Echo-Vision-FM (Zhang et al. 2025) goes from 1e-5 over 1e-4 to
    1e-8: lr 1e-4, begin 0.1, floor 1e-4.
    """

    name: Literal["cosine"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    floor: float = Field(default=0.0, ge=0, le=1)
    begin: Annotated[float | None, Field(ge=0, le=1), Neutral(None)] = None
    """The factor at the first step of a warm-up. None: ``floor``."""
    per: Annotated[Literal["step", "epoch"], Neutral("step")] = "step"
    """When the factor changes: at each step, or at the beginning of each epoch alone."""

    def progress(self, epoch: int, step: int, epochs: int, steps: int) -> float:
        """Return the share of the training that is over: of its steps, or of whole epochs."""
        if self.per == "epoch":
            return epoch / epochs
        return super().progress(epoch, step, epochs, steps)

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """Return the factor at ``progress``."""
        if progress < self.warmup:
            start = self.floor if self.begin is None else self.begin
            return start + (1 - start) * progress / self.warmup
        share = (progress - self.warmup) / (1 - self.warmup)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))


@cache
def without_compiler(optimizer: type[OptimizerT]) -> type[OptimizerT]:
    """Derive a class of torch's optimisers that does not import torch's compiler.

    torch wraps these methods, so that ``torch.compile`` leaves them out, and the wrapper imports
    the compiler, which takes nearly as long as torch, in each process that trains. EchoLM never
    compiles an optimiser. The methods themselves stay torch's, and so do states and numbers.

    Args:
        optimizer: a class of ``torch.optim``.
    """
    import torch

    methods: dict[str, Any] = {
        name: inspect.unwrap(getattr(optimizer, name))
        for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    }
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)


def _in_one_kernel(parameters: list[tuple[str, torch.nn.Parameter]]) -> bool | None:
    """Tell whether a step is one kernel a parameter, which takes the least CPU time.

    None where parameters have no memory (meta): torch has no such kernel there.
    """
    if any(parameter.is_meta for _, parameter in parameters):
        return None
    return True


def _block(name: str) -> int:
    """Return the number of the encoder's block that a parameter belongs to, -1 for no block."""
    if not name.startswith("encoder.blocks."):
        return -1
    return int(name.split(".")[2])


def _stages_above(name: str, blocks: int) -> int:
    """Count the stages of the encoder after the one that a parameter belongs to.

    Args:
        name: of the parameter in a run's model.
        blocks: of the encoder.
    """
    if name.startswith("encoder.stem."):
        return blocks + 1
    block = _block(name)
    return 0 if block < 0 else blocks - block
