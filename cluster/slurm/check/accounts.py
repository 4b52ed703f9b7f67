"""Check what the user's accounts and qualities of service allow, against a profile."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from contextlib import suppress

from cluster.profile import Profile
from cluster.slurm.check.finding import Finding, error, ok, warning
from cluster.slurm.check.site import Association, Qos, Site, SitePartition
from echolm.text import suggest


def check_accounts(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """Check that the user may use the account, the QOS and the partition."""
    if site.associations == [] and site.enforces("associations"):
        text = f"{site.user} has no account on this cluster"
        yield error("account", text, "ask the site for one")
        return
    associations = _associations(profile, site, partition.name)
    yield from _check_account(profile, site, partition, associations)
    yield from _check_wckey(profile, site)
    yield from _check_qos(profile, site, partition, associations)
    if os.geteuid() != 0 and not partition.allows("Groups", _groups()):
        yield error(
            "partition",
            f"{partition.name} is for the groups {partition.fields['AllowGroups']}, and "
            f"{site.user} is in none",
            "ask the site",
        )


def check_limits(profile: Profile, site: Site) -> Iterator[Finding]:
    """Check how many jobs may be queued, and how large an array may be."""
    largest = site.number("MaxArraySize")
    if largest is not None and largest < 2:
        yield error(
            "MaxArraySize",
            f"{largest}: the site has no job arrays",
            "ask the site; the launcher submits arrays",
        )
    elif largest is not None:
        yield ok(
            "MaxArraySize",
            f"{largest}: an array has indices up to {largest - 1}; larger ones are split",
        )
    all_jobs = site.number("MaxJobCount")
    if all_jobs is not None and (profile.submit_limit or 0) > all_jobs:
        yield error(
            "submit_limit",
            f"{profile.submit_limit} is over MaxJobCount, {all_jobs} jobs of all users",
            f"write submit_limit: {all_jobs} or less",
        )
    elif all_jobs is not None:
        yield ok("MaxJobCount", f"{all_jobs} jobs of all users may be known at once")
    yield from _check_user_limits(profile, site)


def qos_of(profile: Profile, site: Site, partition: SitePartition) -> list[str]:
    """Return the qualities of service that a job has: its own and the partition's."""
    job_qos = profile.qos
    if not job_qos:
        of_account = [a for a in site.associations or [] if _has_account(profile, a)]
        job_qos = of_account[0].default_qos if of_account else ""
    names = dict.fromkeys([job_qos, partition.fields.get("QoS", "")])
    return [name for name in names if name and name != "N/A"]


def _has_account(profile: Profile, association: Association) -> bool:
    """Tell whether an association is that of the profile's account. Without one, any will do."""
    return profile.account in (None, association.account)


def _associations(profile: Profile, site: Site, partition: str) -> list[Association]:
    """Return the user's associations under which jobs of a profile may run in a partition."""
    associations = []
    for association in site.associations or []:
        of_partition = association.partition in ("", partition)
        if of_partition and _has_account(profile, association):
            associations.append(association)
    return associations


def _check_account(
    profile: Profile, site: Site, partition: SitePartition, associations: list[Association]
) -> Iterator[Finding]:
    if site.associations and not associations:
        bad = error if site.enforces("associations") else warning
        yield bad(
            "account",
            f"{profile.account!r} is not an account of {site.user}",
            suggest(str(profile.account), {a.account for a in site.associations}),
        )
    accounts = [association.account for association in associations]
    if profile.account:
        accounts = [profile.account]
    if accounts and not partition.allows("Accounts", accounts):
        yield error(
            "account",
            f"partition {partition.name} is not for {', '.join(accounts)}",
            f"it allows {partition.fields.get('AllowAccounts', 'ALL')}",
        )
        return
    name = profile.account or f"the default one of {site.user}"
    if site.associations is None:
        yield ok("account", f"{name} (not looked up: sacctmgr does not answer)")
    elif associations:
        yield ok("account", name)


def _check_wckey(profile: Profile, site: Site) -> Iterator[Finding]:
    if profile.wckey is None and site.enforces("wckeys"):
        yield error(
            "wckey",
            "the site refuses jobs without one",
            "write wckey; yours: sacctmgr show wckey where user=$USER",
        )
    elif profile.wckey and site.config.get("TrackWCKey", "").lower() == "no":
        yield warning(
            "wckey",
            f"{profile.wckey!r} is not looked at: the site keeps none (TrackWCKey=No)",
            "leave it out",
        )


def _check_qos(
    profile: Profile, site: Site, partition: SitePartition, associations: list[Association]
) -> Iterator[Finding]:
    if profile.qos is None:
        return
    allowed: set[str] = set()
    for association in associations:
        allowed.update(association.qos)
    if site.qos is not None and profile.qos not in site.qos:
        yield error("qos", f"the site has no {profile.qos!r}", suggest(profile.qos, site.qos))
    elif allowed and profile.qos not in allowed:
        bad = error if site.enforces("qos") else warning
        yield bad(
            "qos",
            f"{profile.qos!r} is not one that {site.user} may use with this account",
            suggest(profile.qos, allowed),
        )
    elif not partition.allows("Qos", [profile.qos]):
        yield error(
            "qos",
            f"partition {partition.name} is not for {profile.qos!r}",
            f"it allows {partition.fields.get('AllowQos', 'ALL')}",
        )
    elif site.qos is None:
        yield warning(
            "qos",
            f"{profile.qos!r} cannot be looked up: sacctmgr does not answer",
            "a wrong name is refused by sbatch",
        )
    else:
        yield ok("qos", profile.qos)


def _check_user_limits(profile: Profile, site: Site) -> Iterator[Finding]:
    """Check the smallest limits of the user's jobs in the queue and of those that run."""
    limits: list[Association | Qos] = []
    limits += _associations(profile, site, profile.partition)
    partition = site.partitions.get(profile.partition)
    if partition and site.qos:
        names = qos_of(profile, site, partition)
        limits += [site.qos[name] for name in names if name in site.qos]
    submit = _smallest([limit.max_submit for limit in limits])
    running = _smallest([limit.max_jobs for limit in limits])
    if submit is not None and (profile.submit_limit is None or profile.submit_limit > submit):
        yield warning(
            "submit_limit",
            f"{profile.submit_limit or 'no limit'}, but {site.user} may have {submit} jobs in the "
            "queue: more are refused",
            f"write submit_limit: {submit}",
        )
    if running is not None and profile.jobs_at_once > running:
        yield warning(
            "jobs_at_once",
            f"{profile.jobs_at_once}, but {running} jobs of {site.user} may run at once",
            f"write jobs_at_once: {running}; forecasts are too early otherwise",
        )


def _smallest(limits: list[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _groups() -> list[str]:
    """Return the names of the user's groups."""
    names = []
    for number in {os.getegid(), *os.getgroups()}:
        with suppress(KeyError):
            names.append(grp.getgrgid(number).gr_name)
    return names
