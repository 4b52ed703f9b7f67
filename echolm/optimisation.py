"""Optimisers and learning-rate schedules as configuration; the loop builds them for a member's trainable parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from echolm.registry import Component, Registry

if TYPE_CHECKING:
    import torch


Decay = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Component):
    """An optimiser. ``build`` returns the torch optimiser over parameters that require gradients."""

    lr: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)

    def build(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser; ``parameters`` is not empty."""
        raise TypeError(f"optimizer {self.name} does not implement build")


class Schedule(Component):
    """A learning-rate schedule as a factor of the optimiser's ``lr``; its whole state is a plain dict."""

    def start(self) -> dict[str, Any]:
        """The state before the first step."""
        return {}

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """The factor for the coming step; ``progress`` is the share of all optimiser steps taken, in [0, 1)."""
        raise TypeError(f"schedule {self.name} does not implement factor")

    def epoch(self, state: dict[str, Any], loss: float) -> dict[str, Any]:
        """The state after an epoch whose validation loss was ``loss``."""
        return state


OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", [])
SCHEDULES: Registry[Schedule] = Registry("schedule", [])


@OPTIMIZERS.register
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), torch's implementation."""

    name: Literal["adam"] = "adam"
    betas: tuple[Decay, Decay] = (0.9, 0.999)

    def build(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """``torch.optim.Adam``."""
        import torch

        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


@OPTIMIZERS.register
class AdamW(Optimizer):
    """Adam with decoupled weight decay, torch's implementation."""

    name: Literal["adamw"] = "adamw"
    betas: tuple[Decay, Decay] = (0.9, 0.999)

    def build(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """``torch.optim.AdamW``."""
        import torch

        return torch.optim.AdamW(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


@OPTIMIZERS.register
class SGD(Optimizer):
    """Stochastic gradient descent, torch's implementation."""

    name: Literal["sgd"] = "sgd"
    momentum: Decay = 0.9

    def build(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """``torch.optim.SGD``."""
        import torch

        return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


@SCHEDULES.register
class Constant(Schedule):
    """The learning rate stays."""

    name: Literal["constant"] = "constant"

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """Always 1."""
        return 1.0


@SCHEDULES.register
class Plateau(Schedule):
    """Multiply by ``reduce`` when the validation loss has not improved by a relative ``threshold`` for more than
    ``patience`` epochs: torch's ReduceLROnPlateau in its default mode, without its least step ``eps``
    (NLDL 2026 §4.1: 0.5, 5)."""

    name: Literal["plateau"] = "plateau"
    reduce: float = Field(default=0.5, gt=0, lt=1)
    patience: int = Field(default=5, ge=0)
    threshold: float = Field(default=1e-4, ge=0)

    def start(self) -> dict[str, Any]:
        """``factor``, ``best`` loss (None before the first epoch), ``bad`` epochs since."""
        return {"factor": 1.0, "best": None, "bad": 0}

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """The factor reached so far."""
        return state["factor"]

    def epoch(self, state: dict[str, Any], loss: float) -> dict[str, Any]:
        """Count a bad epoch or remember a better loss; reduce after more than ``patience`` bad ones."""
        best, bad, factor = state["best"], state["bad"], state["factor"]
        if best is None or loss < best * (1 - self.threshold):
            return {"factor": factor, "best": loss, "bad": 0}
        if bad + 1 > self.patience:
            return {"factor": factor * self.reduce, "best": best, "bad": 0}
        return {"factor": factor, "best": best, "bad": bad + 1}


@SCHEDULES.register
class Cosine(Schedule):
    """Linear warm-up over the first ``warmup`` share of the steps, then a half cosine down to ``floor``, per step."""

    name: Literal["cosine"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    floor: float = Field(default=0.0, ge=0, le=1)

    def factor(self, state: dict[str, Any], progress: float) -> float:
        """The factor at ``progress``; it rises from ``floor`` while warming up."""
        import math

        if progress < self.warmup:
            return self.floor + (1 - self.floor) * progress / self.warmup
        share = (progress - self.warmup) / (1 - self.warmup)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))
