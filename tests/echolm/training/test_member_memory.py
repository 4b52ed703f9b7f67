"""Cohorts are as large as memory allows, within the limits of SLURM and of cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_support import Reference, config, results_of, states, train

from echolm.training import cohorts
from echolm.training.free_memory import cgroup_room, free_memory, free_on, slurm_memory
from echolm.training.loop import Cohort
from echolm.training.member import Member
from echolm.training.member_memory import SHARE, MemberMemory, how_many_fit, member_memory
from echolm.workspace import Workspace

GIB = 1024**3


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"SLURM_MEM_PER_NODE": "2048"}, 2 * GIB),
        ({"SLURM_MEM_PER_NODE": "4096", "SLURM_NTASKS_PER_NODE": "2"}, 2 * GIB),
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "3"}, 3 * GIB),
        ({"SLURM_MEM_PER_NODE": "0"}, None),
        ({"SLURM_MEM_PER_NODE": "none"}, None),
    ],
)
def test_memory_of_a_slurm_task(variables: dict[str, str], expected: int | None) -> None:
    assert slurm_memory(variables) == expected


def write_cgroup(folder: Path, limit: str, used: int, cache: int) -> None:
    """A cgroup of version 2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")


def test_the_tightest_cgroup_counts_without_what_it_can_give_back(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/job/step\n")
    write_cgroup(tmp_path / "job", "1000", 700, 300)
    write_cgroup(tmp_path / "job" / "step", "max", 100, 0)
    assert list(cgroup_room(membership, tmp_path)) == [600]
    membership.write_text("4:cpu,memory:/job\n3:pids:/job\n")
    v1 = tmp_path / "memory" / "job"
    v1.mkdir(parents=True)
    (v1 / "memory.limit_in_bytes").write_text("500\n")
    (v1 / "memory.usage_in_bytes").write_text("450\n")
    (v1 / "memory.stat").write_text("total_inactive_file 50\n")
    assert list(cgroup_room(membership, tmp_path)) == [100]
    assert list(cgroup_room(tmp_path / "no such file", tmp_path)) == []


def test_free_memory_is_that_of_a_real_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < free_on(torch.device("cpu"))
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    assert free_memory() == 0  # this process has more than that already


@pytest.mark.parametrize("trainable", ["k0", "k2", "all"])
def test_parameters_are_counted_as_in_a_real_member(trainable: str) -> None:
    run = config(encoder="tiny-mvit", trainable=trainable)
    memory = member_memory(run)
    assert memory is not None
    network = run.encoder.build(None)
    member = Member(run, network, run.trainable.cut(run.encoder.blocks), torch.device("cpu"))
    trained = sum(parameter.numel() for parameter in member.parameters)
    everything = sum(parameter.numel() for parameter in member.model.parameters())
    assert memory.kept == 4 * (everything + 3 * trained)
    assert memory.in_step > 0


def test_more_trained_stages_take_more() -> None:
    of = [member_memory(config(encoder="tiny-mvit", trainable=k)) for k in ("k0", "k1", "k3")]
    kept = [memory.kept for memory in of if memory]
    in_step = [memory.in_step for memory in of if memory]
    assert kept == sorted(set(kept)) and in_step == sorted(set(in_step))


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100)), min_size=1, max_size=20),
    st.integers(1, 20),
    st.integers(0, 5000),
)
def test_as_many_as_fit_and_no_more(sizes: list[tuple[int, int]], samples: int, free: int) -> None:
    members = [MemberMemory(*size) for size in sizes]
    count = how_many_fit(members, samples, free)

    def taken(number: int) -> int:
        first = members[:number]
        return sum(m.kept for m in first) + samples * max(m.in_step for m in first)

    assert count == 1 or taken(count) <= SHARE * free
    assert count == len(members) or taken(count + 1) > SHARE * free


def test_what_does_not_fit_together_is_trained_one_after_another(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [config(trainable="k1", epochs=1, augmentation="none", head=h) for h in ("mlp", "gcn")]
    expected = reference.all(runs)
    sizes = []
    original = Cohort.train

    def noting(self: Cohort) -> None:
        sizes.append(len(self.runs))
        original(self)

    monkeypatch.setattr(Cohort, "train", noting)
    monkeypatch.setattr(cohorts, "free_on", lambda device: 1000)
    assert states(train(workspace, *runs)) == ["complete"] * 2
    assert sizes == [1, 1]
    assert results_of(workspace, runs) == expected
