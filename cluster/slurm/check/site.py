"""Read what a SLURM site says of itself.

This is its configuration, its partitions and nodes, and what the user's accounts may do. Reading
(``read_site``) runs five commands of a login node. The parsing functions are pure. They read the
plain output of SLURM 22.05 to 25.11 by field names, so that fields which come, go or move between
versions do not matter.
"""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.slurm.commands import environment
from echolm.errors import EchoLMError

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
"""What a login node has, and the launcher cannot do without."""
NODE_FORMAT = "%R|%D|%c|%m|%G|%T|%f"
ASSOCIATION_FIELDS = ("Account", "Partition", "QOS", "DefaultQOS", "MaxSubmitJobs", "MaxJobs")
QOS_FIELDS = ("Name", "MaxWall", "MaxSubmitPU", "MaxJobsPU")
GONE = ("down", "drain", "fail", "maint", "inval", "future")
"""Beginnings of the states of nodes that start no job now."""
TIMEOUT_S = 30
_FIELD = re.compile(r"(\w+)=(\S*)")
_WORDS = re.compile(r"[,\s]+")


@dataclass(frozen=True)
class SitePartition:
    """One partition of ``scontrol show partition``. ``fields`` has everything as text."""

    name: str
    fields: dict[str, str]

    @property
    def max_minutes(self) -> int | None:
        """MaxTime in minutes. None: unlimited."""
        return minutes(self.fields.get("MaxTime", ""))

    def allows(self, kind: str, names: Sequence[str]) -> bool:
        """Tell whether one of these names may use it.

        Args:
            kind: ``Accounts``, ``Qos`` or ``Groups``.
            names: the names.
        """
        denied = listed(self.fields.get(f"Deny{kind}", ""))
        allowed = listed(self.fields.get(f"Allow{kind}", "ALL"))
        for name in names:
            is_allowed = allowed in ([], ["ALL"]) or name in allowed
            if is_allowed and name not in denied:
                return True
        return False


@dataclass(frozen=True)
class Nodes:
    """``count`` nodes of a partition that are alike.

    Attributes:
        partition: the partition's name.
        count: how many nodes.
        cpus: CPUs a node.
        memory_gb: memory a node in GiB.
        gpus: GPU type ('' when it has none) -> number a node.
        state: sinfo's word.
        features: what constraints can name.
    """

    partition: str
    count: int
    cpus: int
    memory_gb: float
    gpus: dict[str, int]
    state: str = "idle"
    features: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether they run jobs, now or when those before have ended."""
        return not self.state.startswith(GONE) and "*" not in self.state

    def gpus_of(self, type_: str | None) -> int:
        """Return the GPUs of a type, or of any for None."""
        return sum(self.gpus.values()) if type_ is None else self.gpus.get(type_, 0)


@dataclass(frozen=True)
class Association:
    """An account of the user, with the QOS it may use and its limits (None: none)."""

    account: str
    partition: str
    qos: tuple[str, ...]
    default_qos: str
    max_submit: int | None
    max_jobs: int | None


@dataclass(frozen=True)
class Qos:
    """A quality of service and its limits a user (None: none)."""

    name: str
    max_minutes: int | None
    max_submit: int | None
    max_jobs: int | None


@dataclass(frozen=True)
class Site:
    """All that a site says.

    Attributes:
        config: ``scontrol show config``.
        partitions: by name.
        nodes: of all partitions.
        associations: of the user. None where sacctmgr does not answer.
        qos: by name. None where sacctmgr does not answer.
        sacct: why sacct does not answer, or ''.
        user: who asked.
    """

    config: dict[str, str]
    partitions: dict[str, SitePartition]
    nodes: list[Nodes]
    associations: list[Association] | None = None
    qos: dict[str, Qos] | None = None
    sacct: str = ""
    user: str = field(default_factory=getpass.getuser)

    def number(self, name: str) -> int | None:
        """Return the first number of a field of the configuration (``30 sec`` is 30)."""
        digits = re.match(r"\d+", self.config.get(name, ""))
        return int(digits[0]) if digits else None

    def words(self, name: str) -> list[str]:
        """Return the items of a field of the configuration that is a list."""
        return listed(self.config.get(name, ""))

    def enforces(self, what: str) -> bool:
        """Tell whether jobs that break ``associations``, ``limits`` or ``qos`` are refused.

        Limits and qos imply associations.
        """
        enforced = self.words("AccountingStorageEnforce")
        if what in enforced or "all" in enforced:
            return True
        return what == "associations" and not {"limits", "qos", "safe"}.isdisjoint(enforced)

    def nodes_of(self, partition: str) -> list[Nodes]:
        """Return the nodes of a partition."""
        return [nodes for nodes in self.nodes if nodes.partition == partition]


def read_site() -> Site:
    """Ask SLURM.

    Raises:
        EchoLMError: a command is missing (not a login node), or the controller does not answer.
    """
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        raise EchoLMError(
            f"{', '.join(missing)}: not found here; run this on a login node of the cluster, with "
            "SLURM's commands in PATH"
        )
    try:
        config = parse_config(_ask("scontrol", "show", "config"))
    except EchoLMError as error:
        raise EchoLMError(
            f"{error}; run this on a login node of the cluster, while its controller answers "
            "(scontrol ping)"
        ) from None
    partitions = parse_partitions(_ask("scontrol", "--all", "show", "partition"))
    nodes = parse_nodes(_ask("sinfo", "--all", "--noheader", "--exact", "-o", NODE_FORMAT))
    user = getpass.getuser()
    associations, qos = _ask_accounting(user, config.get("ClusterName", ""))
    return Site(config, partitions, nodes, associations, qos, _why_no_sacct(), user)


def parse_config(text: str) -> dict[str, str]:
    """Parse ``scontrol show config``: ``Name   = value`` lines. ``(null)`` is ''."""
    config = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("Configuration data", "Slurmctld(")):
            config[name.strip()] = _value(value)
    return config


def parse_partitions(text: str) -> dict[str, SitePartition]:
    """Parse ``scontrol show partition`` (with or without ``-o``), by name. Hidden ones too."""
    partitions = {}
    for block in re.split(r"^PartitionName=", text, flags=re.MULTILINE)[1:]:
        name = block.split(maxsplit=1)[0]
        fields = {key: _value(value) for key, value in _FIELD.findall(block)}
        partitions[name] = SitePartition(name, fields)
    return partitions


def parse_nodes(text: str) -> list[Nodes]:
    """Parse ``sinfo -h -e -o NODE_FORMAT``. Lines that are not of this form are left out."""
    groups = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|", NODE_FORMAT.count("|"))]
        if len(fields) != 7 or not fields[1].isdecimal():
            continue
        partition, count, cpus, memory_mib, gres, state, features = fields
        groups.append(
            Nodes(
                partition=partition,
                count=int(count),
                cpus=int(cpus.rstrip("+")),
                memory_gb=float(memory_mib.rstrip("+")) / 1024,
                gpus=parse_gpus(gres),
                state=state,
                features=tuple(listed(features)),
            )
        )
    return groups


def parse_gpus(gres: str) -> dict[str, int]:
    """Parse a node's GPUs.

    ``gpu:a100:4(S:0-1),gpu:v100:2,shard:8`` is ``{"a100": 4, "v100": 2}``, and ``gpu:2`` is
    ``{"": 2}``.
    """
    gpus: dict[str, int] = {}
    for item in listed(re.sub(r"\([^)]*\)", "", gres)):
        kind, *rest = item.split(":")
        if kind != "gpu":
            continue
        number = 1
        if rest and rest[-1].isdecimal():
            number = int(rest.pop())
        type_ = rest[0] if rest else ""
        gpus[type_] = gpus.get(type_, 0) + number
    return gpus


def parse_associations(text: str) -> list[Association]:
    """Parse ``sacctmgr -n -P show assoc`` with ASSOCIATION_FIELDS."""
    associations = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != len(ASSOCIATION_FIELDS):
            continue
        account, partition, qos, default_qos, submit, jobs = fields
        associations.append(
            Association(
                account=account,
                partition=partition,
                qos=tuple(listed(qos)),
                default_qos=default_qos,
                max_submit=_limit(submit),
                max_jobs=_limit(jobs),
            )
        )
    return associations


def parse_qos(text: str) -> dict[str, Qos]:
    """Parse ``sacctmgr -n -P show qos`` with QOS_FIELDS, by name."""
    by_name = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == len(QOS_FIELDS):
            name, wall, submit, jobs = fields
            by_name[name] = Qos(name, minutes(wall), _limit(submit), _limit(jobs))
    return by_name


def minutes(text: str) -> int | None:
    """Convert one of SLURM's durations to minutes, rounded down.

    They are written ``90``, ``30:00``, ``12:00:00``, ``2-00:00:00`` or ``2-12``. None: no limit,
    or none stated.
    """
    duration = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if not duration:
        return None
    days, *parts = duration.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:  # days-hours, days-hours:minutes, days-hours:minutes:seconds
        hours, mins, *_ = [*numbers, 0]
        return (int(days) * 24 + hours) * 60 + mins
    if len(numbers) == 3:  # hours:minutes:seconds
        return numbers[0] * 60 + numbers[1]
    return numbers[0]  # minutes, minutes:seconds


def listed(text: str) -> list[str]:
    """Return the items of a comma separated value: none for ``(null)``, ``none`` and ``N/A``."""
    words = _WORDS.split(text.strip())
    return [word for word in words if word not in ("", "(null)", "none", "N/A")]


def _value(text: str) -> str:
    value = text.strip()
    return "" if value == "(null)" else value


def _limit(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _ask(*command: str) -> str:
    """Run a command and return what it prints.

    Raises:
        EchoLMError: it fails, with what it said.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        raise EchoLMError(
            f"{' '.join(command)}: no answer within {TIMEOUT_S} s; is the controller up? type: "
            "scontrol ping"
        ) from None
    except OSError as error:
        raise EchoLMError(f"{command[0]}: cannot be run: {error.strerror or error}") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise EchoLMError(f"{' '.join(command)}: {said or f'exit status {done.returncode}'}")
    return done.stdout


def _ask_accounting(
    user: str, cluster: str
) -> tuple[list[Association] | None, dict[str, Qos] | None]:
    """Ask accounting about the user and the QOS. (None, None) where there is no accounting."""
    show = ("sacctmgr", "--noheader", "--parsable2", "show")
    whose = ("where", f"user={user}", f"cluster={cluster}")
    try:
        associations = _ask(*show, "assoc", *whose, f"format={','.join(ASSOCIATION_FIELDS)}")
        qos = _ask(*show, "qos", f"format={','.join(QOS_FIELDS)}")
    except EchoLMError:
        return None, None
    return parse_associations(associations), parse_qos(qos)


def _why_no_sacct() -> str:
    """Return what sacct said when it does not answer, else ''."""
    options = ("--allocations", "--duplicates", "--noheader", "--parsable2", "--starttime", "now")
    try:
        _ask("sacct", *options, "--format", "JobID")
    except EchoLMError as error:
        return str(error)
    return ""
