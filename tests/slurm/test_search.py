"""``echolm search --on slurm``: workers as jobs on one study; one of them is killed in the middle
of a trial.
"""

from __future__ import annotations

from search_shell import holder, record, shown, space_file, told

from tests.slurm.site import Site, until


def test_two_workers_one_of_them_killed_in_a_trial_nothing_lost_and_nothing_told_twice(
    site: Site,
) -> None:
    site.slow(1.0)
    profile, file = site.profile(), space_file(site)
    words = ("search", file, "--trials", 4, "--workers", 2, "--on", "slurm", "--profile", profile)
    done = site(*words)
    assert "submitted 2 workers: job" in done.err, done
    again = site(*words)
    assert "2 workers in SLURM already" in again.err, again

    def training() -> list[dict[str, object]]:
        return [trial for trial in shown(site) if trial["state"] == "running" and trial["epochs"]]

    until(lambda: len(training()) == 2, "two trials with an epoch each")
    struck = record(site, training()[0])
    holder(struck).kill()
    until(
        lambda: len(struck.attempts()) >= 2 and len(struck.history()) >= 2,
        "the trial goes on in another process",
    )
    site.slow(0)
    until(lambda: [trial["state"] for trial in shown(site)] == ["complete"] * 4, "four trials")
    assert told(site) == [1] * 4
    until(lambda: not site.slurm("squeue", "-h", "-o", "%i").strip(), "the workers end")
    assert site(*words).status == 0, "there is nothing to do"
