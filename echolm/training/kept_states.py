"""States of the trunk that are kept by row: one layout of batches, each passed at most once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echolm.encoders.base import Features, State
from echolm.tasks import Batch
from echolm.training.shelf import Shelf, empty_arrays
from echolm.training.trunk import CutStates

_FEATURES = ("pooled", "frames", "tokens")
_CONTEXT = "context "
"""Begins the names of a state's context among its tensors."""


@dataclass(frozen=True)
class PassPlan:
    """In which batches rows are passed through the trunk.

    Attributes:
        batches: the store rows of each, no row twice.
        epoch: the epoch whose views they have. None: nothing is drawn.
        window: which of the clip's passes of the final evaluation it is. None: there is one.
    """

    batches: list[np.ndarray]
    epoch: int | None = None
    window: int | None = None


@dataclass
class StatesAtCut:
    """The states of all rows of a layout at one cut.

    Attributes:
        arrays: name -> rows x ....
        meta: of the states. None: they are Features.
    """

    arrays: dict[str, Tensor]
    meta: dict[str, Any] | None

    def read(self, slots: Tensor, device: torch.device) -> State | Features:
        """Return the states of rows, on a device."""
        tensors, context = {}, {}
        for name, array in self.arrays.items():
            tensor = array[slots].to(device)
            if name.startswith(_CONTEXT):
                context[name.removeprefix(_CONTEXT)] = tensor
            else:
                tensors[name] = tensor
        if self.meta is None:
            return Features(**tensors, context=context)
        return State(tensors, dict(self.meta), context)


class KeptStates:
    """What is kept of the rows of one layout.

    Args:
        layout: the layout.
        rows: how many rows the store has.
        shelf: gives the room.
        fields: the fields of Features that members read, beside ``pooled``.
        tell: is told when there is no room for the states of a cut.
    """

    def __init__(
        self,
        layout: PassPlan,
        rows: int,
        shelf: Shelf,
        fields: Collection[str],
        tell: Callable[[str], None],
    ) -> None:
        self.layout = layout
        self._shelf = shelf
        self._fields = {"pooled", *fields}
        self._tell = tell
        in_order = np.concatenate(layout.batches)
        sizes = [len(batch) for batch in layout.batches]
        self._count = len(in_order)
        self._slots = np.full(rows, -1)
        self._slots[in_order] = np.arange(self._count)
        self._batch_of_slot = np.repeat(np.arange(len(sizes)), sizes)
        self._is_passed = np.zeros(len(sizes), bool)
        self._parts: dict[str, Tensor] = {}
        self._at_cut: dict[int, StatesAtCut | None] = {}

    def holds(self, rows: np.ndarray) -> bool:
        """Tell whether all of these rows of the store are in the layout."""
        return bool((self._slots[rows] >= 0).all())

    def to_pass(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the rows of each batch that has to be put before these rows can be read."""
        numbers = np.unique(self._batch_of_slot[self._slots[rows]])
        for number in numbers[~self._is_passed[numbers]].tolist():
            yield self.layout.batches[number]

    def cuts_to_pass(self, cuts: Collection[int]) -> list[int]:
        """Return those of the cuts whose states are not kept, ascending."""
        return [cut for cut in sorted(cuts) if self._at_cut.get(cut) is None]

    def put(self, rows: np.ndarray, batch: Batch, states: CutStates) -> None:
        """Keep a batch of the layout, with as many of its cuts as there is room for."""
        slots = self._slot_tensor(rows)
        parts = parts_of(batch)
        if not self._parts:
            self._parts = empty_arrays(self._count, parts)
        for name, part in parts.items():
            self._parts[name][slots] = part.cpu()
        for cut in sorted(states.by_cut, reverse=True):
            state = states.at(cut)
            tensors = self._tensors_of(state)
            if cut not in self._at_cut:
                self._at_cut[cut] = self._make_room(cut, state, tensors)
            kept = self._at_cut[cut]
            if kept is not None:
                for name, tensor in tensors.items():
                    kept.arrays[name][slots] = tensor.cpu()
        self._is_passed[self._batch_of_slot[slots]] = True

    def parts(self, rows: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        """Return the parts of a batch (``parts_of``), on a device."""
        slots = self._slot_tensor(rows)
        return {name: array[slots].to(device) for name, array in self._parts.items()}

    def states(self, rows: np.ndarray, device: torch.device) -> dict[int, State | Features]:
        """Return the states at the cuts that are kept, on a device."""
        slots = self._slot_tensor(rows)
        states = {}
        for cut, kept in self._at_cut.items():
            if kept is not None:
                states[cut] = kept.read(slots, device)
        return states

    def _slot_tensor(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self._slots[rows])

    def _make_room(
        self, cut: int, state: State | Features, tensors: dict[str, Tensor]
    ) -> StatesAtCut | None:
        """Make room for the states at a cut. Those before the first block are the clip itself."""
        if cut == 0:
            return None
        # What a stem alone gives costs little to make, and as much to read as the clip.
        arrays = self._shelf.room(self._count, tensors, disk=cut > 1)
        if arrays is None:
            self._tell(
                f"no room to keep the states of {self._count} clips before stage {cut}: "
                "they pass the frozen part in every epoch"
            )
            return None
        return StatesAtCut(arrays, state.meta if isinstance(state, State) else None)

    def _tensors_of(self, state: State | Features) -> dict[str, Tensor]:
        """Return the tensors of a state that are kept, by name."""
        tensors = {}
        if isinstance(state, State):
            tensors.update(state.tensors)
        else:
            for name in _FEATURES:
                tensor = getattr(state, name)
                if tensor is not None and name in self._fields:
                    tensors[name] = tensor
        for name, tensor in state.context.items():
            tensors[_CONTEXT + name] = tensor
        return tensors


def parts_of(batch: Batch) -> dict[str, Tensor]:
    """Return the tensors of a batch but its clips: ``points``, ``frames``, ``target NAME``."""
    parts = {"points": batch.points}
    if batch.frames is not None:
        parts["frames"] = batch.frames
    for name, target in batch.targets.items():
        parts[f"target {name}"] = target
    return parts
