"""Dropout and stochastic depth whose masks are keyed by sample, not drawn from the ambient generator.

A mask value is a stateless hash of (the sample's key of this step, the module's place, how often the module was
called in this forward pass, the position in the sample). So in train mode a sample's output does not depend on its
neighbours in the batch, on the batch's order, or on how it is split over devices.
"""

from __future__ import annotations

import math
import sys

from torch import Tensor, nn

from echolm.errors import EchoLMError
from echolm.randomness import _GOLDEN, _shift, _signed, uniform, word

_AXES: dict[type[nn.Module], int | None] = {nn.Dropout: None, nn.Dropout1d: 2, nn.Dropout2d: 2, nn.Dropout3d: 2}
"""How many leading axes have a draw of their own: all, or sample and channel."""
_DIMS: dict[type[nn.Module], int] = {nn.Dropout1d: 3, nn.Dropout2d: 4, nn.Dropout3d: 5}
_ALWAYS_RANDOM = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_DROPOUT_INSIDE = (nn.MultiheadAttention, nn.RNNBase)


class Keys:
    """What keyed modules draw from. Set ``current`` before each forward pass."""

    def __init__(self) -> None:
        self._current: Tensor | None = None
        self._calls: dict[str, int] = {}

    @property
    def current(self) -> Tensor | None:
        """int64 keys (B,) of the samples in the batch, on its device."""
        return self._current

    @current.setter
    def current(self, keys: Tensor) -> None:
        self._current = keys
        self._calls.clear()

    def draw(self, place: str, rows: int, count: int) -> Tensor:
        """rows x count values in [0, 1) for the next call of the module at ``place``.

        ``rows`` is B, or B * m where m rows of a sample (its frames, say) follow one another: row i then takes the
        i % m-th part of what sample i // m draws.
        """
        if self._current is None:
            raise RuntimeError(f"{place} draws before Keys.current was set")
        if rows % len(self._current):
            raise EchoLMError(f"{place}: {rows} rows are not a multiple of the batch's {len(self._current)} samples")
        call = self._calls.get(place, 0)
        self._calls[place] = call + 1
        keys = fold(self._current, "mask", place, call)
        return uniform(keys, rows // len(self._current) * count).view(rows, count)


class KeyedDropout(nn.Module):
    """In train mode zeroes with probability ``p`` and scales what stays by 1 / (1 - p); in eval mode the identity.

    ``axes``: how many leading axes have a draw of their own, the others share it: None all (dropout), 2 sample and
    channel (Dropout1d to 3d), 1 the sample (stochastic depth by row). ``dims``: the only number of axes taken.
    """

    def __init__(self, keys: Keys, place: str, p: float, axes: int | None, dims: int | None = None) -> None:
        super().__init__()
        self.keys, self.place, self.p, self.axes, self.dims = keys, place, p, axes, dims

    def forward(self, x: Tensor) -> Tensor:
        """x: rows x ... of any float type, see ``Keys.draw``. Same shape and type."""
        if not self.training or not x.numel():
            return x
        if self.dims not in (None, x.dim()):
            raise EchoLMError(f"{self.place}: channel dropout of {x.dim()} axes; valid: {self.dims}, the batch first")
        own = x.shape[: self.axes]
        drop = self.keys.draw(self.place, own[0], math.prod(own[1:])) < self.p
        scale = 1.0 / (1.0 - self.p) if self.p < 1 else 0.0
        return x.masked_fill(drop.view(*own, *[1] * (x.dim() - len(own))), 0) * scale

    def extra_repr(self) -> str:
        """Probability and place."""
        return f"p={self.p}, place={self.place!r}"


def key_randomness(module: nn.Module, place: str) -> Keys:
    """Replace each dropout and stochastic depth (p > 0) below ``module`` by its keyed form; the Keys they share.

    ``place`` names the module within the model: equal names draw equal masks for equal keys. Parameters, buffers and
    their names stay. What was keyed before gets the new keys, so stages that several models share must not draw.

    EchoLMError names a module that draws random numbers and has no keyed form. A module that calls a random function
    directly in its ``forward`` cannot be seen here. A keyed module may not be run a second time for activation
    checkpointing, which would count as another call.
    """
    keys = Keys()
    for name, child in list(module.named_modules(remove_duplicate=False)):
        where = f"{place}.{name}" if name else place
        keyed = _keyed(child, keys, where)
        if keyed is None:
            continue
        if not name:
            raise EchoLMError(f"{place}: put the {type(child).__name__} into a module, which it can be replaced in")
        module.set_submodule(name, keyed.train(child.training))
    return keys


def fold(keys: Tensor, *parts: object) -> Tensor:
    """``echolm.randomness.fold`` for int64 tensors (B,) on any device: the same bits."""
    x = (keys ^ _signed(word(*parts))) + _signed(_GOLDEN)
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def _keyed(module: nn.Module, keys: Keys, place: str) -> KeyedDropout | None:
    """The keyed form of ``module``; None where it draws nothing."""
    if not _is_random(module):
        return None
    kind = type(module)
    if isinstance(module, KeyedDropout):
        return KeyedDropout(keys, place, module.p, module.axes, module.dims)
    if kind in _AXES:
        return KeyedDropout(keys, place, float(module.p), _AXES[kind], _DIMS.get(kind))  # type: ignore[arg-type]
    if _is_stochastic_depth(module) and module.mode == "row":
        return KeyedDropout(keys, place, float(module.p), axes=1)  # type: ignore[arg-type]
    raise EchoLMError(
        f"{place}: {kind.__name__} draws random numbers that are not keyed by sample; valid: Dropout, Dropout1d to"
        " Dropout3d, torchvision's StochasticDepth with mode 'row', or no randomness (p = 0, dropout = 0)"
    )


def _is_random(module: nn.Module) -> bool:
    if isinstance(module, _ALWAYS_RANDOM):
        return True
    if isinstance(module, _DROPOUT_INSIDE):
        return module.dropout > 0
    named_so = "drop" in type(module).__name__.lower() or _is_stochastic_depth(module)
    return named_so and (getattr(module, "p", None) or getattr(module, "drop_prob", None) or 0) > 0


def _is_stochastic_depth(module: nn.Module) -> bool:
    """Without importing torchvision: where it was not imported there is none."""
    ops = sys.modules.get("torchvision.ops")
    return ops is not None and type(module) is ops.StochasticDepth
