"""Random modules that draw by the sample's key, not from the ambient generator.

A drawn value is a stateless hash of (the sample's key of this step, the module's place, how often
the module was called in this forward pass, the position in the sample). So a sample's output does
not depend on its neighbours in the batch, on the batch's order, or on how it is split over devices.

``KeyedDropout`` takes the place of dropout and stochastic depth. ``KeyedUniform`` is for modules
that draw by themselves, such as the masks of a masked autoencoder.
"""

from __future__ import annotations

import math
import sys
from typing import Literal

from torch import Tensor, nn

from echolm.errors import EchoLMError
from echolm.randomness import below, fold_tensor, uniform
from echolm.training.coming_draws import DrawnTogether

_AXES: dict[type[nn.Module], int | None] = {
    nn.Dropout: None,
    nn.Dropout1d: 2,
    nn.Dropout2d: 2,
    nn.Dropout3d: 2,
}
"""How many leading axes have a draw of their own: all, or sample and channel."""
_DIMS: dict[type[nn.Module], int] = {nn.Dropout1d: 3, nn.Dropout2d: 4, nn.Dropout3d: 5}
_ALWAYS_RANDOM = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_DROPOUT_INSIDE = (nn.MultiheadAttention, nn.RNNBase)


class Keys:
    """What keyed modules draw from. Set ``current`` before each forward pass.

    Attributes:
        step: int64 key (1,) of this step, equal for every sample of the whole batch. Only draws by
            step need it.
    """

    def __init__(self) -> None:
        self.step: Tensor | None = None
        self._current: Tensor | None = None
        self._together: DrawnTogether | None = None
        self._start = 0
        """Where the batch begins among the samples that are drawn together."""
        self._calls: dict[str, int] = {}

    @property
    def current(self) -> Tensor | None:
        """int64 keys (B,) of the samples in the batch, on its device."""
        return self._current

    @current.setter
    def current(self, keys: Tensor) -> None:
        self._current = keys
        self._together = None
        self._calls.clear()

    def take(self, together: DrawnTogether, start: int, samples: int) -> None:
        """Set ``current`` to a batch whose draws are made together with those of others."""
        self.current = together.keys[start : start + samples]
        self._together = together
        self._start = start

    def drops(self, place: str, rows: int, count: int, p: float) -> Tensor:
        """Draw for the next call of the dropout at ``place`` which of rows x count values it drops.

        Each is dropped with probability ``p``.

        ``rows`` is B, or B * m where m rows of a sample (its frames, say) follow one another. Row i
        then takes the i % m-th part of what sample i // m draws.
        """
        samples = self._samples(place)
        if rows % len(samples):
            raise EchoLMError(
                f"{place}: {rows} rows are not a multiple of the batch's {len(samples)} samples"
            )
        call = self._next_call(place)
        by_sample = rows // len(samples) * count
        if self._together is not None:
            drops = self._together.drops(place, call, by_sample, p)
            if drops is not None:
                return drops[self._start : self._start + len(samples)].view(rows, count)
        return below(fold_tensor(samples, "mask", place, call), by_sample, p).view(rows, count)

    def draw_by_sample(self, place: str, count: int) -> Tensor:
        """Draw B x count values in [0, 1) for the next call of the module at ``place``."""
        keys = fold_tensor(self._samples(place), "uniform", place, self._next_call(place))
        return uniform(keys, count)

    def draw_by_step(self, place: str, count: int) -> Tensor:
        """Draw ``count`` values in [0, 1), the same for every sample of this step's whole batch."""
        if self.step is None:
            raise RuntimeError(f"{place} draws before Keys.step was set")
        key = fold_tensor(self.step, "uniform", place, self._next_call(place))
        return uniform(key, count)[0]

    def _samples(self, place: str) -> Tensor:
        if self._current is None:
            raise RuntimeError(f"{place} draws before Keys.current was set")
        return self._current

    def _next_call(self, place: str) -> int:
        """Count the calls of a module in this forward pass, from 0."""
        call = self._calls.get(place, 0)
        self._calls[place] = call + 1
        return call


class KeyedUniform(nn.Module):
    """Draws uniform values in [0, 1), in training and in evaluation.

    The same sample draws the same values however its batch is ordered, split into micro-batches or
    shared among ranks. In training the values change with the epoch (``per="sample"``) or the step
    (``per="step"``). In evaluation the keys are fixed, so that losses compare between epochs.

    Args:
        keys: as ``Objective.build`` gets them.
        place: names the draw. Other places draw other values. In a member of a run the module's
            path takes its place, so that two modules never share one.
        per: ``sample``: each sample draws its own values. ``step``: one draw for the whole batch.
    """

    def __init__(self, keys: Keys, place: str, per: Literal["sample", "step"] = "sample") -> None:
        super().__init__()
        self.keys = keys
        self.place = place
        self.per = per

    def forward(self, *shape: int) -> Tensor:
        """Draw float32 values: B x *shape by sample, *shape by step."""
        count = math.prod(shape)
        if self.per == "step":
            return self.keys.draw_by_step(self.place, count).view(shape)
        draws = self.keys.draw_by_sample(self.place, count)
        return draws.view(len(draws), *shape)

    def extra_repr(self) -> str:
        """Return place and scope."""
        return f"place={self.place!r}, per={self.per!r}"


class KeyedDropout(nn.Module):
    """Dropout by key: in train mode zeroes with probability ``p`` and scales by 1 / (1 - p).

    In eval mode it is the identity.

    Args:
        keys: what it draws from.
        place: names the module.
        p: the probability of zero.
        axes: how many leading axes have a draw of their own, which the others share. None: all
            (dropout). 2: sample and channel (Dropout1d to 3d). 1: the sample (stochastic depth by
            row).
        dims: the only number of axes taken. None: any.
    """

    def __init__(
        self, keys: Keys, place: str, p: float, axes: int | None, dims: int | None = None
    ) -> None:
        super().__init__()
        self.keys = keys
        self.place = place
        self.p = p
        self.axes = axes
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of x: rows x ... of any float type, see ``Keys.drops``."""
        if not self.training or not x.numel():
            return x
        if self.dims not in (None, x.dim()):
            raise EchoLMError(
                f"{self.place}: channel dropout of {x.dim()} axes; "
                f"valid: {self.dims}, the batch first"
            )
        drawn_shape = x.shape[: self.axes]
        count = math.prod(drawn_shape[1:])
        drops = self.keys.drops(self.place, drawn_shape[0], count, self.p)
        shared_axes = [1] * (x.dim() - len(drawn_shape))
        drop = drops.view(*drawn_shape, *shared_axes)
        scale = 1.0 / (1.0 - self.p) if self.p < 1 else 0.0
        return x.masked_fill(drop, 0) * scale

    def extra_repr(self) -> str:
        """Return probability and place."""
        return f"p={self.p}, place={self.place!r}"


def key_randomness(module: nn.Module, place: str, keys: Keys | None = None) -> Keys:
    """Replace each dropout and stochastic depth (p > 0) below ``module`` by its keyed form.

    Parameters, buffers and their names stay. What was keyed before gets the new keys and its path
    as its place, so stages that several models share must not draw.

    A module that calls a random function directly in its ``forward`` cannot be seen here. A keyed
    module may not be run a second time for activation checkpointing, which would count as another
    call.

    Args:
        module: the model.
        place: names the module within the model. Equal names draw equal values for equal keys.
        keys: what the modules draw from. None: new ones.

    Returns:
        The keys that the modules share.

    Raises:
        EchoLMError: names a module that draws random numbers and has no keyed form.
    """
    keys = keys or Keys()
    for name, child in list(module.named_modules(remove_duplicate=False)):
        path = f"{place}.{name}" if name else place
        keyed = _keyed(child, keys, path)
        if keyed is None:
            continue
        if not name:
            raise EchoLMError(
                f"{place}: put the {type(child).__name__} into a module, "
                "which it can be replaced in"
            )
        module.set_submodule(name, keyed.train(child.training))
    return keys


def compile_in_place(model: nn.Module) -> None:
    """Let torch.compile fuse a model's operations. Its modules and their names stay.

    Keyed draws are left as they are: they count calls and hash names, which a graph cannot hold.
    """
    import torch

    for module in model.modules():
        if isinstance(module, KeyedDropout | KeyedUniform):
            module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]
    model.compile()


def _keyed(module: nn.Module, keys: Keys, place: str) -> KeyedDropout | KeyedUniform | None:
    """Return the keyed form of ``module``, or None where it draws nothing."""
    if isinstance(module, KeyedUniform):
        return KeyedUniform(keys, place, module.per)
    if not _is_random(module):
        return None
    if isinstance(module, KeyedDropout):
        return KeyedDropout(keys, place, module.p, module.axes, module.dims)
    kind = type(module)
    probability = getattr(module, "p", 0.0)
    if kind in _AXES:
        return KeyedDropout(keys, place, float(probability), _AXES[kind], _DIMS.get(kind))
    if _is_stochastic_depth(module) and module.mode == "row":
        return KeyedDropout(keys, place, float(probability), axes=1)
    raise EchoLMError(
        f"{place}: {kind.__name__} draws random numbers that are not keyed by sample; valid: "
        "Dropout, Dropout1d to Dropout3d, torchvision's StochasticDepth with mode 'row', "
        "or no randomness (p = 0, dropout = 0)"
    )


def _is_random(module: nn.Module) -> bool:
    if isinstance(module, _ALWAYS_RANDOM):
        return True
    if isinstance(module, _DROPOUT_INSIDE):
        return module.dropout > 0
    if "drop" not in type(module).__name__.lower() and not _is_stochastic_depth(module):
        return False  # what another module calls p need not be a probability
    probability = getattr(module, "p", None) or getattr(module, "drop_prob", None) or 0
    return probability > 0


def _is_stochastic_depth(module: nn.Module) -> bool:
    """Recognise it without importing torchvision: where it was not imported there is none."""
    ops = sys.modules.get("torchvision.ops")
    return ops is not None and type(module) is ops.StochasticDepth
