"""torchvision on machines whose torch has no CUDA.

A CUDA build of torchvision (the package index has no other for some versions) cannot load its
compiled operators beside a CPU build of torch. It then fails at import, because it registers fake
kernels for ``torchvision::nms``, which nothing has defined. Its models need none of these
operators, so declaring them is enough. Calling ``torchvision.ops.nms`` still fails, with torch's
own message.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_MISSING = "operator torchvision::nms does not exist"
_OPERATORS = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# A Library withdraws its operators when it is collected.
_declared: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Import ``torchvision``. A pair of torch and torchvision that works is used untouched."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
    _forget_partial_import()
    _declare_operators()
    return importlib.import_module("torchvision")


def _forget_partial_import() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "torchvision":
            del sys.modules[name]


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in _OPERATORS:
        library.define(name + _SIGNATURE)  # type: ignore[no-untyped-call]
    _declared.append(library)
