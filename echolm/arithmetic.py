"""How a run's arithmetic is done: its precision, and whether a compiler fuses its operations.

It belongs to how a run is computed and not to the run, so it is in no key. Records keep it where it
is not the plain one (``facts``), and tables say where runs of one row differ in it.

- ``fp32``: float32 throughout, also in the products and convolutions of a GPU.
- ``tf32``: products and convolutions of a GPU round their factors to 10 bits. A CPU knows no such
  thing, so there it is ``fp32``, and is recorded as that.
- ``bf16``: products and convolutions of the forward pass and its gradients in bfloat16 (torch's
  autocast). Weights, optimiser and losses stay float32, and so does what heads and objectives give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NO_TF32 = "tf32 has no effect on a CPU: computed in fp32"
PLAIN = "fp32"
"""What ``describe`` says of a record that tells nothing."""
COMPILED = "compiled"


@dataclass(frozen=True)
class Arithmetic:
    """How the networks of runs compute.

    Attributes:
        precision: one of ``PRECISIONS``.
        compile: whether torch.compile fuses their operations.
    """

    precision: Precision = "fp32"
    compile: bool = False

    def on(self, device: torch.device) -> Arithmetic:
        """Return what it comes to on a device."""
        if self.precision == "tf32" and device.type == "cpu":
            return Arithmetic("fp32", self.compile)
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """What records keep of it. What is plain is left out: early records have none of it."""
        facts: dict[str, Any] = {}
        if self.precision != "fp32":
            facts["precision"] = self.precision
        if self.compile:
            facts["compile"] = True
        return facts

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        import torch

        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    @contextmanager
    def backward(self, device: torch.device) -> Iterator[None]:
        """Be the context of a backward pass.

        On CPUs bf16 goes without oneDNN there: its gradients of small 3D convolutions (torch 2.13)
        read memory that nobody has written, and are not finite now and then.
        """
        import torch

        if self.precision != "bf16" or device.type != "cpu":
            yield
            return
        uses_onednn = torch.backends.mkldnn.enabled
        torch.backends.mkldnn.enabled = False
        try:
            yield
        finally:
            torch.backends.mkldnn.enabled = uses_onednn

    @contextmanager
    def switches(self) -> Iterator[None]:
        """Set torch's switches for products and convolutions in float32, and put them back."""
        import torch

        value = "tf32" if self.precision == "tf32" else "ieee"
        places: tuple[Any, ...] = (
            torch.backends.cuda.matmul,
            torch.backends.cudnn.conv,
            torch.backends.cudnn.rnn,
        )
        before = [place.fp32_precision for place in places]
        for place in places:
            place.fp32_precision = value
        try:
            yield
        finally:
            for place, earlier in zip(places, before, strict=True):
                place.fp32_precision = earlier


def describe(facts: Mapping[str, Any]) -> str:
    """Say in a few words how a run was computed, from the ``facts`` of its record."""
    words = [str(facts.get("precision") or PLAIN)]
    if facts.get("compile"):
        words.append(COMPILED)
    return ", ".join(words)


def describe_all(facts: Iterable[Mapping[str, Any]]) -> str:
    """Say how the parts of a run were computed, in their order: ``bf16, then fp32``."""
    return ", then ".join(dict.fromkeys(describe(part) for part in facts))


def in_float32(outputs: Any) -> Any:
    """Return a network's outputs with all of their tensors of lower precision in float32.

    Outputs are a tensor, or tuples, lists and dictionaries of them.
    """
    import torch

    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs
    if isinstance(outputs, dict):
        return {name: in_float32(value) for name, value in outputs.items()}
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*(in_float32(value) for value in outputs))
    if isinstance(outputs, tuple | list):
        return type(outputs)(in_float32(value) for value in outputs)
    return outputs
