"""Hold what submitit pickles: a folder's name.

Whoever requeues the job and with whichever pickle, it finds its state in the records. Imports stay
inside, since this module is loaded before submitit has set its signal handlers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class BatchCallable:
    """The callable of every task of every job of a batch."""

    folder: str

    def __call__(self, number: int = 0) -> str:
        """Run the job and return why it ended, in words.

        Args:
            number: the array's index, which says nothing here.
        """
        from echolm.garbage import look_for_garbage_seldom

        look_for_garbage_seldom()
        from cluster.slurm.job.run import run_job

        return run_job(Path(self.folder))

    def checkpoint(self, number: int = 0) -> Any:
        """Return what submitit starts again after a warning.

        This is for a warning that came before the job's own handlers were there.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)
