"""How often Python looks for garbage."""

from __future__ import annotations

import atexit
import gc

OBJECTS = 5_000
"""So many further objects make Python look for reference cycles. By itself 3.11 has 700."""


def look_for_garbage_seldom() -> None:
    """Look for reference cycles seven times less often, and not at the end of this process.

    What nothing refers to is released at once, as ever. Modules and the rows of tables are no
    garbage, but Python looks through them again and again, and once more when the process ends.
    That is a quarter of the CPU time of a process that imports torch
    (``python -m tests.benchmarks.start_up``). What begins a process calls this first.
    """
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
