"""How jobs end before they are done, and whether one can see it: preemption, signals, accounting."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.profile import EARLY_S, Profile
from cluster.slurm.findings import Finding, ok, warning
from cluster.slurm.site import Site, SitePartition

SHORT_KILL_WAIT_S = 10


def check_preemption(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """What happens to a job that another one displaces."""
    how, by_partition = site.config.get("PreemptType", ""), partition.fields.get("PreemptMode", "")
    mode = (by_partition if "partition" in how and by_partition else site.config.get("PreemptMode", "OFF")).upper().replace("GANG,", "")
    if how in ("", "preempt/none") or mode.startswith("OFF"):
        return (yield ok("PreemptMode", f"jobs in partition {partition.name} are not preempted"))
    if "SUSPEND" in mode:
        text = "preempted jobs are suspended: they look dead to other launches, and keep their GPU memory"
        yield warning("PreemptMode", text, "use a partition whose jobs are requeued, or not preempted")
    elif "CANCEL" in mode:
        yield warning("PreemptMode", "preempted jobs are cancelled", "the next echolm launch submits again what was not finished")
    elif site.config.get("JobRequeue") == "0":
        text = "preempted jobs are requeued only if they were submitted with --requeue (JobRequeue=0)"
        yield warning("PreemptMode", text, "a job that ends instead is continued by the next echolm launch")
    else:
        yield ok("PreemptMode", "preempted jobs are requeued and continue from their checkpoint")
    yield from _preemption_signal(profile, site, partition)


def check_signals(profile: Profile, site: Site) -> Iterator[Finding]:
    """How long a job has to write its checkpoint."""
    if profile.warning_seconds < EARLY_S:
        text = f"{profile.warning_seconds} s; SLURM keeps time in minutes, and may warn {EARLY_S} s early or end a job late"
        yield warning("warning_seconds", text, f"write warning_seconds: {2 * EARLY_S}")
    else:
        yield ok("warning_seconds", f"jobs are told {profile.warning_seconds} s before their limit")
    wait = site.number("KillWait")
    if wait is not None and wait < SHORT_KILL_WAIT_S:
        text = f"{wait} s from SIGTERM to SIGKILL: a cancelled or timed out job may be killed within a checkpoint (the one before stays)"
        yield warning("KillWait", text, "let warning_seconds be long enough; the site sets KillWait (30 by default)")
    elif wait is not None:
        yield ok("KillWait", f"{wait} s from SIGTERM to SIGKILL")


def check_accounting(site: Site) -> Iterator[Finding]:
    """Whether the ends of jobs can be looked up later."""
    if not site.sacct:
        return (yield ok("accounting", "sacct answers"))
    kept = site.number("MinJobAge")
    text = f"no sacct ({site.sacct}): how a job ended is known for MinJobAge{f', {kept} s,' if kept is not None else ''} after it, then from records only"
    yield warning("accounting", text, "look at echolm status soon after jobs end; a node failure may be told as 'interrupted'")


def _preemption_signal(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """Whether a preempted job gets its warning signal, and how long it has."""
    told = "preempt_send_user_signal" in site.words("SlurmctldParameters") or "send_user_signal" in site.words("PreemptParameters")
    grace = int(partition.fields.get("GraceTime") or 0)
    if told and grace:
        return (yield ok("GraceTime", f"a preempted job gets its warning signal and has {grace} s"))
    wait = grace + (site.number("KillWait") or 0)
    text = f"a preempted job gets SIGTERM alone and has {wait} s (GraceTime {grace} s, then KillWait)"
    if not told:
        text = f"the site does not set preempt_send_user_signal: {text}"
    yield warning("GraceTime", text, "steps and checkpoints that take longer are done again from the checkpoint before; the site can change it")
