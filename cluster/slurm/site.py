"""What a SLURM site says of itself: configuration, partitions, nodes, and what the user's accounts may do.

Reading (``read_site``) runs five commands of a login node; the parsing functions are pure. They read the plain output of
SLURM 22.05 to 25.11 by field names, so that fields which come, go or move between versions do not matter.
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
    """One partition of ``scontrol show partition``; ``fields`` has everything as text."""

    name: str
    fields: dict[str, str]

    @property
    def max_minutes(self) -> int | None:
        """MaxTime, minutes; None: unlimited."""
        return minutes(self.fields.get("MaxTime", ""))

    def allows(self, kind: str, names: Sequence[str]) -> bool:
        """Whether one of these names may use it; ``kind``: ``Accounts``, ``Qos`` or ``Groups``."""
        denied = listed(self.fields.get(f"Deny{kind}", ""))
        allowed = listed(self.fields.get(f"Allow{kind}", "ALL"))
        return any((allowed in ([], ["ALL"]) or name in allowed) and name not in denied for name in names)


@dataclass(frozen=True)
class Nodes:
    """``count`` nodes of a partition that are alike. ``memory_gb`` in GiB; ``gpus``: type ('' when it has none) -> number."""

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
        """GPUs of a type; of any, for None."""
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
    """Everything. ``associations`` and ``qos`` are None where sacctmgr does not answer; ``sacct`` says why sacct does not."""

    config: dict[str, str]
    partitions: dict[str, SitePartition]
    nodes: list[Nodes]
    associations: list[Association] | None = None
    qos: dict[str, Qos] | None = None
    sacct: str = ""
    user: str = field(default_factory=getpass.getuser)

    def number(self, name: str) -> int | None:
        """The first number of a field of the configuration (``30 sec`` is 30)."""
        found = re.match(r"\d+", self.config.get(name, ""))
        return int(found[0]) if found else None

    def words(self, name: str) -> list[str]:
        """A field of the configuration that is a list."""
        return listed(self.config.get(name, ""))

    def enforces(self, what: str) -> bool:
        """Whether jobs that break ``associations``, ``limits`` or ``qos`` are refused; limits and qos imply associations."""
        enforced = self.words("AccountingStorageEnforce")
        return what in enforced or "all" in enforced or (what == "associations" and bool({"limits", "qos", "safe"} & {*enforced}))

    def nodes_of(self, partition: str) -> list[Nodes]:
        """The nodes of a partition."""
        return [nodes for nodes in self.nodes if nodes.partition == partition]


def read_site() -> Site:
    """Ask SLURM. EchoLMError: a command is missing (not a login node), or the controller does not answer."""
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        raise EchoLMError(f"{', '.join(missing)}: not found here; run this on a login node of the cluster, with SLURM's commands in PATH")
    try:
        config = parse_config(_ask("scontrol", "show", "config"))
    except EchoLMError as error:
        raise EchoLMError(f"{error}; run this on a login node of the cluster, while its controller answers (scontrol ping)") from None
    partitions = parse_partitions(_ask("scontrol", "--all", "show", "partition"))
    nodes = parse_nodes(_ask("sinfo", "--all", "--noheader", "--exact", "-o", NODE_FORMAT))
    user = getpass.getuser()
    associations, qos = _associations(user, config.get("ClusterName", ""))
    return Site(config, partitions, nodes, associations, qos, _why_no_sacct(), user)


def parse_config(text: str) -> dict[str, str]:
    """``scontrol show config``: ``Name   = value`` lines. ``(null)`` is ''."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("Configuration data", "Slurmctld(")):
            found[name.strip()] = _value(value)
    return found


def parse_partitions(text: str) -> dict[str, SitePartition]:
    """``scontrol show partition`` (with or without ``-o``), by name; hidden ones too."""
    found = {}
    for block in re.split(r"^PartitionName=", text, flags=re.MULTILINE)[1:]:
        name = block.split(maxsplit=1)[0]
        fields = {key: _value(value) for key, value in _FIELD.findall(block)}
        found[name] = SitePartition(name, fields)
    return found


def parse_nodes(text: str) -> list[Nodes]:
    """``sinfo -h -e -o NODE_FORMAT``. Lines that are not of this form are left out."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|", NODE_FORMAT.count("|"))]
        if len(parts) == 7 and parts[1].isdecimal():
            partition, count, cpus, memory, gres, state, features = parts
            gib = float(memory.rstrip("+")) / 1024
            found.append(Nodes(partition, int(count), int(cpus.rstrip("+")), gib, parse_gpus(gres), state, tuple(listed(features))))
    return found


def parse_gpus(gres: str) -> dict[str, int]:
    """``gpu:a100:4(S:0-1),gpu:v100:2,shard:8`` -> ``{"a100": 4, "v100": 2}``; ``gpu:2`` -> ``{"": 2}``."""
    found: dict[str, int] = {}
    for item in listed(re.sub(r"\([^)]*\)", "", gres)):
        kind, *rest = item.split(":")
        if kind == "gpu":
            type_ = rest[0] if rest and not rest[0].isdecimal() else ""
            found[type_] = found.get(type_, 0) + (int(rest[-1]) if rest and rest[-1].isdecimal() else 1)
    return found


def parse_associations(text: str) -> list[Association]:
    """``sacctmgr -n -P show assoc`` with ASSOCIATION_FIELDS."""
    rows = [line.split("|") for line in text.splitlines()]
    return [
        Association(account, partition, tuple(listed(qos)), default, _limit(submit), _limit(jobs))
        for account, partition, qos, default, submit, jobs in (row for row in rows if len(row) == len(ASSOCIATION_FIELDS))
    ]


def parse_qos(text: str) -> dict[str, Qos]:
    """``sacctmgr -n -P show qos`` with QOS_FIELDS, by name."""
    rows = [line.split("|") for line in text.splitlines()]
    return {
        name: Qos(name, minutes(wall), _limit(submit), _limit(jobs))
        for name, wall, submit, jobs in (row for row in rows if len(row) == len(QOS_FIELDS))
    }


def minutes(text: str) -> int | None:
    """SLURM's durations, rounded down to minutes: ``90``, ``30:00``, ``12:00:00``, ``2-00:00:00``, ``2-12``. None: no limit, or none stated."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if not found:
        return None
    days, *parts = found.groups()
    given = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, mins, *_ = [*given, 0, 0]
        return (int(days) * 24 + hours) * 60 + mins
    return given[0] * 60 + given[1] if len(given) == 3 else given[0]


def listed(text: str) -> list[str]:
    """The items of a comma separated value; none for ``(null)``, ``none`` and ``N/A``."""
    return [word for word in _WORDS.split(text.strip()) if word and word not in ("(null)", "none", "N/A")]


def _value(text: str) -> str:
    value = text.strip()
    return "" if value == "(null)" else value


def _limit(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _ask(*command: str) -> str:
    """What a command prints; EchoLMError with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, env=environment())
    except subprocess.TimeoutExpired:
        raise EchoLMError(f"{' '.join(command)}: no answer within {TIMEOUT_S} s; is the controller up? type: scontrol ping") from None
    except OSError as error:
        raise EchoLMError(f"{command[0]}: cannot be run: {error.strerror or error}") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        raise EchoLMError(f"{' '.join(command)}: {said}")
    return done.stdout


def _associations(user: str, cluster: str) -> tuple[list[Association] | None, dict[str, Qos] | None]:
    """What accounting knows of the user; (None, None) where there is none."""
    show = ("sacctmgr", "--noheader", "--parsable2", "show")
    try:
        known = _ask(*show, "assoc", "where", f"user={user}", f"cluster={cluster}", f"format={','.join(ASSOCIATION_FIELDS)}")
        return parse_associations(known), parse_qos(_ask(*show, "qos", f"format={','.join(QOS_FIELDS)}"))
    except EchoLMError:
        return None, None


def _why_no_sacct() -> str:
    """'' when sacct answers, else what it said."""
    try:
        _ask("sacct", "--allocations", "--duplicates", "--noheader", "--parsable2", "--starttime", "now", "--format", "JobID")
        return ""
    except EchoLMError as error:
        return str(error)
