"""The site profile: what a SLURM site is like, and what jobs of this person ask of it.

YAML in, a frozen value out.

``cluster/profiles/example.yaml`` is a commented example (``echolm cluster example`` prints it).
``echolm cluster check PROFILE`` compares a profile with the site.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from echolm.arithmetic import Precision
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.registry import Frozen
from echolm.text import suggest
from echolm.yaml_files import explain_validation, load_yaml, without_schema

OWN_OPTIONS = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "exclude": "exclude",
    "cpus-per-task": "cpus_per_task",
    "wckey": "wckey",
    "time": "time_minutes",
    "mem": "memory_gb",
    "signal": "warning_seconds",
    "gpus-per-node": "gpu_option",
    "gres": "gpu_option",
}
"""sbatch options that a field of the profile sets, and that field."""
LAUNCHER_OPTIONS = (
    "array",
    "chdir",
    "error",
    "export",
    "gpus",
    "gpus-per-task",
    "job-name",
    "no-requeue",
    "nodes",
    "ntasks",
    "ntasks-per-node",
    "open-mode",
    "output",
    "parsable",
    "requeue",
    "wait",
    "wrap",
)
"""sbatch options that the launcher sets or relies on."""
_ANOTHER_CLUSTER = "jobs of another cluster are not seen: run echolm on a login node of that one"
_NO_SUBMISSION = "sbatch would submit nothing"
_RANKS = "how many ranks and GPUs a node has follows from --gpus and --ranks"
HARMFUL_OPTIONS = {
    "comment": "it holds the batch's name, by which jobs are found again",
    "quiet": "sbatch would not say the job's id",
    "cluster": _ANOTHER_CLUSTER,
    "clusters": _ANOTHER_CLUSTER,
    "help": _NO_SUBMISSION,
    "test-only": _NO_SUBMISSION,
    "usage": _NO_SUBMISSION,
    "version": _NO_SUBMISSION,
    "gpus-per-socket": _RANKS,
    "ntasks-per-gpu": _RANKS,
    "tasks-per-node": _RANKS,
    "no-kill": "a job whose node is lost would go on without it",
}
"""sbatch options with which jobs would be lost sight of, or not be what was asked for, and why."""
EARLY_S = 60
"""SLURM's clock is coarse: a job may be warned so many seconds early (man sbatch, --signal)."""


def _word(value: Any) -> Any:
    """Check one word. YAML reads ``0123``, ``1e5`` and ``no`` as something else."""
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"YAML reads this as {value!r}, not as text; write it in quotes")
    if isinstance(value, str) and (not value or value.split() != [value]):
        raise ValueError(f"{value!r} is not one word (no spaces)")
    return value


def _lines(value: Any) -> Any:
    """Split one text into its lines. A list of lines is one already."""
    return value.splitlines() if isinstance(value, str) else value


def _path(value: Any) -> Any:
    """Replace ``~`` and ``$NAME`` in a path by what they mean here."""
    if not isinstance(value, str):
        return value
    path = os.path.expandvars(os.path.expanduser(value))
    if "$" in path:
        raise ValueError(f"{value!r} has a variable that is not set here")
    return path


Word = Annotated[str, BeforeValidator(_word)]


class Partition(Frozen):
    """What a node of a partition has, as the site states it."""

    gpus_per_node: int = Field(default=0, ge=0)
    """GPUs of one node."""
    cpus_per_node: int = Field(ge=1)
    """CPUs of one node, as SLURM counts them (``sinfo -o %c``)."""
    memory_gb_per_node: float = Field(gt=0)
    """Memory of one node that jobs may ask for, GiB (``sinfo -o %m`` is in MiB)."""
    max_minutes: int | None = Field(default=None, ge=1)
    """The longest job, minutes. None: no limit."""


@dataclass(frozen=True)
class NodeShape:
    """How the ranks of one unit lie on nodes.

    ``nodes`` x ``tasks_per_node`` tasks, with a GPU each unless ``gpus_per_node`` is 0.
    """

    nodes: int
    tasks_per_node: int
    gpus_per_node: int

    @property
    def ranks(self) -> int:
        """Tasks on all nodes."""
        return self.nodes * self.tasks_per_node


class Profile(Frozen):
    """A SLURM site and how this person uses it. Fields without a default must be given."""

    partitions: dict[Word, Partition] = Field(min_length=1)
    """Partitions by name."""
    partition: Word
    """The partition that jobs go to. May be left out when there is only one."""
    time_minutes: int = Field(ge=2)
    """Time limit of one job, minutes.

    A unit that takes longer continues from its checkpoint in the next job.
    """
    account: Word | None = None
    """Account to charge. None: the user's default."""
    qos: Word | None = None
    """Quality of service. None: the site's default."""
    wckey: Word | None = None
    """Workload key to charge, for sites that ask for one. None: none is sent."""
    constraint: Word | None = None
    """Features that nodes must have, e.g. ``a100`` or ``[a100|h100]``."""
    exclude: Annotated[list[Word], BeforeValidator(_lines)] = []
    """Nodes that jobs must not use, e.g. ``[gpu7, "gpu[11-14]"]``."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory of a job on each of its nodes, GiB. None: the site's default."""
    cpus_per_task: int = Field(default=1, ge=1)
    """CPUs of each task (rank): its own thread and the threads it computes or reads data with."""
    gpu_option: Literal["gpus-per-node", "gres"] = "gpus-per-node"
    """The sbatch option that asks for GPUs. ``gres`` (``gpu:N``) is understood by every site."""
    gpu_type: Word | None = None
    """Type of the GPUs as the site names it (``sinfo -o %G``), e.g. ``a100``. None: any."""
    tflops: float | None = Field(default=None, gt=0)
    """TFLOP/s that one GPU reaches in training, for forecasts before there are complete runs.

    None: that of an A100 by the paper's hours, 6.2, within a factor of 3.
    """
    precision: Precision = "fp32"
    """Of the arithmetic, where neither the command line nor the grid says it."""
    compile: bool = False
    """Whether torch.compile fuses the networks' operations, as for ``precision``."""
    jobs_at_once: int = Field(default=8, ge=1)
    """At most this many jobs run at once, over all arrays."""
    submit_limit: int | None = Field(default=None, ge=1)
    """At most this many jobs (tasks of arrays) of the user are in the queue at once.

    None: no limit is known.
    """
    units_per_job: int | None = Field(default=None, ge=1)
    """How many units a job is meant for, which says how many jobs there are.

    None: as many jobs as may run at once. A job that has time left takes units of others, so that
    none waits when a job is lost.
    """
    warning_seconds: int = Field(default=120, ge=1)
    """How long before its time limit a job is told to checkpoint, seconds.

    SLURM may tell it up to 60 s earlier.
    """
    setup: Annotated[list[str], BeforeValidator(_lines)] = []
    """Shell lines that each job runs first on its first node: modules, environment variables."""
    work_dir: Annotated[Path | None, BeforeValidator(_path)] = None
    """Where the folders of jobs go (scripts, logs). Every node must see it. None: the workspace."""
    python: Annotated[str | None, BeforeValidator(_path)] = None
    """The Python interpreter on the compute nodes. None: the one that submits."""
    container: str | None = None
    """A command to put before python, e.g. ``apptainer exec --nv image.sif``.

    It needs ``python``, its path in the image.
    """
    extra: dict[str, str | int | Literal[True]] = {}
    """Further sbatch options by their long name, without dashes.

    ``true`` gives one that has no value.
    """

    @model_validator(mode="before")
    @classmethod
    def _only_partition(cls, values: Any) -> Any:
        """Take the only partition for the default one."""
        if isinstance(values, dict) and values.get("partition") is None:
            names = values.get("partitions")
            if isinstance(names, dict) and len(names) == 1:
                return {**values, "partition": next(iter(names))}
        return values

    @field_validator("setup")
    @classmethod
    def _shell_lines(cls, lines: list[str]) -> list[str]:
        for line in lines:
            if line.lstrip().startswith("#SBATCH"):
                raise ValueError(
                    f"{line!r} would not be read by sbatch; write it under extra, as name: value"
                )
            if "\n" in line or "\0" in line:
                raise ValueError(f"{line!r} is not one line")
        return lines

    @field_validator("work_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError(f"{str(path)!r} must be an absolute path (~ and $NAME may be used)")
        return path

    @field_validator("container")
    @classmethod
    def _command(cls, command: str | None) -> str | None:
        try:
            words = shlex.split(command) if command is not None else ["none"]
        except ValueError as error:
            raise ValueError(f"not a command: {error}") from None
        if not words or "\n" in str(command):
            raise ValueError("not a command of one line")
        return command

    @field_validator("extra", mode="before")
    @classmethod
    def _not_ours(cls, options: Any) -> Any:
        if isinstance(options, dict):
            for name, value in options.items():
                _check_extra(name, value)
        return options

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse what the default partition, as the profile itself states it, cannot give."""
        if self.partition not in self.partitions:
            raise ValueError(
                f"partition: {self.partition!r} is not among partitions;"
                f" {suggest(self.partition, self.partitions)}"
            )
        node, name = self.partitions[self.partition], self.partition
        if node.max_minutes is not None and self.time_minutes > node.max_minutes:
            raise ValueError(
                f"time_minutes: {self.time_minutes} is over max_minutes of partition {name};"
                f" valid: 2 to {node.max_minutes}"
            )
        if self.time_minutes < self.least_minutes:
            raise ValueError(
                f"warning_seconds: {self.warning_seconds} is too much for time_minutes"
                f" ({60 * self.time_minutes} s): SLURM may warn {EARLY_S} s early, and a job would"
                f" be told to stop as it begins; valid: time_minutes {self.least_minutes} or more"
            )
        if self.memory_gb is not None and self.memory_gb > node.memory_gb_per_node:
            raise ValueError(
                f"memory_gb: a node of partition {name} has {node.memory_gb_per_node:g};"
                f" given {self.memory_gb:g}"
            )
        if self.cpus_per_task > node.cpus_per_node:
            raise ValueError(
                f"cpus_per_task: a node of partition {name} has {node.cpus_per_node};"
                f" given {self.cpus_per_task}"
            )
        if self.container is not None and self.python is None:
            raise ValueError("container: needs python too: the interpreter's path inside the image")
        return self

    @property
    def has(self) -> Partition:
        """What a node of the chosen partition has."""
        return self.partitions[self.partition]

    @property
    def least_minutes(self) -> int:
        """The shortest time limit with which a job is not warned as it begins, minutes."""
        return (self.warning_seconds + EARLY_S) // 60 + 1

    @property
    def command(self) -> list[str]:
        """The words that start Python on a compute node."""
        return [*shlex.split(self.container or ""), self.python or sys.executable]

    def on(self, partition: str) -> Profile:
        """Return the same profile with another of its partitions.

        Raises:
            EchoLMError: that is not one, or cannot hold the jobs.
        """
        values = {**self.model_dump(exclude_unset=True), "partition": partition}
        try:
            return Profile.model_validate(values)
        except ValidationError as error:
            raise EchoLMError(explain_validation(error, "profile")) from None

    def asking(
        self, threads: int = 0, memory_gb: float | None = None, minutes: int | None = None
    ) -> Profile:
        """Return the same profile for jobs that ask for this instead.

        ``threads`` are CPUs a rank, never less than ``cpus_per_task``.

        Raises:
            EchoLMError: the chosen partition cannot give it. The error names the option of
                ``echolm launch``, and what is valid.
        """
        cpus, memory = self.has.cpus_per_node, self.has.memory_gb_per_node
        node = f"a node of partition {self.partition} has"
        if threads > cpus:
            raise EchoLMError(f"--threads {threads}: {node} {cpus} CPUs; valid: 1 to {cpus}")
        if memory_gb is not None and memory_gb > memory:
            raise EchoLMError(
                f"--memory-gb {memory_gb:g}: {node} {memory:g}; valid: up to {memory:g}"
            )
        if minutes is not None:
            self._check_minutes(minutes)
        changes = {
            "cpus_per_task": max(threads, self.cpus_per_task),
            "memory_gb": memory_gb or self.memory_gb,
            "time_minutes": minutes or self.time_minutes,
        }
        return self.model_copy(update=changes)

    def _check_minutes(self, minutes: int) -> None:
        """Refuse a time limit that is too short for a warning, or over the partition's."""
        least, most = self.least_minutes, self.has.max_minutes
        valid = f"{least} to {most}" if most else f"{least} or more"
        if minutes < least:
            raise EchoLMError(
                f"--minutes {minutes}: jobs on partition {self.partition} are warned"
                f" {self.warning_seconds} s before their limit (warning_seconds), SLURM may do so"
                f" {EARLY_S} s early, and they would be told to stop as they begin; valid: {valid}"
            )
        if most and minutes > most:
            raise EchoLMError(
                f"--minutes {minutes}: partition {self.partition} allows jobs of {most};"
                f" valid: {valid}"
            )

    def shape(self, gpus: int = 0, ranks: int | None = None, nodes: int | None = None) -> NodeShape:
        """Return how one unit's ranks lie on nodes of the chosen partition.

        ``gpus`` GPUs are as many ranks. With 0, ``ranks`` (default 1) ranks compute on CPUs. Ranks
        fill one node, or whole nodes. ``nodes`` spreads them evenly over that many instead.

        Raises:
            EchoLMError: they do not fit. The error says what does.
        """
        if gpus < 0 or (ranks is not None and ranks < 1) or (gpus and ranks not in (None, gpus)):
            raise EchoLMError(
                f"gpus {gpus}, ranks {ranks}: valid: gpus alone (a rank each),"
                " or ranks from 1 with gpus 0"
            )
        kind, number = ("gpus", gpus) if gpus else ("ranks", ranks or 1)
        room = self._room(kind)
        spread = nodes or max(1, number // room)
        if spread < 1 or number % spread or number // spread > room:
            valid = _what_fits(number, nodes, room, self.partition)
            raise EchoLMError(f"{kind} {number}: {valid}")
        self._check_cpus(number // spread)
        return NodeShape(spread, number // spread, gpus // spread)

    def gpu_request(self, gpus_per_node: int) -> tuple[str, str] | None:
        """Return the sbatch option (long name, value) that asks for GPUs. None without GPUs.

        For example ``("gres", "gpu:a100:4")``.
        """
        if not gpus_per_node:
            return None
        words = [str(gpus_per_node)]
        if self.gpu_type:
            words.insert(0, self.gpu_type)
        if self.gpu_option == "gres":
            words.insert(0, "gpu")
        return self.gpu_option, ":".join(words)

    def _room(self, kind: str) -> int:
        """Return how many ranks a node holds."""
        if kind == "ranks":
            return self.has.cpus_per_node // self.cpus_per_task
        if not self.has.gpus_per_node:
            others = [name for name, node in self.partitions.items() if node.gpus_per_node]
            raise EchoLMError(
                f"gpus: nodes of partition {self.partition} have none;"
                f" partitions with GPUs: {', '.join(others) or '(none)'}"
            )
        return self.has.gpus_per_node

    def _check_cpus(self, tasks: int) -> None:
        """Refuse more CPUs than a node has for so many tasks."""
        cpus = self.has.cpus_per_node
        if tasks * self.cpus_per_task <= cpus:
            return
        fits = f"it holds at most {cpus} tasks"
        if tasks <= cpus:
            fits = f"valid with {tasks} tasks a node: 1 to {cpus // tasks}"
        raise EchoLMError(
            f"cpus_per_task {self.cpus_per_task} (--threads): {tasks} tasks need"
            f" {tasks * self.cpus_per_task} CPUs, and a node of partition {self.partition} has"
            f" {cpus}; {fits}"
        )


def _check_extra(name: Any, value: Any) -> None:
    """Refuse a further sbatch option that is not the profile's to give. Raises ValueError."""
    option = str(name).lstrip("-").replace("_", "-")
    if option in OWN_OPTIONS:
        raise ValueError(f"--{option} is set by the field {OWN_OPTIONS[option]}; set that")
    if option in LAUNCHER_OPTIONS:
        raise ValueError(f"--{option} is set by the launcher and cannot be given")
    if option in HARMFUL_OPTIONS:
        raise ValueError(f"--{option} cannot be given: {HARMFUL_OPTIONS[option]}")
    if not option.replace("-", "").isalnum() or option != str(name) or len(option) == 1:
        raise ValueError(
            f"{name!r} is not an option's long name; write it without dashes before it,"
            " e.g. nice or mail-type"
        )
    if not isinstance(value, (str, int)) or value is False or "\n" in str(value):
        raise ValueError(
            f"{name}: valid: text, a whole number, or true for an option without a value;"
            f" given {value!r}"
        )


def _what_fits(number: int, nodes: int | None, room: int, partition: str) -> str:
    """Say what could be asked for instead."""
    if nodes is not None:
        valid = "nodes from 1"
        if nodes > 0:
            valid = f"a multiple of {nodes}, up to {nodes * room}"
        return (
            f"cannot lie evenly on {nodes} nodes of partition {partition}, which hold up to {room}"
            f" each; valid: {valid}"
        )
    above = -(-number // room) * room  # rounded up to whole nodes
    numbers = range(max(room, above - room), above + room + 1, room)
    one = "1" if room == 1 else f"1 to {room}"
    return (
        f"nodes of partition {partition} hold {room} each; valid: {one} on one node, or all of"
        f" several nodes: {', '.join(map(str, numbers))}, ..."
    )


def load_profile(path: Path) -> Profile:
    """Read the profile in a YAML file.

    Raises:
        EchoLMError: it is not one. The error names file and field, what is valid, and the nearest
            name.
    """
    values = load_yaml(path)
    if not isinstance(values, dict):
        kind = "empty" if values is None else f"not a mapping but {type(values).__name__}"
        raise EchoLMError(
            f"{path}: a site profile is {kind};"
            " valid: a mapping with partitions, partition, time_minutes; see",
            Command("cluster example"),
        )
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None


def example() -> str:
    """Return the text of the example profile."""
    file = resources.files("cluster") / "profiles" / "example.yaml"
    return without_schema(file.read_text(encoding="utf-8"))
