"""Choose where the workers of a search run: this machine, SLURM jobs or a Ray cluster.

A worker takes only the search's folder (grid/search/worker.py), so a place needs to know nothing of
trials.
"""

from __future__ import annotations

from cluster.search_request import Workers

__all__ = ["Workers", "start_workers"]


def start_workers(on: str, workers: Workers) -> str:
    """Start workers in a place. Starting again continues.

    Args:
        on: ``local``, ``slurm`` or ``ray``. ``slurm`` returns after submission. The other two
            return when nothing is left for them to do.
        workers: what is asked for.

    Returns:
        The name of the signal that stopped the workers, or ''.

    Raises:
        EchoLMError: no worker can work.
    """
    if on == "slurm":
        from cluster.slurm.search import run_slurm

        return run_slurm(workers)
    if on == "ray":
        from cluster.ray_search import run_ray

        return run_ray(workers)
    from cluster.local_search import run_local

    return run_local(workers)
