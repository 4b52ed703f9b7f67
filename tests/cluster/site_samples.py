"""A site (the output of a real SLURM 22.05), a profile that suits it, and changes of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.profile import Profile
from cluster.slurm.check.finding import Finding
from cluster.slurm.check.site import (
    Site,
    parse_associations,
    parse_config,
    parse_nodes,
    parse_partitions,
    parse_qos,
)

SAMPLES = Path(__file__).parent / "slurm" / "check" / "samples"


def sample() -> Site:
    """The site of the samples, with an account, and QOS as a site with accounting has them."""
    text = {path.stem: path.read_text() for path in SAMPLES.glob("*.txt")}
    return Site(
        parse_config(text["config"]),
        parse_partitions(text["partition"]),
        parse_nodes(text["sinfo"]),
        parse_associations("lab||normal,long|normal||\n"),
        parse_qos("normal|||\nlong|7-00:00:00|50|4\nvip|||\n"),
        user="me",
    )


GOOD: dict[str, Any] = {
    "partitions": {"main": {"gpus_per_node": 2, "cpus_per_node": 8, "memory_gb_per_node": 31}},
    "partition": "main",
    "time_minutes": 60,
    "memory_gb": 16,
    "account": "lab",
    "qos": "normal",
}


def profile(**changes: Any) -> Profile:
    """The profile with changes. ``...`` leaves a field out."""
    values = GOOD | changes
    return Profile.model_validate(
        {name: value for name, value in values.items() if value is not ...}
    )


def configured(site: Site, **fields: str) -> Site:
    """With fields of the configuration changed."""
    return replace(site, config=site.config | fields)


def partitioned(site: Site, name: str, **fields: str) -> Site:
    """With fields of a partition changed."""
    partition = site.partitions[name]
    changed = replace(partition, fields=partition.fields | fields)
    return replace(site, partitions=site.partitions | {name: changed})


def about(findings: list[Finding], topic: str) -> list[Finding]:
    """The findings of one topic."""
    return [finding for finding in findings if finding.topic == topic]
