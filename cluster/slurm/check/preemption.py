"""Check how jobs end before they are done, and whether one can see it.

This is about preemption, signals and accounting.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster.profile import EARLY_S, Profile
from cluster.slurm.check.finding import Finding, ok, warning
from cluster.slurm.check.site import Site, SitePartition

SHORT_KILL_WAIT_S = 10


def check_preemption(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """Check what happens to a job that another one displaces."""
    mode = _preempt_mode(site, partition)
    if mode == "OFF":
        yield ok("PreemptMode", f"jobs in partition {partition.name} are not preempted")
        return
    if "SUSPEND" in mode:
        yield warning(
            "PreemptMode",
            "preempted jobs are suspended: they look dead to other launches, and keep their GPU "
            "memory",
            "use a partition whose jobs are requeued, or not preempted",
        )
    elif "CANCEL" in mode:
        yield warning(
            "PreemptMode",
            "preempted jobs are cancelled",
            "the next echolm launch submits again what was not finished",
        )
    elif site.config.get("JobRequeue") == "0":
        yield warning(
            "PreemptMode",
            "preempted jobs are requeued only if they were submitted with --requeue (JobRequeue=0)",
            "a job that ends instead is continued by the next echolm launch",
        )
    else:
        yield ok("PreemptMode", "preempted jobs are requeued and continue from their checkpoint")
    yield _check_preemption_signal(site, partition)


def check_signals(profile: Profile, site: Site) -> Iterator[Finding]:
    """Check how long a job has to write its checkpoint."""
    if profile.warning_seconds < EARLY_S:
        yield warning(
            "warning_seconds",
            f"{profile.warning_seconds} s; SLURM keeps time in minutes, and may warn {EARLY_S} s "
            "early or end a job late",
            f"write warning_seconds: {2 * EARLY_S}",
        )
    else:
        yield ok("warning_seconds", f"jobs are told {profile.warning_seconds} s before their limit")
    kill_wait = site.number("KillWait")
    if kill_wait is None:
        return
    if kill_wait < SHORT_KILL_WAIT_S:
        yield warning(
            "KillWait",
            f"{kill_wait} s from SIGTERM to SIGKILL: a cancelled or timed out job may be killed "
            "within a checkpoint (the one before stays)",
            "let warning_seconds be long enough; the site sets KillWait (30 by default)",
        )
    else:
        yield ok("KillWait", f"{kill_wait} s from SIGTERM to SIGKILL")


def check_accounting(site: Site) -> Iterator[Finding]:
    """Check whether the ends of jobs can be looked up later."""
    if not site.sacct:
        yield ok("accounting", "sacct answers")
        return
    min_job_age = site.number("MinJobAge")
    known_for = "MinJobAge"
    if min_job_age is not None:
        known_for += f", {min_job_age} s,"
    yield warning(
        "accounting",
        f"no sacct ({site.sacct}): how a job ended is known for {known_for} after it, then from "
        "records only",
        "look at echolm status soon after jobs end; a node failure may be told as 'interrupted'",
    )


def _preempt_mode(site: Site, partition: SitePartition) -> str:
    """Return what becomes of preempted jobs of a partition. OFF: there are none."""
    type_ = site.config.get("PreemptType", "")
    mode = site.config.get("PreemptMode", "OFF")
    if "partition" in type_:
        mode = partition.fields.get("PreemptMode", "") or mode
    mode = mode.upper().replace("GANG,", "")
    if type_ in ("", "preempt/none") or mode.startswith("OFF"):
        return "OFF"
    return mode


def _check_preemption_signal(site: Site, partition: SitePartition) -> Finding:
    """Say whether a preempted job gets its warning signal, and how long it has."""
    # the parameter's place and name changed with SLURM's versions
    before = "preempt_send_user_signal" in site.words("SlurmctldParameters")
    is_warned = before or "send_user_signal" in site.words("PreemptParameters")
    grace = int(partition.fields.get("GraceTime") or 0)
    if is_warned and grace:
        return ok("GraceTime", f"a preempted job gets its warning signal and has {grace} s")
    wait = grace + (site.number("KillWait") or 0)
    text = (
        f"a preempted job gets SIGTERM alone and has {wait} s (GraceTime {grace} s, then KillWait)"
    )
    if not is_warned:
        text = f"the site does not set preempt_send_user_signal: {text}"
    return warning(
        "GraceTime",
        text,
        "steps and checkpoints that take longer are done again from the checkpoint before; the "
        "site can change it",
    )
