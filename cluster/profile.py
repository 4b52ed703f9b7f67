"""A site profile: what a SLURM site offers and what its jobs ask for, in YAML. ``echolm cluster example`` prints a
commented one; ``echolm cluster check`` holds it against the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from echolm.config import explain_validation, load_yaml
from echolm.errors import EchoLMError
from echolm.registry import Frozen, suggest


class Partition(Frozen):
    """What one node of a partition has, and how long a job may last there."""

    gpus_per_node: int = Field(default=0, ge=0)
    cpus_per_node: int | None = Field(default=None, ge=1)
    memory_gb_per_node: float | None = Field(default=None, gt=0)
    max_minutes: int | None = Field(default=None, ge=1)


class Profile(Frozen):
    """The content of a profile. Times in minutes or seconds and memory in GB, as the names say."""

    partitions: dict[str, Partition] = Field(min_length=1)
    partition: str
    """The partition that jobs go to."""
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time_minutes: int = Field(default=60, ge=1)
    """A job's time limit. Longer runs go on in a next job, from their checkpoint."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory of each node of a job. None: what the site gives."""
    cpus_per_task: int = Field(default=1, ge=1)
    gpu_option: Literal["gpus-per-node", "gres"] = "gpus-per-node"
    gpu_type: str | None = None
    jobs_at_once: int = Field(default=8, ge=1)
    """Jobs of a grid that may run together, over all its arrays."""
    submit_limit: int | None = Field(default=None, ge=1)
    """Jobs that the user may have queued (MaxSubmitJobs). None: no limit."""
    units_per_job: int = Field(default=4, ge=1)
    """Units for which one job is submitted: it trains them one after the other, so that imports are paid once."""
    warning_seconds: int = Field(default=120, ge=10)
    """How long before its time limit SLURM warns a job, which then writes checkpoints. SLURM's clock is coarse: up to a
    minute earlier."""
    setup: tuple[str, ...] = ()
    """Shell lines before a job starts: modules, variables."""
    python: str | None = None
    """Interpreter on the compute nodes. None: the one that submits."""
    container: str | None = None
    """A command prefix, such as ``apptainer exec --nv image.sif``."""
    work_dir: Path | None = None
    """Where the folders of jobs go, on a file system that compute nodes see. None: in the workspace."""
    exclude: tuple[str, ...] = ()
    """Nodes to avoid."""
    extra: dict[str, str | int | bool] = {}
    """Further options of sbatch, by their long name."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.partition not in self.partitions:
            raise ValueError(f"partition: {self.partition!r} is not one of partitions; {suggest(self.partition, self.partitions)}")
        limit = self.chosen.max_minutes
        if limit and self.time_minutes > limit:
            raise ValueError(f"time_minutes: {self.time_minutes} is above max_minutes of partition {self.partition}, {limit}")
        if self.warning_seconds >= 60 * self.time_minutes:
            raise ValueError(f"warning_seconds: {self.warning_seconds} s before the end of a job of {self.time_minutes} minutes leaves no time to train")
        return self

    @property
    def chosen(self) -> Partition:
        """The partition that jobs go to."""
        return self.partitions[self.partition]

    def shape(self, gpus: int = 0, ranks: int = 1, threads: int = 1) -> Shape:
        """Nodes and tasks for ``gpus`` GPUs (one task each), or for ``ranks`` tasks without GPUs.

        EchoLMError when no number of these nodes gives exactly that, with what does.
        """
        node, tasks = self.chosen, gpus or ranks
        room = node.gpus_per_node if gpus else max(1, (node.cpus_per_node or tasks) // max(threads, self.cpus_per_task))
        if gpus and not room:
            raise EchoLMError(f"--gpus {gpus}: partition {self.partition} of the profile has no GPUs (gpus_per_node); {self._with_gpus()}")
        nodes = -(-tasks // room)
        if tasks % nodes:
            valid = [n for n in range(1, 4 * room + 1) if n <= room or n % room == 0]
            what = "gpus" if gpus else "ranks"
            raise EchoLMError(f"--{what} {tasks}: nodes of partition {self.partition} take {room} each, and all nodes of a job take the same; valid: {', '.join(map(str, valid))}, ...")
        if node.cpus_per_node and tasks // nodes * max(threads, self.cpus_per_task) > node.cpus_per_node:
            raise EchoLMError(f"{tasks // nodes} tasks of {max(threads, self.cpus_per_task)} CPUs a node: partition {self.partition} has {node.cpus_per_node} CPUs a node; take fewer --threads")
        return Shape(nodes, tasks // nodes, tasks // nodes if gpus else 0)

    def gpu_request(self, shape: Shape) -> dict[str, str | int]:
        """The sbatch option that asks for a shape's GPUs."""
        if not shape.gpus_per_node:
            return {}
        kind = f"{self.gpu_type}:" if self.gpu_type else ""
        text = f"{kind}{shape.gpus_per_node}"
        return {"gres": f"gpu:{text}"} if self.gpu_option == "gres" else {"gpus-per-node": text}

    def _with_gpus(self) -> str:
        found = [name for name, partition in self.partitions.items() if partition.gpus_per_node]
        return f"with GPUs: {', '.join(found)} (set partition)" if found else "no partition of it has"


@dataclass(frozen=True)
class Shape:
    """Where a job's tasks go: equally many on each node, one GPU a task or none."""

    nodes: int
    tasks_per_node: int
    gpus_per_node: int


def load_profile(path: Path) -> Profile:
    """A profile from YAML. EchoLMError names the file and the field."""
    values: Any = load_yaml(path)
    if not isinstance(values, dict):
        raise EchoLMError(f"{path}: a site profile is a mapping with partitions and partition; to begin one: echolm cluster example")
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        unknown = [str(e["loc"][-1]) for e in error.errors() if e["type"] == "extra_forbidden"]
        hint = f"; {suggest(unknown[0], Profile.model_fields)}" if unknown else ""
        raise EchoLMError(explain_validation(error, str(path)) + hint) from None
