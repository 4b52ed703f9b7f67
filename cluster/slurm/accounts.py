"""What the user's accounts and qualities of service allow, against a profile."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from contextlib import suppress

from cluster.profile import Profile
from cluster.slurm.findings import Finding, error, ok, warning
from cluster.slurm.site import Site, SitePartition
from echolm.registry import suggest


def check_accounts(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """The user may use the account, the QOS and the partition."""
    known = site.associations
    if known is not None and site.enforces("associations") and not known:
        yield error("account", f"{site.user} has no account on this cluster", "ask the site for one")
        return
    mine = [a for a in known or [] if profile.account in (None, a.account) and a.partition in ("", partition.name)]
    if known and not mine:
        severe = error if site.enforces("associations") else warning
        yield severe("account", f"{profile.account!r} is not an account of {site.user}", suggest(str(profile.account), {a.account for a in known}))
    accounts = [profile.account] if profile.account else [a.account for a in mine]
    if accounts and not partition.allows("Accounts", accounts):
        yield error("account", f"partition {partition.name} is not for {', '.join(accounts)}", f"it allows {partition.fields.get('AllowAccounts', 'ALL')}")
    elif mine or known is None:
        name = profile.account or f"the default one of {site.user}"
        yield ok("account", name if known is not None else f"{name} (not looked up: sacctmgr does not answer)")
    yield from _check_wckey(profile, site)
    yield from _check_qos(profile, site, partition, {qos for a in mine for qos in a.qos})
    if os.geteuid() != 0 and not partition.allows("Groups", _groups()):
        yield error("partition", f"{partition.name} is for the groups {partition.fields['AllowGroups']}, and {site.user} is in none", "ask the site")


def check_limits(profile: Profile, site: Site) -> Iterator[Finding]:
    """How many jobs may be queued, and how large an array may be."""
    largest, all_jobs = site.number("MaxArraySize"), site.number("MaxJobCount")
    if largest is not None and largest < 2:
        yield error("MaxArraySize", f"{largest}: the site has no job arrays", "ask the site; the launcher submits arrays")
    elif largest is not None:
        yield ok("MaxArraySize", f"{largest}: an array has indices up to {largest - 1}; larger ones are split")
    if all_jobs is not None and (profile.submit_limit or 0) > all_jobs:
        yield error("submit_limit", f"{profile.submit_limit} is over MaxJobCount, {all_jobs} jobs of all users", f"write submit_limit: {all_jobs} or less")
    elif all_jobs is not None:
        yield ok("MaxJobCount", f"{all_jobs} jobs of all users may be known at once")
    submit, running = _user_limits(profile, site)
    if submit is not None and (profile.submit_limit is None or profile.submit_limit > submit):
        given = profile.submit_limit or "no limit"
        yield warning("submit_limit", f"{given}, but {site.user} may have {submit} jobs in the queue: more are refused", f"write submit_limit: {submit}")
    if running is not None and profile.jobs_at_once > running:
        text = f"{profile.jobs_at_once}, but {running} jobs of {site.user} may run at once"
        yield warning("jobs_at_once", text, f"write jobs_at_once: {running}; forecasts are too early otherwise")


def qos_of(profile: Profile, site: Site, partition: SitePartition) -> list[str]:
    """The qualities of service that a job has: its own and the partition's."""
    own = profile.qos or next((a.default_qos for a in site.associations or [] if profile.account in (None, a.account)), "")
    return [name for name in dict.fromkeys([own, partition.fields.get("QoS", "")]) if name and name != "N/A"]


def _check_wckey(profile: Profile, site: Site) -> Iterator[Finding]:
    if profile.wckey is None and site.enforces("wckeys"):
        yield error("wckey", "the site refuses jobs without one", "write wckey; yours: sacctmgr show wckey where user=$USER")
    elif profile.wckey and site.config.get("TrackWCKey", "").lower() == "no":
        yield warning("wckey", f"{profile.wckey!r} is not looked at: the site keeps none (TrackWCKey=No)", "leave it out")


def _check_qos(profile: Profile, site: Site, partition: SitePartition, mine: set[str]) -> Iterator[Finding]:
    if profile.qos is None:
        return
    if site.qos is not None and profile.qos not in site.qos:
        yield error("qos", f"the site has no {profile.qos!r}", suggest(profile.qos, site.qos))
    elif mine and profile.qos not in mine:
        severe = error if site.enforces("qos") else warning
        yield severe("qos", f"{profile.qos!r} is not one that {site.user} may use with this account", suggest(profile.qos, mine))
    elif not partition.allows("Qos", [profile.qos]):
        yield error("qos", f"partition {partition.name} is not for {profile.qos!r}", f"it allows {partition.fields.get('AllowQos', 'ALL')}")
    elif site.qos is None:
        yield warning("qos", f"{profile.qos!r} cannot be looked up: sacctmgr does not answer", "a wrong name is refused by sbatch")
    else:
        yield ok("qos", profile.qos)


def _user_limits(profile: Profile, site: Site) -> tuple[int | None, int | None]:
    """The smallest limits of jobs in the queue and of running jobs for the user."""
    partition = site.partitions.get(profile.partition)
    mine = [a for a in site.associations or [] if profile.account in (None, a.account) and a.partition in ("", profile.partition)]
    used = [site.qos[name] for name in (qos_of(profile, site, partition) if partition else []) if site.qos and name in site.qos]
    submit = [limit for limit in [*(a.max_submit for a in mine), *(q.max_submit for q in used)] if limit is not None]
    running = [limit for limit in [*(a.max_jobs for a in mine), *(q.max_jobs for q in used)] if limit is not None]
    return min(submit, default=None), min(running, default=None)


def _groups() -> list[str]:
    """The names of the user's groups."""
    names = []
    for number in {os.getegid(), *os.getgroups()}:
        with suppress(KeyError):
            names.append(grp.getgrgid(number).gr_name)
    return names
